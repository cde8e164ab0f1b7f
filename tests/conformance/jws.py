"""Wycheproof's JSON Web Signature cases, read as a worker reads a token.

They hold no case for Ed25519, which is all that a token is ever signed with. So every one of them
must be refused; each that is valid in its own algorithm is a deviation, and its reason is named.

An algorithm refused says nothing about spelling. So a second suite carries every misspelling of
their segments (stray characters, spaces, unused bits) over into a token of ours, signed over just
that text, beside padding and duplicate members, which they have no case for in compact form: all
are refused, as malformed and not for their signature.
"""

from __future__ import annotations

import base64
import json

from registry.core import jose
from registry.log.core import canonical
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


ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
HEADER = {"alg": jose.ALGORITHM, "kid": PINNED.kid, "typ": "consent-token+jwt"}
BODY = b'{"a":1,"b":2}'


def ours(header: str, body: str, ending: str = "") -> str:
    """A token of ours over exactly these two segments."""
    text = f"{header}.{body}"
    return f"{text}.{canonical.b64u(PINNED.sign(text.encode()))}{ending}"


def misspelt(segment: str, like: str) -> str:
    """Our segment with their stray characters, on the same side; or with an unused bit set."""
    stray = "".join(c for c in like if c not in ALPHABET)
    if stray:
        return stray + segment if like.startswith(stray[0]) else segment + stray
    return segment[:-1] + chr(ord(segment[-1]) + 1)


def strict(segment: str) -> bool:
    """By the standard library alone: decodes, and encodes to the same text again."""
    if not set(segment) <= ALPHABET or len(segment) % 4 == 1:
        return False
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode() == segment


def spelling_cases() -> dict[str, str]:
    """Wrong spellings of a token of ours, by the Wycheproof case that they come from."""
    head, body = canonical.b64u(canonical.dumps(HEADER)), canonical.b64u(BODY)
    found = {
        "padded header": ours(head + "=" * (-len(head) % 4 or 4), body),
        "padded claims": ours(head, body + "=" * (-len(body) % 4 or 4)),
        "padded signature": ours(head, body, "=="),
        "duplicate claim": ours(head, canonical.b64u(b'{"a":1,"a":1}')),
        "duplicate header": ours(
            canonical.b64u(canonical.dumps(HEADER).replace(b"{", b'{"alg":"none",', 1)), body
        ),
    }
    for _group, case in vectors.wycheproof(FILE):
        parts = str(case["jws"]).split(".")
        for place, part in enumerate(parts if len(parts) == 3 else ()):
            if strict(part):
                continue
            name = f"{case['tcId']} {case['comment']}"
            if place == 2:
                stray = "".join(c for c in part if c not in ALPHABET)
                found[name] = ours(head, body, stray)
            else:
                segments = [head, body]
                segments[place] = misspelt(segments[place], part)
                found[name] = ours(*segments)
    return found


def wycheproof_jws_spelling() -> Result:
    """Every misspelling, in a token that is otherwise ours, is malformed; the right one is read."""
    verdicts = [("as it should be", _code(ours(*_right())) == "")]
    verdicts += [(name, _code(token) == "malformed") for name, token in spelling_cases().items()]
    return judged("wycheproof jws spelling", verdicts)


def _right() -> tuple[str, str]:
    return canonical.b64u(canonical.dumps(HEADER)), canonical.b64u(BODY)


def _code(token: str) -> str:
    try:
        jose.read(token, typ="consent-token+jwt", pinned={PINNED.kid: PINNED.public_raw})
    except VerificationError as error:
        return error.code
    return ""


SUITE = (f"wycheproof/{FILE}", wycheproof_jws)
SPELLING = (f"wycheproof/{FILE}", wycheproof_jws_spelling)
