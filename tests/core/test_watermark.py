"""The weight watermark: what it survives, what it never says falsely, and what it refuses."""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import loras
from tests.loras import lora
from training.core import watermark_code, watermark_reading
from training.core.spectra import chips, probes
from training.core.watermark import CHOICES, WatermarkError, choose_eps, embed, measure
from training.core.watermark_code import CODED, VIEWS, Codebook, Key, codebook, payload
from training.core.watermark_reading import (
    OPEN_THRESHOLD,
    claim,
    read,
    search,
    threshold,
    verify_embedding,
)
from training.core.weights import (
    Float32,
    Weights,
    WeightsError,
    adapters,
    half,
    strip,
    to_kohya,
    write,
)
from training.core.weights import read as read_file

KEY = Key("2026-04", b"alice's registry keeps this one.")
WRONG_KEY = Key("2026-04", b"mallory made this one up himself")
ID = bytes.fromhex("0123456789ab")


def strangers(count: int, seed: int = 0) -> list[bytes]:
    generator = np.random.default_rng(seed)
    return [generator.bytes(6) for _ in range(count)]


REGISTRY = [*strangers(2000), ID]


@dataclass(frozen=True)
class Case:
    modules: loras.Modules
    rank: int
    master: Weights
    marked: Weights

    def other(self, seed: int) -> Weights:
        return lora(self.modules, self.rank, 100 + seed)


def case(modules: loras.Modules, rank: int) -> Case:
    master = lora(modules, rank, 7)
    return Case(modules, rank, master, embed(master, KEY, ID, choose_eps(master).eps))


@pytest.fixture(scope="module")
def tiny() -> Case:
    """The product's own small base: about 0.23 M parameters in 15 shapes, rank 8."""
    return case(loras.tiny(), 8)


@pytest.fixture(scope="module")
def sd15() -> Case:
    """A quarter of SD 1.5's attention: 32 modules in 6 shapes, rank 16."""
    return case(loras.sd15(every=4), 16)


@pytest.fixture(params=["tiny", "sd15"])
def host(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def verdict(weights: Weights) -> str:
    """P: the payload decodes without a registry; R: found among the registered ids; -: neither."""
    reading = read(weights, KEY)
    found = [hit.artefact_id for hit in search(reading, KEY, REGISTRY)]
    assert found in ([], [ID])  # nobody else, whatever was done to the file
    assert reading.artefact_id in (None, ID)
    return "P" if reading.artefact_id == ID else "R" if found else "-"


# --- embedding -----------------------------------------------------------------------------------


def test_a_marked_file_keeps_keys_shapes_types_metadata_and_rank(host: Case) -> None:
    before = Weights(half(host.master).tensors, {"a": "b"})
    after = embed(before, KEY, ID, 0.05)
    assert after.metadata == before.metadata
    assert {k: (t.shape, t.dtype) for k, t in after.tensors.items()} == {
        k: (t.shape, t.dtype) for k, t in before.tensors.items()
    }
    assert verdict(after) == "P"


@pytest.mark.parametrize("eps", [0.005, 0.02, 0.05, 0.1])
def test_the_change_is_eps_of_the_update(host: Case, eps: float) -> None:
    marked = embed(host.master, KEY, ID, eps)
    assert loras.distortion(host.master, marked) == pytest.approx(eps, rel=0.01)


def test_every_module_is_moved_by_its_share_of_the_budget(host: Case) -> None:
    """In proportion to m + n up to a limit, whatever the length of its update."""
    sides = np.array([min(sum(module.shape), 2560) for module in adapters(host.master)])
    expected = choose_eps(host.master).eps * sides / np.sqrt(np.square(sides).mean())
    moved = []
    for before, after in zip(adapters(host.master), adapters(host.marked), strict=True):
        was = before.scale * before.up @ before.down
        change = after.scale * after.up @ after.down - was
        moved.append(np.linalg.norm(change) / np.linalg.norm(was))
    np.testing.assert_allclose(moved, expected, rtol=0.02)


def test_the_master_is_left_as_it_was(host: Case) -> None:
    again = lora(host.modules, host.rank, 7)
    for name, tensor in host.master.tensors.items():
        np.testing.assert_array_equal(tensor, again.tensors[name])


def test_embedding_is_deterministic_and_every_id_gives_another_file(tiny: Case) -> None:
    first = write(embed(tiny.master, KEY, ID, 0.05).tensors, {})
    assert first == write(embed(tiny.master, KEY, ID, 0.05).tensors, {})
    assert first != write(embed(tiny.master, KEY, b"\0" * 6, 0.05).tensors, {})


def test_alpha_and_convolutions_are_kept_and_marked(tiny: Case) -> None:
    tensors = {}
    for name, tensor in to_kohya(tiny.master).tensors.items():
        convolution = ".conv" in name.replace("_conv", ".conv") and "lora_down" in name
        tensors[name] = tensor.reshape(len(tensor), -1, 3, 3) if convolution else tensor
        if name.endswith(".alpha"):
            tensors[name] = np.array(-3.0, np.float32)
    marked = embed(Weights(tensors), KEY, ID, 0.05)
    assert all(marked.tensors[k] == -3.0 for k in tensors if k.endswith(".alpha"))
    assert loras.distortion(Weights(tensors), marked) == pytest.approx(0.05, rel=0.01)
    assert verdict(marked) == "P"


def test_an_update_too_small_to_be_moved_is_refused_and_no_crash() -> None:
    """Such weights come from a broken or a hostile worker, whose job must end with a reason."""
    master = lora([("a", 64, 64), ("b", 64, 64)], 4, 3)
    tiny = Weights({k: t * np.float32(1e-38) for k, t in master.tensors.items()})
    with pytest.raises(WatermarkError, match="unreadable"):
        embed(tiny, KEY, ID, 0.05)


def test_a_rank_above_a_side_and_dead_directions_are_taken() -> None:
    master = lora([("a", 8, 90), ("b", 64, 64)] * 1, 16, 3)
    master.tensors["b.lora_A.weight"][3:] = 0
    marked = embed(master, KEY, ID, 0.05)
    assert loras.distortion(master, marked) == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("eps", [0.0, -0.02, 0.11, math.nan])
def test_a_strength_without_sense_is_refused(tiny: Case, eps: float) -> None:
    with pytest.raises(ValueError, match="eps"):
        embed(tiny.master, KEY, ID, eps)


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({}, "no_modules"),
        ({"a.weight": np.ones((9, 9), np.float32)}, "no_modules"),
        (lora([("a", 4, 90)], 2, 1).tensors, "no_modules"),
        ({"a.hada_w1_a": np.ones((9, 9), np.float32)}, "unsupported_kind"),
        ({"a.lokr_w1": np.ones((9, 9), np.float32)}, "unsupported_kind"),
        (lora([("a", 90, 90)], 2, 1).tensors | {"a.dora_scale": np.ones(90, np.float32)},
         "unsupported_kind"),
    ],
)  # fmt: skip
def test_what_cannot_carry_a_mark_is_refused(tensors: dict[str, Float32], code: str) -> None:
    with pytest.raises(WatermarkError) as caught:
        embed(Weights(tensors), KEY, ID, 0.05)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("modules", "rank", "eps", "warning"),
    [
        (loras.tiny(), 8, 0.05, "small_adapter"),
        (loras.sd15(every=4), 16, 0.05, None),
        (loras.sd15(), 16, 0.02, None),
        ([(str(i), 1280, 2048) for i in range(80)], 64, 0.01, None),
    ],
)
def test_the_strength_follows_the_number_of_parameters(
    modules: loras.Modules, rank: int, eps: float, warning: str | None
) -> None:
    tensors = {}
    for path, m, n in modules:
        tensors[f"{path}.lora_A.weight"] = np.ones((rank, n), np.float32)
        tensors[f"{path}.lora_B.weight"] = np.ones((m, rank), np.float32)
    found = choose_eps(Weights(tensors))
    assert (found.eps, found.warning) == (eps, warning)
    assert found.parameters == sum(rank * (m + n) for _, m, n in modules)


# --- the choice of an id -------------------------------------------------------------------------


def test_the_id_is_taken_that_the_master_speaks_for_when_its_rank_is_cut(tiny: Case) -> None:
    """Held against reading the unmarked master itself, cut as an attacker would cut it."""
    ids = strangers(CHOICES, seed=11)
    chosen = measure(tiny.master, KEY).fitting(ids)
    assert chosen in ids
    word = codebook(KEY, [chosen])[0]
    for rank in (1, tiny.rank // 4, tiny.rank // 2):
        soft = read(loras.truncated(tiny.master, rank), KEY).soft()[:, VIEWS.index(0.0)]
        # Draws of three numbers that hang together: each is far above the middle.
        assert word @ soft > np.quantile(codebook(KEY, ids) @ soft, 0.75)


def test_a_chosen_id_is_read_better_from_one_direction_than_ids_by_chance() -> None:
    """The mean over eight hosts: about two standard deviations, one of which is asked for."""
    gains = []
    for seed in range(8):
        master = lora(loras.tiny()[:30], 8, 200 + seed)
        prepared, ids = measure(master, KEY), strangers(CHOICES, seed=seed)
        chosen, by_chance = prepared.fitting(ids), ids[:4]
        t = {
            ident: claim(read(loras.truncated(prepared.mark(ident, 0.05), 1), KEY), KEY, ident).t
            for ident in (chosen, *by_chance)
        }
        gains.append(t[chosen] - np.mean([t[ident] for ident in by_chance]))
    assert np.mean(gains) > 1


def test_a_master_names_nobody_though_ids_were_chosen_for_it(host: Case) -> None:
    """Of ten thousand ids, as many as a licence has deliveries were chosen for this very file."""
    prepared = measure(host.master, KEY)
    chosen = [prepared.fitting(strangers(CHOICES, seed=seed)) for seed in range(40)]
    registry = [*chosen, *strangers(10_000, seed=99)]
    for file in (host.master, *(loras.truncated(host.master, rank) for rank in (1, 2, 4))):
        reading = read(file, KEY)
        assert search(reading, KEY, registry) == []
        assert max(claim(reading, KEY, ident).t for ident in chosen) < threshold(1e-9, 1)


@pytest.mark.parametrize("count", [0, CHOICES + 1])
def test_a_choice_that_the_thresholds_do_not_allow_for_is_refused(tiny: Case, count: int) -> None:
    with pytest.raises(ValueError, match="to choose from"):
        measure(tiny.master, KEY).fitting(strangers(count))


def test_choosing_does_not_depend_on_the_order_and_changes_nothing(tiny: Case) -> None:
    ids, prepared = strangers(CHOICES, seed=12), measure(tiny.master, KEY)
    chosen = prepared.fitting(ids)
    assert prepared.fitting(ids[::-1]) == chosen
    plain, after = embed(tiny.master, KEY, chosen, 0.05), prepared.mark(chosen, 0.05)
    assert write(plain.tensors, {}) == write(after.tensors, {})
    assert "array" not in repr(prepared)


# --- what it survives ----------------------------------------------------------------------------

Attack = Callable[[Case], Weights]
ROWS: dict[str, tuple[Attack, str]] = {
    "nothing": (lambda c: c.marked, "P"),
    "float16": (lambda c: half(c.marked), "P"),
    "bfloat16": (lambda c: loras.bfloat16(c.marked), "P"),
    "float8": (lambda c: loras.float8(c.marked), "P"),
    "int8": (lambda c: loras.integers(c.marked, 8), "P"),
    "int4": (lambda c: loras.integers(c.marked, 4), "P"),
    "noise 30 %": (lambda c: loras.noisy(c.marked, 0.3), "P"),
    "noise 50 %": (lambda c: loras.noisy(c.marked, 0.5), "P"),
    "prune 50 %": (lambda c: loras.pruned(c.marked, 0.5), "P"),
    "prune 70 %": (lambda c: loras.pruned(c.marked, 0.7), "P"),
    "DARE 30 %": (lambda c: loras.dare(c.marked, 0.3), "PR"),
    "new factors": (lambda c: loras.refactored(c.marked), "P"),
    "rank halved": (lambda c: loras.truncated(c.marked, c.rank // 2), "P"),
    "strength 0.3": (lambda c: loras.scaled(c.marked, 0.3), "P"),
    "strength -1": (lambda c: loras.scaled(c.marked, -1), "P"),
    "block weights": (lambda c: loras.block_scaled(c.marked), "P"),
    "half of the modules": (lambda c: loras.dropped(c.marked, 0.5), "P"),
    "a quarter of the modules": (lambda c: loras.dropped(c.marked, 0.75), "PR"),
    "flat spectrum": (lambda c: loras.truncated(c.marked, c.rank, 1e-6), "P"),
    "one other added": (lambda c: loras.merged(c.marked, [c.other(1)]), "P"),
    "three others added": (lambda c: loras.merged(c.marked, [c.other(i) for i in (1, 2, 3)]), "PR"),
    "0.3 own, 0.7 other": (lambda c: loras.merged(c.marked, [c.other(1)], [0.3, 0.7]), "PR"),
    "one added, re-compressed": (
        lambda c: loras.truncated(loras.merged(c.marked, [c.other(1)]), c.rank), "PR"),
    "kohya": (lambda c: to_kohya(c.marked), "P"),
    "stripped, renamed, float16": (lambda c: half(strip(loras.renamed(c.marked))), "P"),
    "a second mark": (lambda c: embed(c.marked, WRONG_KEY, b"malory", 0.05), "P"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_the_mark_survives(host: Case, row: str) -> None:
    attack, expected = ROWS[row]
    assert verdict(attack(host)) in expected


def test_it_is_lost_where_it_is_said_to_be_lost(tiny: Case, sd15: Case) -> None:
    assert verdict(loras.dare(tiny.marked, 0.95)) == "-"
    assert verdict(loras.dare(sd15.marked, 0.95)) == "-"
    merged = loras.merged(sd15.marked, [sd15.other(i) for i in (1, 2)])
    assert verdict(loras.truncated(merged, 1)) == "-"


def test_a_copy_that_went_through_a_file_without_names_or_metadata_is_read(tiny: Case) -> None:
    stolen = half(strip(loras.renamed(Weights(tiny.marked.tensors, {"kyodaku.x": "y"}))))
    reading = read(read_file(write(stolen.tensors, stolen.metadata)), KEY)
    assert reading.artefact_id == ID
    assert reading.t > OPEN_THRESHOLD


def test_foreign_modules_of_other_shapes_do_not_hide_it(sd15: Case) -> None:
    foreign = lora([(f"text_encoder.layers.{i}.q", 768, 768) for i in range(12)], 16, 5)
    assert verdict(Weights(sd15.marked.tensors | foreign.tensors)) == "P"


def test_fused_projections_are_read_as_the_layers_they_are() -> None:
    modules = [(f"double.{i}.qkv", 9216, 3072) for i in range(2)]
    marked = embed(lora(modules, 4, 1), KEY, ID, 0.05)
    split = {}
    for module in adapters(marked):
        for index, rows in enumerate(np.split(module.up, 3)):
            split[f"{module.stem}.{index}.lora_A.weight"] = module.down
            split[f"{module.stem}.{index}.lora_B.weight"] = np.ascontiguousarray(rows)
    assert verdict(marked) == "P"
    assert verdict(Weights(split)) == "P"


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e3),
    sign=st.sampled_from([1, -1]),
)
@settings(max_examples=12, deadline=None)
def test_factors_strength_sign_and_names_do_not_enter(seed: int, scale: float, sign: int) -> None:
    marked = embed(lora(loras.tiny()[:40], 8, 7), KEY, ID, 0.05)
    plain = claim(read(marked, KEY), KEY, ID)
    changed = loras.scaled(loras.refactored(marked, seed), scale * sign)
    hit = claim(read(loras.renamed(changed, seed), KEY), KEY, ID)
    assert hit.t == pytest.approx(plain.t, abs=0.15)
    assert hit.sign == sign


# --- what it never says --------------------------------------------------------------------------


def test_unrelated_loras_read_as_unmarked() -> None:
    for seed in range(12):
        modules = loras.tiny() if seed % 2 else loras.sd15(every=4)
        rank, power = (4, 8, 16)[seed % 3], (0.5, 1.0, 1.5)[seed % 3]
        assert verdict(lora(modules, rank, seed, power=power, spread=seed / 12)) == "-"


def test_the_master_and_another_keys_mark_read_as_unmarked(host: Case) -> None:
    assert verdict(host.master) == "-"
    assert verdict(embed(host.master, WRONG_KEY, ID, 0.05)) == "-"
    other_epoch = Key("2026-05", KEY.secret)
    assert read(host.marked, other_epoch).artefact_id is None
    assert search(read(host.marked, other_epoch), other_epoch, REGISTRY) == []


def test_a_file_without_modules_reads_as_unmarked() -> None:
    reading = read(Weights({"a.weight": np.ones((9, 9), np.float32)}), KEY)
    assert (reading.t, reading.artefact_id, reading.modules) == (0.0, None, 0)
    assert search(reading, KEY, REGISTRY) == []
    assert claim(reading, KEY, ID).t == 0


def test_the_tail_of_false_ids_stays_under_the_gaussian_bound() -> None:
    """10^6 trials: 40 unmarked or foreign-keyed files, 8,400 ids, every view."""
    ids = strangers(8400, seed=9)
    largest, above = 0.0, 0
    for seed in range(40):
        weights = lora(loras.tiny()[: 20 + seed], 4, seed, power=0.5 + seed / 40)
        if seed % 2:
            weights = embed(weights, WRONG_KEY, ID, 0.05)
        key = Key(f"epoch {seed}", KEY.secret)
        scores = np.abs(codebook(key, ids) @ read(weights, key).soft())
        largest, above = max(largest, float(scores.max())), above + int((scores > 4).sum())
    trials = 40 * len(ids) * len(VIEWS)
    assert trials > 1_000_000
    assert largest < 6.5
    assert above / trials < 2 * math.exp(-8)  # the bound, both signs


def test_the_thresholds_are_those_of_the_bound() -> None:
    """sqrt(2 ln(ids that were drawn * 4 views * 2 signs / rate)); 256 are drawn for every one."""
    assert threshold(1e-9, 1) == pytest.approx(math.sqrt(2 * math.log(256 * 8e9)))
    assert threshold(1e-9, 10**6) == pytest.approx(9.18, abs=0.01)
    assert threshold(1e-9, 2**48) == OPEN_THRESHOLD == pytest.approx(10.59, abs=0.01)
    assert threshold(1e-9, 2**44) == OPEN_THRESHOLD  # there are no more ids than all
    for bad in ((0, 1), (1, 1), (1e-9, 0)):
        with pytest.raises(ValueError, match="need"):
            threshold(*bad)


def test_a_right_tag_below_the_threshold_is_not_believed(
    tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag alone is no evidence: a chance passes it once in 65,536 tries."""
    faint = embed(tiny.master, KEY, ID, 0.004)
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: True)
    reading = read(faint, KEY)
    assert 0 < reading.t < OPEN_THRESHOLD
    assert reading.artefact_id is None


def test_a_wrong_tag_above_the_threshold_is_not_believed(tiny: Case) -> None:
    true_payload = watermark_code.payload
    forged = pytest.MonkeyPatch()
    with forged.context() as patch:
        patch.setattr(
            watermark_code, "payload", lambda key, ident: true_payload(key, ident)[:6] + b"!!"
        )
        marked = embed(tiny.master, KEY, ID, 0.05)
    reading = read(marked, KEY)
    assert reading.t > OPEN_THRESHOLD
    assert reading.artefact_id is None


# --- several ids ---------------------------------------------------------------------------------


def test_a_single_marked_file_names_exactly_one_id(host: Case) -> None:
    (hit,) = search(read(host.marked, KEY), KEY, REGISTRY)
    assert (hit.artefact_id, hit.sign) == (ID, 1)


def test_without_peeling_a_strong_mark_would_name_strangers() -> None:
    marked = embed(lora(loras.sd15(every=2), 16, 7), KEY, ID, 0.1)
    reading = read(marked, KEY)
    ids = [*strangers(20_000), ID]
    raw = np.abs(codebook(KEY, ids) @ reading.soft()).max(axis=1)
    assert (raw > threshold(1e-9, len(ids))).sum() > 1
    assert [hit.artefact_id for hit in search(reading, KEY, ids)] == [ID]


def test_a_mark_that_no_row_knows_names_nobody_in_its_place(sd15: Case) -> None:
    """A database restored without its last deliveries must not accuse their neighbours."""
    others = strangers(20_000, seed=6)
    reading = read(sd15.marked, KEY)
    scores = codebook(KEY, others) @ reading.soft()
    assert np.abs(scores).max() > threshold(1e-9, len(others))  # what would be said otherwise
    assert search(reading, KEY, others) == []


def test_beside_a_mark_that_no_row_knows_a_registered_one_is_still_named(sd15: Case) -> None:
    unknown = embed(sd15.other(1), KEY, strangers(1, seed=7)[0], 0.02)
    reading = read(loras.merged(sd15.marked, [unknown]), KEY)
    hits = search(reading, KEY, [ID, *strangers(20_000, seed=6)])
    assert [hit.artefact_id for hit in hits] == [ID]


def test_a_merge_of_two_registered_loras_names_exactly_the_two(sd15: Case) -> None:
    second = strangers(1)[0]
    partner = embed(sd15.other(5), KEY, second, 0.05)
    foreign = sd15.other(6)
    found = search(read(loras.merged(sd15.marked, [partner, foreign]), KEY), KEY, REGISTRY)
    assert {hit.artefact_id for hit in found} == {ID, second}
    against = loras.merged(sd15.marked, [partner], [1.0, -1.0])
    signs = {hit.artefact_id: hit.sign for hit in search(read(against, KEY), KEY, REGISTRY)}
    assert signs == {ID: 1, second: -1}


def test_the_average_of_two_licensees_copies_names_both(sd15: Case) -> None:
    second = strangers(1)[0]
    copy = embed(sd15.master, KEY, second, 0.05)
    pooled = loras.truncated(loras.merged(sd15.marked, [copy], [0.5, 0.5]), sd15.rank)
    found = search(read(pooled, KEY), KEY, REGISTRY)
    assert {hit.artefact_id for hit in found} == {ID, second}


def test_search_stops_at_its_limit_and_refuses_another_epochs_reading(sd15: Case) -> None:
    reading = read(sd15.marked, KEY)
    assert search(reading, KEY, REGISTRY, limit=0) == []
    assert search(reading, KEY, []) == []
    with pytest.raises(ValueError, match="epoch"):
        search(reading, Key("2026-05", KEY.secret), REGISTRY)


# --- the parts -----------------------------------------------------------------------------------


@given(st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6))
@settings(max_examples=50, deadline=None)
def test_the_code_is_linear_keyed_and_far_apart(first: bytes, second: bytes) -> None:
    a, b = codebook(KEY, [first, second]).astype(int)
    assert set(np.unique(a)) <= {-1, 1}
    assert first == second or abs(int(a @ b)) < 160
    assert not np.array_equal(a, codebook(WRONG_KEY, [first])[0])


@given(st.binary(min_size=6, max_size=6), st.integers(0, 45), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_order_two_decoding_corrects_many_wrong_signs(ident: bytes, wrong: int, seed: int) -> None:
    """Weak positions are the wrong ones more often than strong ones, as on a real channel."""
    generator = np.random.default_rng(seed)
    soft = codebook(KEY, [ident])[0] * (0.5 + generator.random(CODED))
    flips = generator.permutation(CODED)[:wrong]
    soft[flips] *= -0.2
    hit, word = watermark_code.ordered_statistics(soft, KEY, 0.0, 1)
    assert word == payload(KEY, ident)
    assert hit.t == pytest.approx(float(codebook(KEY, [ident])[0] @ soft))


def test_decoding_finds_the_best_word_when_pairs_of_basis_signs_are_wrong() -> None:
    """Two strong but wrong signs sit in the basis: order 0 and 1 would miss the word."""
    word = codebook(KEY, [ID])[0].astype(float)
    soft = word * np.linspace(1.0, 1.01, CODED)
    soft[[3, 200]] *= -2
    assert watermark_code.ordered_statistics(soft, KEY, 0.0, 1)[1] == payload(KEY, ID)


def test_probes_depend_on_seed_shape_and_count_alone() -> None:
    u, v = probes(b"s" * 32, (24, 40), 256)
    assert (u.shape, v.shape) == ((256, 24), (256, 40))
    assert set(np.unique(u)) == {-1, 1}
    np.testing.assert_array_equal(u, probes(b"s" * 32, (24, 40), 256)[0])
    assert not np.array_equal(u, probes(b"t" * 32, (24, 40), 256)[0])
    assert abs(float(u.mean())) < 0.05


@pytest.mark.parametrize(
    ("shape", "count"),
    [((24, 24), 256), ((96, 96), 1024), ((320, 320), 1024), ((640, 768), 1024),
     ((1280, 768), 2048), ((1280, 2048), 2048), ((3072, 3072), 5120)],
)  # fmt: skip
def test_the_number_of_chips_is_given_by_the_shape(shape: tuple[int, int], count: int) -> None:
    assert chips(shape) == count


def test_a_short_key_is_refused_and_no_key_is_ever_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Key("e", b"short")
    assert "alice" not in repr(KEY)


@pytest.mark.parametrize("bad", [b"", b"12345", b"1234567"])
def test_an_id_of_another_length_is_refused(tiny: Case, bad: bytes) -> None:
    with pytest.raises(ValueError, match="6 bytes"):
        embed(tiny.master, KEY, bad, 0.05)


# --- the self-test -------------------------------------------------------------------------------


def test_a_marked_file_passes_the_self_test(host: Case) -> None:
    proof = verify_embedding(host.marked, KEY, ID)
    assert proof.mode == "open"
    assert proof.t < proof.cap
    assert min(proof.t_half_rank, proof.t_merged) > threshold(1e-9, 1)


def test_the_self_test_refuses_what_cannot_be_traced(host: Case) -> None:
    with pytest.raises(WatermarkError, match="unreadable"):
        verify_embedding(host.master, KEY, ID)
    with pytest.raises(WatermarkError, match="wrong_id"):
        verify_embedding(host.marked, KEY, b"mallry")
    with pytest.raises(WatermarkError, match="unreadable"):
        verify_embedding(host.marked, WRONG_KEY, ID)


@pytest.mark.parametrize("when", ["as delivered", "rank was halved", "after a merge"])
def test_every_part_of_the_self_test_can_fail(
    tiny: Case, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = watermark_reading._require

    def only(t: float, floor: float, moment: str) -> None:
        real(0.0 if when in moment else t, floor, moment)

    monkeypatch.setattr(watermark_reading, "_require", only)
    with pytest.raises(WatermarkError, match=when):
        verify_embedding(tiny.marked, KEY, ID)


# --- hostile weights -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e38, 1e-40, 3e-45])
def test_extreme_numbers_do_not_upset_the_reader(size: float) -> None:
    tensors = {
        name: np.where(tensor > 0, np.float32(size), -np.float32(size)).astype(np.float32)
        for name, tensor in lora(loras.tiny()[:5], 4, 1).tensors.items()
    }
    tensors["unet.blocks.0.resnets.0.conv1.alpha"] = np.array(size, np.float32)
    assert read(Weights(tensors), KEY).artefact_id is None


def test_one_enormous_module_does_not_hide_the_others(tiny: Case) -> None:
    tensors = dict(tiny.marked.tensors)
    for name in list(tensors)[:2]:
        tensors[name] = tensors[name] * np.float32(1e15)
    assert verdict(Weights(tensors)) == "P"


def test_factors_that_form_no_product_are_refused_by_the_reader() -> None:
    tensors = lora([("a", 20, 20)], 4, 1).tensors
    del tensors["a.lora_B.weight"]
    with pytest.raises(WeightsError, match="unpaired_factor"):
        read(Weights(tensors), KEY)


# --- many ids -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_book_finds_what_a_product_with_every_codeword_finds(
    seed: int, count: int, parts: int
) -> None:
    """However the ids came in, twice or in parts."""
    dice = np.random.default_rng(seed)
    ids = [dice.bytes(6) for _ in range(count)]
    book = Codebook(KEY)
    for part in range(parts):
        book.add(ids[part::parts])
    book.add(ids)
    assert len(book) == len(set(ids))
    soft = dice.standard_normal((CODED, len(VIEWS)))
    scores = codebook(KEY, ids) @ soft
    hit = book.best(soft)
    assert hit.t == pytest.approx(float(np.abs(scores).max()))
    row, view = np.unravel_index(int(np.abs(scores).argmax()), scores.shape)
    assert (hit.artefact_id, hit.view) == (ids[int(row)], VIEWS[int(view)])
    assert hit.sign == (1 if scores[row, view] > 0 else -1)


def test_a_book_larger_than_one_slice_is_searched_to_its_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(watermark_code, "_SLICE", 16)
    dice = np.random.default_rng(3)
    ids = [dice.bytes(6) for _ in range(16 * 3 + 1)]
    book = Codebook(KEY, ids)
    for place in (0, 15, 16, 48):
        word = codebook(KEY, [ids[place]])[0].astype(float)
        assert book.best(np.repeat(word[:, None], len(VIEWS), axis=1)).artefact_id == ids[place]


def test_a_book_of_another_key_is_refused(tiny: Case) -> None:
    with pytest.raises(ValueError, match="another epoch"):
        search(read(tiny.marked, KEY), KEY, Codebook(Key("2", bytes(32)), [ID]))
    assert search(read(tiny.marked, KEY), KEY, Codebook(KEY)) == []
