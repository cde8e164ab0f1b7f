"""Wycheproof's JSON Web Signature cases, read as a worker reads a token.

They hold no case for Ed25519, which is all that a token is ever signed with. So every one of them
must be refused; each that is valid in its own algorithm is a deviation, and its reason is named.
"""

from __future__ import annotations

import base64
import json

from registry.core import jose
from registry.log.core.errors import VerificationError
from registry.log.core.keys import Ed25519Signer
from tests.conformance import vectors
from tests.conformance.suites import Result, judged

FILE = "json_web_signature_test.json"
PINNED = Ed25519Signer.from_seed(bytes(range(32)))


def verdict(token: str) -> bool:
    """Whether a worker would take this JWS, with the key id in its own header pinned."""
    try:
        kid = jose.header_of(token).get("kid", PINNED.kid)
        pinned = {kid: PINNED.public_raw} if isinstance(kid, str) else {}
        jose.read(token, typ="consent-token+jwt", pinned=pinned)
    except VerificationError:
        return False
    return True


def wycheproof_jws() -> Result:
    """All 401 cases: no other algorithm, key type, spelling or header ever passes."""
    cases = [(str(case["tcId"]), case) for _group, case in vectors.wycheproof(FILE)]
    verdicts = [(name, verdict(case["jws"]) == (case["result"] == "valid")) for name, case in cases]
    reasons = {
        name: f"signed with {_algorithm(case['jws'])}; a token is signed with Ed25519 only"
        for name, case in cases
        if case["result"] == "valid"
    }
    return judged("wycheproof jws", verdicts, reasons)


def _algorithm(token: str) -> str:
    """For the reason only: read leniently, since some valid cases have headers that we refuse."""
    head = token.split(".")[0].rstrip("=")
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("alg"))


SUITE = (f"wycheproof/{FILE}", wycheproof_jws)
