"""The fuzz targets: each takes any bytes, and only the declared error may stop it.

A target also holds the parser to what it promises: what was read can be written again byte for
byte, and nothing but the honest object verifies. A broken promise is an AssertionError, which the
fuzzer reports like any other crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from registry.core import jose, status_list, tokens
from registry.core.approvals import Approval
from registry.core.grants import Grant
from registry.core.rights import RESERVATIONS
from registry.core.tokens import Claims
from registry.log.core import canonical, merkle, tiles, timestamp, tlog_proof, witness
from registry.log.core.checkpoint import (
    LogSigners,
    VerifierKey,
    cosign_ed25519,
    parse_body,
    parse_note,
    verify_checkpoint,
)
from registry.log.core.errors import VerificationError
from registry.log.core.tlog_proof import TlogProof, format_proof
from tests.core import pack_world
from tests.core.pack_world import World, signer
from tests.fuzz import delivery
from tests.fuzz.target import Target, text_of
from tests.tsa import Tsa
from training.core import escrow, reservations, watermark_reading, weights
from training.core.watermark_code import Key

ENTRIES: Final = 300
VECTORS: Final = Path(__file__).parents[1] / "vectors/reservations"


# --- honest objects -------------------------------------------------------------------------------


@cache
def honest() -> World:
    """A pack that verifies, as the seed of everything in it."""
    return pack_world.build()


@cache
def log_signers() -> LogSigners:
    """The log's keys of the honest objects."""
    return pack_world.log_signers()


@cache
def leaf_entries() -> list[bytes]:
    """The entries of an honest log."""
    return [canonical.dumps({"v": 1, "n": n}) for n in range(ENTRIES)]


@cache
def tree() -> merkle.MerkleTree:
    """Their tree."""
    return merkle.MerkleTree(map(merkle.leaf_hash, leaf_entries()))


@cache
def honest_note(size: int = ENTRIES) -> str:
    """A checkpoint signed by both keys of the log."""
    return log_signers().sign(size, tree().root(size), at=1_800_000_000)


def witnessed_note() -> str:
    """The same with a witness under it."""
    body = parse_body(parse_note(honest_note())[0])
    line = cosign_ed25519(body, "witness.example/w", signer("witness"), at=1_800_000_001)
    return honest_note() + line


@cache
def honest_proof(index: int, size: int = ENTRIES) -> str:
    """A `.tlog-proof` file."""
    path = tuple(tree().inclusion_proof(index, size))
    return format_proof(TlogProof(index, path, honest_note(size)))


# --- the log's formats ----------------------------------------------------------------------------


def note(data: bytes) -> None:
    """A signed note: what was read is the whole note."""
    text = text_of(data)
    try:
        body, lines = parse_note(text)
    except VerificationError:
        return
    again = "".join(f"— {s.name} {canonical.b64(s.key_id + s.signature)}\n" for s in lines)
    assert f"{body}\n{again}" == text


def checkpoint(data: bytes) -> None:
    """A checkpoint: its body, and the note around it against pinned keys."""
    text = text_of(data)
    with suppress(VerificationError):
        assert parse_body(text).body() == text
    try:
        found = verify_checkpoint(text, log_signers().vkeys())
    except VerificationError:
        return
    assert found.body() in {honest_note(size).partition("\n\n")[0] + "\n" for size in _SIZES}


def vkey(data: bytes) -> None:
    """A pinned verifier key: one spelling."""
    text = text_of(data)
    try:
        assert str(VerifierKey.parse(text)) == text
    except VerificationError:
        return


def tile_path(data: bytes) -> None:
    """A tile's address: one spelling, and it names what its parts say."""
    text = text_of(data)
    try:
        level, n, width = tiles.parse_path(text)
    except VerificationError:
        return
    spelled = tiles.entries_path(n, width) if level is None else tiles.tile_path(level, n, width)
    assert spelled == text


def submission(data: bytes) -> None:
    """A request to a witness: what was read is the whole of it, and any answer is one of six."""
    text = text_of(data)
    pins = {pack_world.LOG_ORIGIN: log_signers().vkeys()}
    answer = witness.decide(text, pins, lambda _origin: None)
    assert not isinstance(answer, witness.Denial) or answer.status in {400, 403, 404, 409, 422}
    with suppress(VerificationError):
        read = witness.parse_submission(text)
        assert witness.format_submission(read.old, read.proof, read.note) == text


def stamp(data: bytes) -> None:
    """A time stamp from anybody never verifies over what it was not made for."""
    with suppress(VerificationError):
        timestamp.verify(data, honest_note(), [_stamps().root])
        raise AssertionError("a mutated stamp verified over another note")


@cache
def _stamps() -> Tsa:
    return Tsa()


def bundle(data: bytes) -> None:
    """An entry bundle: what was read is the whole of it."""
    try:
        entries = tiles.parse_bundle(data)
    except VerificationError:
        return
    assert tiles.bundle(entries) == data


def tile(data: bytes) -> None:
    """A tile's hashes."""
    try:
        hashes = tiles.split(data)
    except VerificationError:
        return
    assert b"".join(hashes) == data


def proof(data: bytes) -> None:
    """A `.tlog-proof`: what was read is the whole file, and only honest ones verify."""
    text = text_of(data)
    try:
        found = tlog_proof.inspect_proof(text)
    except VerificationError:
        return
    assert format_proof(found) == text
    # An index beyond the log has no entry of ours; the check must then fail, not crash.
    leaf = leaf_entries()[min(found.index, ENTRIES - 1)]
    try:
        index, head = tlog_proof.verify(text, leaf, log_signers().vkeys())
    except VerificationError:
        return
    assert found.hashes == tuple(tree().inclusion_proof(index, head.size))


_SIZES: Final = (1, 2, 255, 256, 257, ENTRIES)


# --- the evidence pack ----------------------------------------------------------------------------


def pack(data: bytes) -> None:
    """A zipped pack, raw: whatever is read can be written, and only the honest files verify."""
    try:
        files = packs.read(data)
    except VerificationError:
        return
    assert packs.read(packs.write(files)) == files
    _only_honest(files)


def pack_file(data: bytes) -> None:
    """One file of a pack replaced by anything; byte 0 says which."""
    names = sorted(honest().files)
    if not data:
        return
    name = names[data[0] % len(names)]
    _only_honest({**honest().files, name: data[1:]})


def _only_honest(files: Mapping[str, bytes]) -> None:
    with suppress(VerificationError):
        verifier.inspect(files)
    try:
        verifier.verify(files, honest().trust)
    except VerificationError:
        return
    assert dict(files) == honest().files


# --- what is signed and what is listed ------------------------------------------------------------


def jws(data: bytes) -> None:
    """A compact JWS under a pinned key, as a consent token."""
    pinned = honest().trust.token_keys
    try:
        claims = jose.read(text_of(data), typ=tokens.TYPE, pinned=pinned)
    except VerificationError:
        return
    assert claims == jose.read(
        honest().files[verifier.TOKEN].decode(), typ=tokens.TYPE, pinned=pinned
    )


def status(data: bytes) -> None:
    """A status list: the compressed bits; only ValueError may escape."""
    try:
        assert 0 <= status_list.unpack(data, pack_world.STATUS_INDEX) <= 3
    except ValueError:
        return


def status_token(data: bytes) -> None:
    """A signed status list."""
    try:
        status_list.verify(
            text_of(data), honest().trust, uri=pack_world.STATUS_URI, at=honest().as_of
        )
    except VerificationError:
        return


def json(data: bytes) -> None:
    """JSON of a stranger: what was read has one canonical form, which reads the same."""
    try:
        value = canonical.loads(data)
    except VerificationError:
        return
    again = canonical.dumps(value)
    assert canonical.dumps(canonical.loads(again)) == again


def payloads(data: bytes) -> None:
    """Grants, approvals and claims from any JSON; their own word for a bad member is ValueError."""
    for read in (Grant.from_payload, Approval.from_payload, Claims.from_payload):
        try:
            read(canonical.loads(data))
        except (VerificationError, ValueError):
            continue


# --- seeds ----------------------------------------------------------------------------------------


def _notes() -> list[bytes]:
    other = "Text with\n\nan empty line\n\n" + witnessed_note().partition("\n\n")[2]
    return [text.encode() for text in (*map(honest_note, _SIZES), witnessed_note(), other)]


def _bodies() -> list[bytes]:
    return [*_notes(), *(text.partition(b"\n\n")[0] + b"\n" for text in _notes())]


def _vkeys() -> list[bytes]:
    witness = VerifierKey("witness.example/w", 4, signer("witness").public_raw)
    return [text.encode() for text in (*log_signers().vkeys(), str(witness))]


def _paths() -> list[bytes]:
    numbers = (0, 1, 255, 999, 1000, 1_234_067, 10**9)
    found = [
        tiles.tile_path(level, n, w) for level in (0, 1, 63) for n in numbers for w in (1, 256)
    ]
    return [text.encode() for text in found + [tiles.entries_path(n, 255) for n in numbers]]


def _submissions() -> list[bytes]:
    proof = tree().consistency_proof(7, ENTRIES)
    return [
        witness.format_submission(old, hashes, honest_note()).encode()
        for old, hashes in ((0, []), (7, proof), (ENTRIES, []))
    ]


def _stamp_seeds() -> list[bytes]:
    asked = timestamp.request("another note").as_bytes()
    return [_stamps().respond(asked, at=datetime(2026, 4, 1, tzinfo=UTC))]


def _bundles() -> list[bytes]:
    entries = leaf_entries()
    return [tiles.bundle(part) for part in (entries[:1], entries[:256], entries[256:], [b""])]


def _tiles() -> list[bytes]:
    hashes = list(map(merkle.leaf_hash, leaf_entries()))
    return [b"".join(part) for part in (hashes[:1], hashes[:256], hashes[256:])]


def _proofs() -> list[bytes]:
    found = [honest_proof(i, size) for size in _SIZES for i in {0, size // 2, size - 1}]
    head, _, rest = honest_proof(3).partition("\n")
    return [text.encode() for text in (*found, f"{head}\nextra AAAA\n{rest}")]


def _packs() -> list[bytes]:
    return [pack_world.zipped(honest())]


def _pack_files() -> list[bytes]:
    return [bytes([i]) + data for i, (_, data) in enumerate(sorted(honest().files.items()))]


def _tokens() -> list[bytes]:
    return [honest().files[verifier.TOKEN]]


def _statuses() -> list[bytes]:
    return [status_list.pack({}), status_list.pack({pack_world.STATUS_INDEX: 3}, size=2**13)]


def _status_tokens() -> list[bytes]:
    return [honest().files[name] for name in (verifier.STATUS, verifier.STATUS_AS_OF)]


def _payloads() -> list[bytes]:
    values = [honest().grant.to_payload(), honest().approvals[0].to_payload()]
    return [canonical.dumps(value) for value in (*values, honest().claims.to_payload())]


def _jsons() -> list[bytes]:
    kept = [b for name, b in honest().files.items() if name.endswith(".json") and len(b) < 8192]
    return [*kept, b'[1e21,-0.5,9007199254740993,true,null,"\\ud83d\\ude00"]']


_NOTE_WORDS: Final = ("— ", "\n\n", "\n", " ", "+", pack_world.LOG_ORIGIN, "witness.example/w")
# --- what a stranger's picture says ---------------------------------------------------------------


def reservation(data: bytes) -> None:
    """A picture's own words about training: any bytes give a statement, and no error at all."""
    found = reservations.read(data)
    assert found.state in RESERVATIONS
    assert all(len(name) <= reservations.MAX_NAME for name in (*found.creators, *found.owners))


def _reservations() -> list[bytes]:
    return [path.read_bytes() for path in sorted(VECTORS.iterdir())]


# --- a stranger's weights file -------------------------------------------------------------------


def weights_file(data: bytes) -> None:
    """A file that claims to be a LoRA: read, paired, measured, traced through the registry.

    What was read can be written and read again, with the same tensors under the same digest.
    """
    with suppress(VerificationError):
        read = weights.read(data)
        again = weights.read(weights.write(read.tensors, read.metadata))
        assert set(again.tensors) == set(read.tensors)
        for name, array in read.tensors.items():
            assert array.shape == again.tensors[name].shape
            assert np.array_equal(array, again.tensors[name], equal_nan=False)
        modules = weights.adapters(read)
        if sum(sum(module.shape) + module.rank for module in modules) <= _AFFORDABLE:
            reading = watermark_reading.read_modules(modules, _MARK_KEY)
            assert np.isfinite(reading.t)
            assert reading.artefact_id is None  # nothing here was marked with this key
            escrow.residual(modules, modules)


def _weights_files() -> list[bytes]:
    dice = np.random.default_rng(4)
    up, down = (dice.standard_normal(shape).astype(np.float32) for shape in ((12, 2), (2, 16)))
    peft: dict[str, weights.Array] = {"unet.a.lora_A.weight": down, "unet.a.lora_B.weight": up}
    kohya: dict[str, weights.Array] = {
        "lora_unet_a.lora_down.weight": down.astype(np.float16),
        "lora_unet_a.lora_up.weight": up.astype(np.float16),
        "lora_unet_a.alpha": np.ones((), np.float32),
    }
    return [weights.write(peft, {"format": "pt"}), weights.write(kohya, {}), weights.write({}, {})]


_AFFORDABLE: Final = 256
_MARK_KEY: Final = Key("fuzz", bytes(range(32)))

TARGETS: Final[Mapping[str, Target]] = {
    **delivery.TARGETS,
    "weights": Target(
        weights_file,
        _weights_files,
        ('"', "{", "}", "dtype", "F32", "F16", "BF16", "F8_E4M3", "shape", "data_offsets", "alpha"),
        16_384,
    ),
    "reservation": Target(
        reservation,
        _reservations,
        ("jumb", "jumd", "cbor", "json", "DataMining", "<rdf:Description ", "8BIM", "Exif"),
        65_536,
    ),
    "note": Target(note, _notes, _NOTE_WORDS),
    "checkpoint": Target(checkpoint, _bodies, _NOTE_WORDS),
    "tile_path": Target(tile_path, _paths, ("tile/", "entries/", ".p/", "x", "000", "256"), 256),
    "proof": Target(proof, _proofs, (*_NOTE_WORDS, tlog_proof.HEADER, "index ", "extra ")),
    "pack": Target(pack, _packs, ("PK\x03\x04", "PK\x01\x02", "PK\x05\x06"), 262_144),
    "pack_file": Target(pack_file, _pack_files, ('"', "{", "}", "[", "]", ":", ",", "null", "1e9")),
    "submission": Target(submission, _submissions, (*_NOTE_WORDS, "old ", "old 0\n\n")),
    "stamp": Target(stamp, _stamp_seeds),
    "bundle": Target(bundle, _bundles),
    "tile": Target(tile, _tiles),
    "vkey": Target(vkey, _vkeys, ("+", "/"), 4_096),
    "jws": Target(jws, _tokens, (".", "=", "eyJ"), 65_536),
    "status": Target(status, _statuses),
    "status_token": Target(status_token, _status_tokens, (".", "=", "eyJ")),
    "json": Target(json, _jsons, ('"', "{", "}", "[", "]", ":", ",", "null", "1e999", "\\ud800")),
    "payloads": Target(payloads, _payloads, ('"', "{", "}", "[", "]", ":", ",", "null", "-1")),
}
