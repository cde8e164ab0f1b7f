"""The escrow stage: what the master brings back, and that it accuses nobody."""

from __future__ import annotations

import numpy as np
import pytest

from tests import loras
from tests.core.test_watermark import ID, KEY, WRONG_KEY, Case, case, strangers
from training.core.escrow import read_beside, residual, search_beside
from training.core.watermark import CHOICES, embed, measure
from training.core.watermark_code import Codebook, codebook
from training.core.watermark_reading import Reading, claim, read, search, threshold
from training.core.weights import Weights, adapters

LICENSEES = [ID, *strangers(15, seed=3)]


@pytest.fixture(scope="module")
def sd15() -> Case:
    """Half of SD 1.5's attention at rank 16, marked at 2 %."""
    return case(loras.sd15(every=2), 16)


def named(reading: Reading, ids: list[bytes] = LICENSEES) -> set[bytes]:
    return {hit.artefact_id for hit in search(reading, KEY, ids)}


def test_dropping_and_rescaling_nine_entries_in_ten_is_read_beside_the_master(sd15: Case) -> None:
    attacked = loras.dare(embed(sd15.master, KEY, ID, 0.02), 0.9)
    registry = [*LICENSEES, *strangers(20_000, seed=2)]
    assert named(read(attacked, KEY), registry) == set()
    hits = search_beside(
        read_beside(attacked, sd15.master, KEY), KEY, registry, LICENSEES, fpr=1e-9
    )
    assert {hit.artefact_id for hit in hits} == {ID}


def test_what_was_dropped_from_the_delivered_factors_costs_only_its_share(sd15: Case) -> None:
    """Rescaling the survivors tenfold leaves no noise where the gaps are known: far above 10.5."""
    whole = claim(read_beside(sd15.marked, sd15.master, KEY), KEY, ID).t
    kept = claim(read_beside(loras.dare(sd15.marked, 0.9), sd15.master, KEY), KEY, ID).t
    assert kept > 0.8 * whole
    # With factors of its own the file is beside the master as a product only.
    mixed = loras.dare(loras.refactored(sd15.marked), 0.9)
    assert claim(read_beside(mixed, sd15.master, KEY), KEY, ID).t < 0.5 * whole


def test_gaps_in_a_strangers_factors_and_in_the_masters_accuse_nobody(sd15: Case) -> None:
    many = [*LICENSEES, *strangers(20_000, seed=4)]
    for innocent in (sd15.master, embed(sd15.master, WRONG_KEY, ID, 0.02), sd15.other(5)):
        assert named(read_beside(loras.dare(innocent, 0.9), sd15.master, KEY), many) == set()


def test_the_master_lifts_every_reading_it_is_needed_for(sd15: Case) -> None:
    others = [sd15.other(i) for i in range(3)]
    for attacked in (
        loras.truncated(sd15.marked, 1),
        loras.truncated(loras.merged(sd15.marked, others), 16),
        loras.truncated(loras.merged(sd15.marked, others[:1]), 16),
        loras.noisy(sd15.marked, 1.0),
    ):
        blind = claim(read(attacked, KEY), KEY, ID).t
        beside = read_beside(attacked, sd15.master, KEY)
        assert claim(beside, KEY, ID).t > blind
        assert named(beside) == {ID}


def test_names_order_scale_and_factors_do_not_enter(sd15: Case) -> None:
    plain = read_beside(sd15.marked, sd15.master, KEY)
    changed = loras.renamed(loras.scaled(loras.refactored(sd15.marked), -0.3))
    moved = read_beside(changed, sd15.master, KEY)
    assert claim(moved, KEY, ID).t == pytest.approx(claim(plain, KEY, ID).t, rel=0.02)


def test_sixteen_who_average_their_copies_are_all_found_and_nobody_else(sd15: Case) -> None:
    copies = [embed(sd15.master, KEY, ident, 0.02) for ident in LICENSEES]
    average = loras.truncated(loras.merged(copies[0], copies[1:], [1 / 16] * 16), 16)
    reading = read_beside(average, sd15.master, KEY)
    assert named(reading, [*LICENSEES, *strangers(300, seed=9)]) == set(LICENSEES)


def test_the_master_itself_and_a_stranger_and_another_key_accuse_nobody(sd15: Case) -> None:
    many = strangers(20_000, seed=4)
    for innocent in (
        loras.noisy(sd15.master, 0.3),
        loras.truncated(sd15.master, 8),
        sd15.other(5),
        embed(sd15.master, WRONG_KEY, ID, 0.02),
    ):
        assert named(read_beside(innocent, sd15.master, KEY), [*LICENSEES, *many]) == set()


def test_another_loras_master_does_not_name_its_licensee(sd15: Case) -> None:
    wrong = read_beside(sd15.marked, sd15.other(6), KEY)
    own = strangers(2000, seed=5)
    assert np.abs(codebook(KEY, own) @ wrong.soft()).max() > threshold(1e-9, len(own))
    hits = search_beside(wrong, KEY, [ID, *own], own, fpr=1e-9)
    assert {hit.artefact_id for hit in hits} == {ID}


def test_innocent_residuals_stay_under_the_bound() -> None:
    modules = loras.tiny()
    generator = np.random.default_rng(8)
    ids = [generator.bytes(6) for _ in range(5000)]
    top = 0.0
    for seed in range(4):
        master = loras.lora(modules, 4, seed)
        reading = read_beside(loras.noisy(master, 0.5, seed), master, KEY)
        top = max(top, max(abs(claim(reading, KEY, i).t) for i in ids[:200]))
        assert search(reading, KEY, ids) == []
    assert top < threshold(1e-9, 1)


def test_a_module_without_a_partner_is_read_as_it_is(sd15: Case) -> None:
    alone = adapters(sd15.marked)[:1]
    assert residual(alone, []) == list(alone)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_numbers_do_not_upset_it(sd15: Case, size: float) -> None:
    odd = Weights({k: t * np.float32(size) for k, t in list(sd15.marked.tensors.items())[:4]})
    reading = read_beside(odd, sd15.master, KEY)
    assert np.isfinite(reading.soft()).all()


def test_an_average_of_more_copies_than_can_be_told_apart_names_nobody_innocent() -> None:
    """Twenty copies and more leave a heap of marks, with which strangers' ids agree."""
    dice = np.random.default_rng(950)
    master = loras.lora(loras.sd15(every=8), 8, 950)
    prepared = measure(master, KEY)
    ids = [prepared.fitting([dice.bytes(6) for _ in range(CHOICES)]) for _ in range(32)]
    copies = [prepared.mark(ident, 0.03) for ident in ids]
    book = Codebook(KEY, [*ids, *(dice.bytes(6) for _ in range(100_000))])
    for count in (8, 32):
        share = [1 / count] * count
        held = loras.truncated(loras.merged(copies[0], copies[1:count], share), 8)
        hits = search(read_beside(held, master, KEY), KEY, book)
        found = {hit.artefact_id for hit in hits}
        assert found <= set(ids[:count])
        assert count > 8 or found == set(ids[:count])
