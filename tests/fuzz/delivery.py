"""Fuzz targets for what a recipient opens: the parcel, what it is encrypted with, the folder in it.

A delivery comes by mail or from a disk, so anybody may have made it; and nobody's key is known
before the folder's third step. The targets that sign what they were given hold exactly that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from audit.verifier import folder as verifier
from audit.verifier.steps import StepError
from registry.core import recipients
from registry.core.recipients import KINDS, Kind
from registry.log.core import canonical, envelope
from registry.log.core.errors import VerificationError
from registry.log.core.tlog_proof import TlogProof, format_proof
from tests.core import folder_world as fw
from tests.core import pack_world as world
from tests.fuzz.target import Target, text_of
from training.core import archive, folder, model_signature
from training.core.model_signature import PUBLIC_KEY, SIGNATURE, ModelSignatureError
from training.core.provenance import PAYLOAD_TYPE

VECTORS: Final = Path(__file__).parents[1] / "vectors/delivery"
LABEL: Final = "dlv_" + "2b" * 10
SECRET: Final = b"what was sealed"


def _declared(error: VerificationError, *codes: str) -> None:
    """A refusal has one of the codes that the parser names, and words that a terminal may have."""
    assert error.code in codes, error
    assert error.detail.isprintable()


# --- containers -----------------------------------------------------------------------------------


def container(data: bytes) -> None:
    """An archive under no rules, as a folder and as a parcel: what was read is the whole of it."""
    try:
        files = archive.read(data, lambda _: None)
    except VerificationError as error:
        _declared(error, "malformed")
        _same_no(data)
        return
    assert archive.write(files) == data
    assert len(files) <= archive.MAX_FILES
    assert sum(map(len, files.values())) < len(data)
    if folder.is_parcel(data):
        delivery_id, sealed, proof = folder.parcel_unpack(data)
        assert {sealed, proof} == set(files.values())
        assert all(name.startswith(delivery_id + ".") for name in files)
        return
    try:
        assert folder.unpack(data) == files
    except VerificationError as error:
        _declared(error, "malformed")
        return
    assert folder.pack(files) == data
    assert all(name.replace(".", "").replace("_", "").isalnum() for name in files)


def _same_no(data: bytes) -> None:
    """What the archive refuses is refused under every caller's rules."""
    assert not folder.is_parcel(data)
    with suppress(VerificationError):
        folder.unpack(data)
        raise AssertionError("a folder in what is no archive")


def _containers() -> list[bytes]:
    proof = fw.honest().proof.decode()
    return [
        archive.write({"a": b"first", "b": b""}),
        folder.pack(fw.honest().files),
        *(folder.parcel_pack(fw.NAME, kind, SECRET, proof) for kind in ("age", "hpke")),
    ]


# --- encryption -----------------------------------------------------------------------------------


@cache
def _keys() -> dict[Kind, tuple[str, str]]:
    """(identity, recipient) of each kind, from the key file that lies with what they open."""
    lines = (VECTORS / "identities.txt").read_text().splitlines()
    publics = [line.removeprefix("# public: ") for line in lines[::2]]
    return dict(zip(KINDS, zip(lines[1::2], publics, strict=True), strict=True))


@cache
def _sealed() -> dict[Kind, bytes]:
    """Files that were encrypted once and for all, so that a crash can be repeated."""
    return {kind: (VECTORS / f"good_{kind}").read_bytes() for kind in KINDS}


def recipient(data: bytes) -> None:
    """A text registered as recipient: one spelling, and what was taken can be sealed to.

    The check digits, which no mutation meets, are put right for a second look.
    """
    text = text_of(data)
    _recipient(text)
    found = recipients._PUBLIC.fullmatch(text)
    if found is not None and found[1] in KINDS:
        try:
            raw = canonical.unb64u(found[2])
        except VerificationError:
            return
        _recipient(recipients._encoded("kyodaku", found[1], raw))


def _recipient(text: str) -> None:
    try:
        read = recipients.parse(text)
    except VerificationError as error:
        _declared(error, "malformed")
        return
    assert read.text == text
    assert text.isascii()
    assert len(text) <= recipients.MAX_TEXT
    assert recipients.seal(read, SECRET, label=LABEL)


def _recipients() -> list[bytes]:
    return [public.encode() for _, public in _keys().values()]


def identity(data: bytes) -> None:
    """The lines of a key file: they open what was sealed to them, or nothing."""
    lines = map(str.strip, text_of(data).splitlines())
    keys = [line for line in lines if recipients.is_identity(line)]
    for kind, (own, _) in _keys().items():
        try:
            plain = recipients.unseal(keys, _sealed()[kind], label=LABEL)
        except VerificationError as error:
            _declared(error, "malformed", "key_unavailable")
            continue
        assert plain == SECRET
        assert own in keys or own.lower() in keys  # Bech32 may be in either case


def _identities() -> list[bytes]:
    own = [identity for identity, _ in _keys().values()]
    return ["\n".join(lines).encode() for lines in (own, *zip(own), ["# public: age1", *own])]


def sealed(data: bytes) -> None:
    """An encrypted file under the right identities: only what was sealed is ever opened."""
    try:
        plain = recipients.unseal([own for own, _ in _keys().values()], data, label=LABEL)
    except VerificationError as error:
        _declared(error, "malformed", "key_unavailable")
        return
    assert plain == SECRET
    assert data in _sealed().values()


def _sealed_files() -> list[bytes]:
    return list(_sealed().values())


# --- the signature over the folder ----------------------------------------------------------------


@cache
def _honest_bundle() -> dict[str, Any]:
    return dict(json.loads(fw.honest().files[SIGNATURE]))


@cache
def _covered() -> dict[str, str]:
    files = fw.honest().files
    return {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != SIGNATURE}


def model_sig(data: bytes) -> None:
    """A bundle under the honest key: one spelling of one list, whoever wrote it."""
    try:
        found = model_signature.verify(data, fw.honest().files[PUBLIC_KEY])
    except ModelSignatureError:
        return
    assert found == _covered()
    # ECDSA draws a number, so an honest bundle of another day has another signature and no more.
    value = json.loads(data)
    value["dsseEnvelope"]["signatures"] = _honest_bundle()["dsseEnvelope"]["signatures"]
    assert canonical.dumps(value) == fw.honest().files[SIGNATURE]
    assert model_signature.canonical_form(data) == data


def model_key(data: bytes) -> None:
    """A public key that a bundle names: an honest one, or none."""
    value = json.loads(fw.honest().files[SIGNATURE])
    value["verificationMaterial"]["publicKey"]["hint"] = model_signature.key_sha256(data)
    try:
        model_signature.verify(canonical.dumps(value), data)
    except ModelSignatureError as error:
        _declared(error, "unknown_key", "bad_signature")
        return
    # PEM allows text around the key; the registry's statement names one spelling of it.
    assert _key_in(data) == _key_in(fw.honest().files[PUBLIC_KEY])


def _key_in(pem: bytes) -> bytes:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def model_statement(data: bytes) -> None:
    """Any bytes under a good signature of a stranger's: a list of files, or a bad statement."""
    try:
        found = model_signature.verify(_signed(data, "mallory"), fw.key("mallory")[1])
    except ModelSignatureError as error:
        _declared(error, "bad_statement")
        return
    digests = [bytes.fromhex(digest) for digest in found.values()]
    assert all(len(digest) == hashlib.sha256().digest_size for digest in digests)
    root = json.loads(data)["subject"][0]["digest"]["sha256"]
    assert root == hashlib.sha256(b"".join(digests)).hexdigest()


def _signed(payload: bytes, owner: str) -> bytes:
    """A bundle over these bytes by this owner's key, in the form that the stock tool's has here."""
    key = load_pem_private_key(fw.key(owner)[0], None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(envelope.pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    value = json.loads(fw.honest().files[SIGNATURE])
    value["dsseEnvelope"]["payload"] = canonical.b64(payload)
    value["dsseEnvelope"]["signatures"][0]["sig"] = canonical.b64(signature)
    hint = model_signature.key_sha256(fw.key(owner)[1])
    value["verificationMaterial"]["publicKey"]["hint"] = hint
    return model_signature.canonical_form(canonical.dumps(value))


def _payload() -> bytes:
    return canonical.unb64(_honest_bundle()["dsseEnvelope"]["payload"])


def _model_keys() -> list[bytes]:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    return [
        fw.key("registry")[1],
        b"# a comment\n" + fw.key("registry")[1],
        other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ]


# --- the folder -----------------------------------------------------------------------------------


def _folder_files() -> dict[str, bytes]:
    return {**fw.honest().files, fw.PROOF: fw.honest().proof}


def folder_file(data: bytes) -> None:
    """One file of a folder, or its proof, replaced by anything; byte 0 says which."""
    names = sorted(_folder_files())
    if data:
        _only_honest({**_folder_files(), names[data[0] % len(names)]: data[1:]})


def _only_honest(files: dict[str, bytes]) -> None:
    whole = dict(files)
    proof = files.pop(fw.PROOF)
    try:
        verifier.verify(files, proof, fw.PROOF, fw.honest().trust)
    except StepError:
        return
    assert whole == _folder_files()


def folder_resigned(data: bytes) -> None:
    """The same by whoever holds the folder's own key: every file is covered by what was changed.

    The page for people is all that this key alone vouches for; the rest has the registry's word,
    but for the worker's signature beside the registry's on the run: an evidence pack proves that.
    """
    files = _folder_files()
    names = sorted(set(files) - {SIGNATURE, PUBLIC_KEY})
    if not data:
        return
    changed = names[data[0] % len(names)]
    files[changed] = data[1:]
    proof = files.pop(fw.PROOF)
    files[SIGNATURE] = _covering(files)
    try:
        found = verifier.verify(files, proof, fw.PROOF, fw.honest().trust)
    except StepError as error:
        _still_covered(error)
        return
    honest = _folder_files()[changed]
    if changed == folder.RUN:
        assert json.loads(data[1:])["payload"] == json.loads(honest)["payload"]
    else:
        assert changed == folder.README or data[1:] == honest
    assert found.lora_id in fw.ADAPTER


def _still_covered(error: StepError) -> None:
    assert [step.name for step in error.done][:2] == ["folder", "bundle"], error


def folder_dishonest(data: bytes) -> None:
    """The registry itself signs and logs anything, and everything fits together around it.

    Byte 0 says what: the delivery's statement, the run's, the log's entry, the weights' file. It
    may prove what it likes of itself; it cannot make the verifier fall over, nor have it tell of a
    file that does not lie there.
    """
    if not data:
        return
    kind, given = _SIGNED[data[0] % len(_SIGNED)], data[1:]
    files = dict(fw.honest().files)
    honest = files[fw.ADAPTER]
    if kind == "weights":
        files[fw.ADAPTER] = given
    if kind == "run":
        files[folder.RUN] = _vouched(given)
    facts = {"file_sha256": hashlib.sha256(files[fw.ADAPTER]).hexdigest()}
    if kind == "run":
        facts["run_statement_sha256"] = hashlib.sha256(given).hexdigest()
    statement = given
    if kind != "delivery":
        statement = canonical.unb64(fw.delivery(honest, **facts)["payload"])
    files[folder.DELIVERY] = _vouched(statement)
    told = fw.entry(honest, {"payload": canonical.b64(statement)})
    told["file_sha256"] = facts["file_sha256"]
    leaf = given if kind == "entry" else _leaf(told)
    files[SIGNATURE] = _covering(files)
    try:
        found = verifier.verify(files, _logged(leaf), fw.PROOF, fw.honest().trust)
    except StepError as error:
        _still_covered(error)
        return
    assert found.file_sha256 == hashlib.sha256(files[fw.ADAPTER]).hexdigest()
    assert found.lora_id in fw.ADAPTER
    assert found.index == 0
    assert found.at.utcoffset() is not None


def _vouched(payload: bytes) -> bytes:
    return canonical.dumps(envelope.sign(PAYLOAD_TYPE, payload, [world.signer("provenance")]))


def _leaf(told: Mapping[str, str]) -> bytes:
    log = world.MemoryLog(world.log_signers())
    log.append("delivery.made", told, fw.AT)
    return log.entries[0]


def _logged(leaf: bytes) -> bytes:
    """A proof of an entry that is the only one in the log."""
    log = world.MemoryLog(world.log_signers(), [leaf])
    return format_proof(TlogProof(0, (), log.checkpoint(fw.AT), leaf)).encode()


def _dishonest_seeds() -> list[bytes]:
    files = fw.honest().files
    payloads = (json.loads(files[name])["payload"] for name in (folder.DELIVERY, folder.RUN))
    delivery, run = map(canonical.unb64, payloads)
    told = fw.entry(files[fw.ADAPTER], {"payload": canonical.b64(delivery)})
    honest = (delivery, run, _leaf(told), files[fw.ADAPTER])
    return [bytes([number]) + one for number, one in enumerate(honest)]


def _covering(files: Mapping[str, bytes]) -> bytes:
    """The stock tool's bundle over these files, without the tool, which takes its time."""
    statement = json.loads(_payload())
    rows = statement["predicate"]["resources"]
    for row in rows:
        row["digest"] = hashlib.sha256(files[row["name"]]).hexdigest()
    root = hashlib.sha256(b"".join(bytes.fromhex(row["digest"]) for row in rows))
    statement["subject"][0]["digest"]["sha256"] = root.hexdigest()
    return _signed(json.dumps(statement).encode(), "registry")


def _folder_seeds() -> list[bytes]:
    return [bytes([i]) + data for i, (_, data) in enumerate(sorted(_folder_files().items()))]


def _resigned_seeds() -> list[bytes]:
    names = sorted(set(_folder_files()) - {SIGNATURE, PUBLIC_KEY})
    return [bytes([i]) + _folder_files()[name] for i, name in enumerate(names)]


_SIGNED: Final = ("delivery", "run", "entry", "weights")
_JSON: Final = ('"', "{", "}", "[", "]", ":", ",", "null", "1e9", "[[[[[[[[", "false", "\\u0000")

TARGETS: Final[Mapping[str, Target]] = {
    "archive": Target(
        container,
        _containers,
        ("PK\x03\x04", "PK\x01\x02", "PK\x05\x06", "../", fw.NAME, ".zip.age", ".tlog-proof"),
        65_536,
    ),
    "recipient": Target(
        recipient, _recipients, ("age1", "kyodaku.", "x25519", "mlkem768-x25519", ".", "_"), 4_096
    ),
    "identity": Target(
        identity, _identities, ("AGE-SECRET-KEY-1", "KYODAKU-SECRET.", "\n", "x25519", "."), 4_096
    ),
    "sealed": Target(
        sealed, _sealed_files, ("age-encryption.org/v1\n", "-> X25519 ", "\n--- ", "KYOH1", "KYOS1")
    ),
    "model_sig": Target(
        model_sig, lambda: [fw.honest().files[SIGNATURE]], (*_JSON, '"keyid":', '"tlogEntries":')
    ),
    "model_key": Target(
        model_key, _model_keys, ("-----BEGIN PUBLIC KEY-----", "-----END", "MFkwEwYH", "="), 4_096
    ),
    "model_statement": Target(model_statement, lambda: [_payload()], (*_JSON, "ignore_paths")),
    "folder_file": Target(folder_file, _folder_seeds, _JSON),
    "folder_resigned": Target(folder_resigned, _resigned_seeds, _JSON),
    "folder_dishonest": Target(
        folder_dishonest,
        _dishonest_seeds,
        (*_JSON, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "finishedOn", '"at":'),
    ),
}
