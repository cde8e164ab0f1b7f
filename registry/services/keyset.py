"""The registry's key set: made, published, rotated, revoked. The roots sign it and nothing else.

Not a stage. The document lies as `keyset.json` beside the seeds, the roots' public keys as
`roots.json`; both are public. The roots' seeds are not kept there: a command names the folder that
they were brought in, and takes it away again. Every change is an event of the log, written before
the file: what was published can be found by anybody, what was not published counts for nobody.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.core import keyset as core
from registry.core.keyset import KeyRecord, KeySet
from registry.core.refusals import Refusal
from registry.core.trust import TrustRoot
from registry.log import keyfiles
from registry.log.append import append
from registry.log.core import canonical, keys
from registry.log.core.keys import Ed25519Signer

DOCUMENT: Final = "keyset.json"
ROOTS: Final = "roots.json"
LIFETIME: Final = timedelta(days=365)
# A replaced key may still sign what is being signed at this moment.
OVERLAP_S: Final = 60
_SEED: Final = 32


def roots_make(folder: Path, *, count: int = 3) -> list[Ed25519Signer]:
    """New root keys in a folder, `root-1.ed25519` …, 0600; to be carried off this machine."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, count + 1):
        _write(folder / f"root-{number}.ed25519", os.urandom(_SEED), mode=0o600)
    return roots_read(folder)


def roots_read(folder: Path) -> list[Ed25519Signer]:
    """The root keys in a folder. Raises `KeyFileError` for one that others can read."""
    return [
        Ed25519Signer.from_seed(keyfiles.read_secret(path, _SEED))
        for path in sorted(folder.glob("root-*.ed25519"))
    ]


def keyset_begin(
    *, roots: list[Ed25519Signer], threshold: int = 2, at: datetime | None = None
) -> KeySet | Refusal:
    """The first key set: the keys in use, under these roots. `wrong_state` when there is one."""
    at = at or timezone.now()
    if published() is not None:
        return Refusal("wrong_state", "there is a key set already")
    if not 1 <= threshold <= len({root.kid for root in roots}):
        return Refusal("malformed", f"{threshold} of {len(roots)} roots")
    found = {purpose: _seed(purpose) for purpose in core.PURPOSES}
    records = tuple(KeyRecord(p, s.public_raw, core.ACTIVE, 0) for p, s in found.items())
    fresh = KeySet(settings.PUBLIC_URL, settings.KYODAKU_MODE, 1, 0, 0, records)
    pinned = {
        "threshold": threshold,
        "keys": {root.kid: canonical.b64u(root.public_raw) for root in roots},
    }
    _write(settings.KEYS_DIR / ROOTS, canonical.dumps(pinned))
    return _publish(fresh, roots, "key.listed", {}, at)


def key_publish_next(
    *, purpose: str, roots: list[Ed25519Signer], at: datetime | None = None
) -> KeySet | Refusal:
    """Make the key that will sign next and publish it, so that everybody knows it before use."""
    at = at or timezone.now()
    known = published()
    if known is None or purpose not in core.PURPOSES:
        return Refusal("wrong_state", "no key set, or no such purpose")
    if any(k.purpose == purpose and k.status == core.NEXT for k in known.keys):
        return Refusal("wrong_state", "the next key is published already")
    seed = os.urandom(_SEED)
    record = KeyRecord(purpose, Ed25519Signer.from_seed(seed).public_raw, core.NEXT, 0)
    _write(_next_file(purpose), seed, mode=0o600)
    fresh = replace(known, keys=(*known.keys, record))
    return _publish(fresh, roots, "key.published", {"purpose": purpose, "kid": record.kid}, at)


def key_rotate(
    *, purpose: str, roots: list[Ed25519Signer], at: datetime | None = None
) -> KeySet | Refusal:
    """Put the next key to use; the one before it verifies what it signed and signs no more."""
    at = at or timezone.now()
    return _replace_active(purpose, roots, at, status=core.VERIFY_ONLY, until=None)


def key_revoke(
    *, kid: str, since: datetime, roots: list[Ed25519Signer], at: datetime | None = None
) -> KeySet | Refusal:
    """A key was stolen: what it signed from `since` on counts for nothing.

    The active key of a purpose can only be revoked when the next one is published: it takes over.
    """
    at = at or timezone.now()
    known = published()
    record = next((k for k in known.keys if k.kid == kid), None) if known else None
    if known is None or record is None or record.status in (core.REVOKED, core.NEXT):
        return Refusal("unknown_key", kid)
    until = max(int(since.timestamp()), 1)
    if record.status == core.ACTIVE:
        return _replace_active(record.purpose, roots, at, status=core.REVOKED, until=until)
    ended = replace(record, status=core.REVOKED, valid_until=min(until, record.valid_until))
    fresh = replace(known, keys=tuple(ended if k is record else k for k in known.keys))
    told = {"purpose": record.purpose, "kid": kid, "since": until}
    return _publish(fresh, roots, "key.revoked", told, at)


def _replace_active(
    purpose: str, roots: list[Ed25519Signer], at: datetime, *, status: str, until: int | None
) -> KeySet | Refusal:
    known = published()
    named = [k for k in known.keys if k.purpose == purpose] if known else []
    upcoming = next((k for k in named if k.status == core.NEXT), None)
    if known is None or upcoming is None:
        return Refusal("wrong_state", "publish the next key first")
    old, now = known.active(purpose), int(at.timestamp())
    ended = replace(old, status=status, valid_until=until or now + OVERLAP_S)
    begun = replace(upcoming, status=core.ACTIVE, valid_from=now)
    swap = {old: ended, upcoming: begun}
    fresh = replace(known, keys=tuple(swap.get(k, k) for k in known.keys))
    told: dict[str, object] = {"purpose": purpose, "kid": old.kid, "next": upcoming.kid}
    if status == core.REVOKED:
        told["since"] = ended.valid_until
        made = _publish(fresh, roots, "key.revoked", told, at)
    else:
        made = _publish(fresh, roots, "key.rotated", told, at)
    if isinstance(made, KeySet):
        # A crash before this line: the old seed signs on and its tokens are refused; run it again.
        os.replace(_next_file(purpose), _file(purpose))
    return made


def _publish(
    fresh: KeySet,
    roots: list[Ed25519Signer],
    event: str,
    told: dict[str, object],
    at: datetime,
) -> KeySet | Refusal:
    """(1) sign; (2) verify as a worker will; (3) log; (4) put the document in its place."""
    known = published()
    begun = int(at.timestamp())
    fresh = replace(
        fresh,
        version=known.version + 1 if known else 1,
        issued_at=begun,
        expires_at=begun + int(LIFETIME.total_seconds()),
    )
    # (1)
    data = core.sign(fresh, roots)
    # (2)
    trust = pinned(_bare_trust())
    core.verify(data, trust, known_version=known.version + 1 if known else 1, at=at)
    # (3)
    with transaction.atomic():
        digest = fresh.digest().hex()
        append(event, {**told, "version": fresh.version, "keyset_sha256": digest}, at=at)
    # (4) A crash before this: the log tells of a version that nobody got; the next one follows it.
    _write(settings.KEYS_DIR / DOCUMENT, data)
    return fresh


def published() -> KeySet | None:
    """The key set in force here, as its roots signed it; None where keys are pinned by hand."""
    data = document()
    return None if data is None else _verified(data, pinned(_bare_trust()))


def document() -> bytes | None:
    """The signed document, as it is served."""
    path: Path = settings.KEYS_DIR / DOCUMENT
    return path.read_bytes() if path.is_file() else None


@lru_cache(maxsize=8)
def _cached(data: bytes, roots: bytes, issuer: str, mode: str) -> KeySet:
    del roots
    return core.verify(data, pinned(_trust_of(issuer, mode)), known_version=0, at=timezone.now())


def _verified(data: bytes, trust: TrustRoot) -> KeySet:
    return _cached(data, _roots_file(), trust.issuer, trust.mode)


def pinned(trust: TrustRoot) -> TrustRoot:
    """The trust root with the roots that are pinned here, if any."""
    data = _roots_file()
    if not data:
        return trust
    found = canonical.loads(data)
    named = {kid: canonical.unb64u(raw) for kid, raw in found["keys"].items()}
    return replace(trust, root_keys=named, root_threshold=found["threshold"])


def _roots_file() -> bytes:
    path: Path = settings.KEYS_DIR / ROOTS
    return path.read_bytes() if path.is_file() else b""


def _bare_trust() -> TrustRoot:
    return _trust_of(settings.PUBLIC_URL, settings.KYODAKU_MODE)


def _trust_of(issuer: str, mode: str) -> TrustRoot:
    """As much of a trust root as a key set is verified against."""
    return TrustRoot(issuer, mode, {}, {}, {}, "", (), "", ())


def _seed(purpose: str) -> keys.Ed25519Signer:
    return Ed25519Signer.from_seed(keyfiles.read_secret(_file(purpose), _SEED))


def _file(purpose: str) -> Path:
    path: Path = settings.KEYS_DIR / f"{purpose}.ed25519"
    return path


def _next_file(purpose: str) -> Path:
    path: Path = settings.KEYS_DIR / f"{purpose}.next.ed25519"
    return path


def _write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Whole or not at all: written aside, flushed, then put in place."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
