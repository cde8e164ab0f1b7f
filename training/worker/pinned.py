"""The worker's trust: what its operator pinned, with the newest key set that the roots signed.

Stage 4. Trusts `trust.json` and nothing fetched: a key set counts when enough pinned roots signed
it and it is not older than the one taken before, which is written back so that it stays so.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from registry.core import keyset
from registry.core.trust import TrustRoot
from registry.log.core.errors import VerificationError
from training.worker.client import Client


def current(path: Path, client: Client, *, at: datetime) -> TrustRoot:
    """The trust root for a run that begins now.

    Without pinned roots there is nothing to follow: the keys are those that were pinned by hand.
    Raises `VerificationError` (the codes of `keyset.verify`, `unknown_key` when a registry whose
    roots are pinned shows no key set, `malformed`) and `Unreachable`.
    """
    try:
        trust = TrustRoot.from_bytes(path.read_bytes())
    except (OSError, ValueError, VerificationError) as error:
        raise VerificationError("malformed", "trust.json") from error
    if not trust.root_keys:
        return trust
    data = client.keyset()
    if data is None:
        raise VerificationError("unknown_key", "no key set is published")
    found = keyset.verify(data, trust, known_version=trust.keyset_version, at=at)
    fresh = keyset.applied(trust, found)
    if found.version > trust.keyset_version:
        aside = path.with_name(f".{path.name}.new")
        aside.write_bytes(fresh.to_bytes())
        # A crash before this: the older version is known, and the newer one is taken next time.
        os.replace(aside, path)
    return fresh
