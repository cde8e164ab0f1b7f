"""Every fuzz target on its seeds and on mutations of them, without atheris; and what it found once.

The long run is `make fuzz`. Here a fixed generator mutates, so a failure can be repeated.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from audit.verifier import pack as packs
from registry.core.recipients import Recipient
from registry.log.core.checkpoint import VerifierKey
from registry.log.core.errors import VerificationError
from tests.fuzz import delivery, targets
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

# What verifies signatures costs a thousand times as much as what reads a path.
FEW = {
    "submission": 1_000,
    "checkpoint": 400,
    "proof": 400,
    "pack": 400,
    "pack_file": 100,
    "payloads": 400,
    "weights": 1_000,
    "model_statement": 1_000,
    "folder_file": 1_000,
    "folder_resigned": 400,
    "folder_dishonest": 400,
}
MANY = 3_000


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds(name):
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        TARGETS[name].call(seed)
        assert len(seed) <= TARGETS[name].max_len


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_thousands_of_mutations(name):
    for data in mutations(TARGETS[name], FEW.get(name, MANY)):
        TARGETS[name].call(data)


def mutations(target: Target, count: int) -> Iterator[bytes]:
    """Seeds with one to four changes: bits, bytes, cuts, repeats, words, parts of other seeds."""
    dice = random.Random(20261125)  # noqa: S311 - not a secret
    seeds, words = target.seeds(), [word.encode() for word in target.words] or [b"0"]
    for _ in range(count):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data) + 1)
            end = min(len(data), at + dice.choice((1, 2, 8, 64)))
            other = dice.choice(seeds)
            data[at:end] = dice.choice(
                (
                    dice.randbytes(1),
                    b"",
                    data[at:end] * 2,
                    dice.choice(words),
                    other[at : end + 7],
                    bytes(byte ^ 1 << dice.randrange(8) for byte in data[at:end]),
                )
            )
        yield bytes(data)


# --- the harness itself must be able to fail ------------------------------------------------------


VERIFIED = SimpleNamespace(lora_id="", file_sha256="")


@pytest.mark.parametrize(
    ("target", "broken", "lie"),
    [
        ("archive", "delivery.archive.read", lambda data, check: {"a": data}),
        ("archive", "delivery.folder.unpack", lambda data: {}),
        ("recipient", "delivery.recipients.parse", lambda text: Recipient("age", "another")),
        ("identity", "delivery.recipients.unseal", lambda keys, data, label: data),
        ("sealed", "delivery.recipients.unseal", lambda keys, data, label: delivery.SECRET),
        ("model_sig", "delivery.model_signature.verify", lambda data, key: {}),
        ("model_key", "delivery.model_signature.verify", lambda data, key: {}),
        ("model_statement", "delivery.model_signature.verify", lambda data, key: {"a": "00"}),
        ("folder_file", "delivery.verifier.verify", lambda *_: None),
        ("folder_resigned", "delivery.verifier.verify", lambda *_: VERIFIED),
        (
            "folder_dishonest",
            "delivery.verifier.verify",
            lambda *_: VERIFIED,
        ),
        ("tile_path", "tiles.parse_path", lambda text: (0, 0, 256)),
        ("bundle", "tiles.parse_bundle", lambda data: [data, b""]),
        ("json", "canonical.loads", lambda data: {"n": random.random()}),  # noqa: S311
        ("pack_file", "verifier.verify", lambda files, trust: None),
    ],
)
def test_a_parser_that_reads_something_else_is_noticed(target, broken, lie, monkeypatch):
    *modules, function = broken.split(".")
    with monkeypatch.context() as patch:
        patch.setattr(functools.reduce(getattr, modules, targets), function, lie)
        with pytest.raises(AssertionError):
            call_all(target)


def call_all(target: str) -> None:
    for data in mutations(TARGETS[target], 50):
        TARGETS[target].call(data)


# --- what the fuzzer found ------------------------------------------------------------------------


def _zip(*members: tuple[str, int]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, method in members:
            archive.writestr(zipfile.ZipInfo(name), b"{}" * 40, compress_type=method)
    return file.getvalue()


def _nameless() -> bytes:
    """A zip with one member whose name is empty: no writer makes one, so by hand."""
    body = b"{}"
    common = (20, 0, 0, 0, 0x21, zlib.crc32(body), len(body), len(body), 0, 0)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", *common) + body
    central = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, *common, 0, 0, 0, 0, 0)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


@pytest.mark.parametrize(
    "data",
    [
        _nameless(),
        _zip(("pack.json", zipfile.ZIP_BZIP2)),
        _zip(("pack.json", zipfile.ZIP_LZMA)),
    ],
    ids=["a member without a name", "packed with bzip2", "packed with lzma"],
)
def test_a_zip_that_no_pack_writer_makes_is_malformed(data):
    with pytest.raises(VerificationError, match="malformed"):
        packs.read(data)


def test_a_deflated_member_that_is_broken_inside_is_malformed():
    data = bytearray(_zip(("pack.json", zipfile.ZIP_DEFLATED)))
    data[40] ^= 0xFF
    with pytest.raises(VerificationError, match="malformed"):
        packs.read(bytes(data))


def test_half_a_utf16_pair_in_a_key_name_is_no_vkey():
    text = str(VerifierKey("witness", 4, targets.signer("witness").public_raw))
    with pytest.raises(VerificationError, match="bad_vkey"):
        VerifierKey.parse("\ud800" + text)
