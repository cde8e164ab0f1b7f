"""`kyodaku verify FOLDER`, `kyodaku open PARCEL`: what a recipient does with a delivery. Stage 9.

Offline. `open` decrypts in memory and, given the pinned keys, verifies before it writes; it never
writes over anything. Exit codes as `kyodaku` has them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from audit.telling import NO, OK, TEST, cannot, failure_lines, failure_payload, passed, say, tell
from audit.verifier import folder as verifier
from audit.verifier.folder import Delivered
from audit.verifier.steps import Step, StepError
from registry.core import recipients
from registry.core.refusals import Locale
from registry.core.trust import TrustRoot
from registry.log.core.errors import VerificationError
from training.core import archive, folder

_MAX_IDENTITY: Final = 65_536
_VERIFIED: Final = {
    "ja": "VERIFIED {lora_id}: 納品 {delivery_id}、納品先 {licensee}、記録 {index} 番({at})。"
    "許諾が今も有効かは登録簿で確かめてください。",
    "en": "VERIFIED {lora_id}: delivery {delivery_id} to {licensee}, entry {index} of the log "
    "({at}). Whether the grant still holds is for the registry to say.",
}
_OPENED: Final = {
    "ja": "開封しました: {place}",
    "en": "Opened: {place}",
}
_MADE: Final = {
    "ja": "秘密鍵を書きました。なくすと納品物を開けません。"
    "次の公開鍵を登録簿の担当者に渡してください。",
    "en": "The secret key was written; without it no delivery can be opened. Give the registry's "
    "people this public key:",
}
_UNVERIFIED: Final = {
    "ja": "まだ何も検証していません。次に: kyodaku verify {place} --trust trust.json",
    "en": "NOTHING was verified yet. Next: kyodaku verify {place} --trust trust.json",
}
_WORDS: Final = {
    "no_identity": {
        "ja": "{name} に秘密鍵(KYODAKU-SECRET. か AGE-SECRET-KEY-1 の行)がありません。",
        "en": "{name} holds no secret key (a line of KYODAKU-SECRET. or AGE-SECRET-KEY-1).",
    },
    "not_for_you": {
        "ja": "この鍵では開けません。納品先として登録した鍵を --identity に指定してください。",
        "en": "This key does not open it. Name the key registered for deliveries with --identity.",
    },
    "exists": {
        "ja": "{name} がすでにあります。上書きはしません。--to で別の場所を指定してください。",
        "en": "{name} is there already and is not overwritten. Name another place with --to.",
    },
    "another": {
        "ja": "中身は別の納品 {name} です。受け取ったファイルの名前が書き換えられています。",
        "en": "What is inside is another delivery, {name}: somebody renamed what you received.",
    },
    "open_to_others": {
        "ja": "秘密鍵 {name} をほかの人が読めます。chmod 600 {name} としてください。",
        "en": "Others can read the secret key {name}. Run: chmod 600 {name}",
    },
}


class CannotOpen(Exception):
    """The question cannot be asked; the message is for people."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[Any]:
    """`open`; `verify` takes folders by itself."""
    opening = commands.add_parser("open", help="decrypt, check and unpack a delivery")
    opening.add_argument("file", type=Path, help="the parcel as downloaded (dlv_….zip)")
    opening.add_argument("--identity", type=Path, required=True, help="your secret key file")
    opening.add_argument("--trust", type=Path, help="the pinned trust.json: verify before writing")
    opening.add_argument("--to", type=Path, default=Path(), help="where to put it (default: here)")
    keygen = commands.add_parser("keygen", help="make a key to which deliveries are encrypted")
    keygen.add_argument("file", type=Path, help="where the secret half goes (0600)")
    keygen.add_argument(
        "--kind",
        choices=recipients.KINDS,
        default="mlkem768-x25519",
        help="age: any age tool opens it; mlkem768-x25519 (default): safe from quantum computers",
    )
    return [opening, keygen]


def is_parcel(path: Path) -> bool:
    """Whether this is a delivery that nobody has opened. Raises `OSError`."""
    if not path.is_file() or path.stat().st_size > archive.MAX_ARCHIVE:
        return False
    with path.open("rb") as file:
        looks_so = file.read(len(archive.LOCAL_MAGIC)) == archive.LOCAL_MAGIC
    return looks_so and folder.is_parcel(path.read_bytes())


def verify_folder(options: argparse.Namespace, trust: TrustRoot) -> int:
    """A delivered folder and the proof beside it (or `--proof`)."""
    path: Path = options.pack
    proof = options.proof or _proof_beside(path)
    try:
        verdict = verifier.verify(_load(path), _proof_bytes(proof), proof.name, trust)
    except OSError as error:
        return cannot(options, str(error))
    except StepError as error:
        tell(options, failure_payload(error), failure_lines(error, options.lang))
        return NO
    tell(options, payload_of(verdict), lines_of(verdict, options.lang))
    return OK


def keygen(options: argparse.Namespace) -> int:
    """Make a key: the secret half into a file of one's own, the public half on the screen."""
    identity, recipient = recipients.generate(options.kind)
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return cannot(options, _WORDS["exists"][options.lang].format(name=options.file))
    except OSError as error:
        return cannot(options, str(error))
    with os.fdopen(descriptor, "w") as file:
        file.write(f"# public: {recipient}\n{identity}\n")
    tell(options, {"recipient": recipient}, [_MADE[options.lang], recipient])
    return OK


def open_parcel(options: argparse.Namespace) -> int:
    """Decrypt, verify if keys are pinned, and only then write: the folder and its proof."""
    try:
        delivery_id, files, proof = _opened(options)
        trust = None if options.trust is None else TrustRoot.from_bytes(options.trust.read_bytes())
        place = options.to / delivery_id
        proof_name = delivery_id + folder.PROOF_SUFFIX
        if trust is not None:
            verdict = verifier.verify(files, proof, proof_name, trust)
            if verdict.delivery_id != delivery_id:
                raise CannotOpen(_WORDS["another"][options.lang].format(name=verdict.delivery_id))
            tell(options, payload_of(verdict), lines_of(verdict, options.lang))
        _write(options, place, files, proof_name, proof)
    except StepError as error:
        tell(options, failure_payload(error), failure_lines(error, options.lang))
        return NO
    except (OSError, ValueError, CannotOpen, VerificationError) as error:
        return cannot(options, str(error))
    said = [_OPENED[options.lang].format(place=place)]
    if trust is None:
        said.append(_UNVERIFIED[options.lang].format(place=place))
    if not options.json:
        say(said)
    elif trust is None:
        tell(options, {"verified": None, "place": str(place)}, said)
    return OK


def lines_of(verdict: Delivered, lang: Locale) -> list[str]:
    """Every step that passed, and the verdict."""
    lines = [passed(step, lang) for step in verdict.steps]
    if verdict.mode != "live":
        lines.append(f"     {TEST[lang]}")
    said = {**vars(verdict), "at": verdict.at.isoformat()}
    return [*lines, _VERIFIED[lang].format(**said)]


def payload_of(verdict: Delivered) -> dict[str, Any]:
    """The same for machines."""
    return {
        "verified": True,
        "mode": verdict.mode,
        "lora_id": verdict.lora_id,
        "delivery_id": verdict.delivery_id,
        "licensee": verdict.licensee,
        "grant_digest": verdict.grant_digest,
        "file_sha256": verdict.file_sha256,
        "log_index": verdict.index,
        "logged_at": verdict.at.isoformat(),
        "steps": [{"number": s.number, "name": s.name, "ok": True} for s in verdict.steps],
    }


def _load(path: Path) -> Mapping[str, bytes]:
    """A folder that cannot be a delivery is a broken first step, not a usage error."""
    try:
        return verifier.load(path)
    except VerificationError as error:
        raise StepError(
            Step(1, "folder", (path.name,)), path.name, (), error.code, error.detail
        ) from error


def _proof_beside(path: Path) -> Path:
    """The proof has the delivery's name, whatever the folder is called by now."""
    place = path.resolve()
    named = place.with_name(place.name + folder.PROOF_SUFFIX)
    if named.exists():
        return named
    found = sorted(place.parent.glob("dlv_*" + folder.PROOF_SUFFIX))
    return found[0] if len(found) == 1 else named


def _proof_bytes(path: Path) -> bytes:
    """Empty when it is missing: the step that reads it says so."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(folder.MAX_PAGE_BYTES)


def _opened(options: argparse.Namespace) -> tuple[str, dict[str, bytes], bytes]:
    if options.file.stat().st_size > archive.MAX_ARCHIVE:
        raise CannotOpen(f"{options.file.name} is too large for a delivery")
    delivery_id, sealed, proof = folder.parcel_unpack(options.file.read_bytes())
    identities = _identities(options.identity, options.lang)
    try:
        data = recipients.unseal(identities, sealed, label=delivery_id)
    except VerificationError as error:
        if error.code != "key_unavailable":
            raise
        raise CannotOpen(_WORDS["not_for_you"][options.lang]) from error
    del sealed  # as large as what is in it
    return delivery_id, folder.unpack(data), proof


def _identities(path: Path, lang: Locale) -> Sequence[str]:
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise CannotOpen(_WORDS["open_to_others"][lang].format(name=path))
        text = file.read(_MAX_IDENTITY).decode("utf-8", "replace")
    keys = [line for line in map(str.strip, text.splitlines()) if recipients.is_identity(line)]
    if not keys:
        raise CannotOpen(_WORDS["no_identity"][lang].format(name=path.name))
    return keys


def _write(
    options: argparse.Namespace,
    place: Path,
    files: Mapping[str, bytes],
    proof_name: str,
    proof: bytes,
) -> None:
    """Aside first, then in one step under its name: a folder is whole or absent."""
    beside = place.with_name(proof_name)
    for path in (place, beside):
        if os.path.lexists(path):  # a link that leads nowhere yet, too
            raise CannotOpen(_WORDS["exists"][options.lang].format(name=path))
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        for name, data in files.items():
            (aside / name).write_bytes(data)
        aside.rename(place)  # 0700, as it was made
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    with beside.open("xb") as file:
        file.write(proof)
