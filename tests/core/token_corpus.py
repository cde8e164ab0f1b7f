"""The mutation corpus: tokens with one thing wrong each, and the code with which each is refused.

Generated, deterministic, counted (`test_token_corpus`). Whoever signs a wrong token here holds the
registry's own token key, unless the case says that the text was changed after signing: what a
stranger can do is the smaller part. `VERDICTS` is the one table of expected codes; a family of
cases shares a line where the reason is the same.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

import cbor2

from registry.core import approvals, grants, jose, status_list, tokens
from registry.core.approvals import Approval
from registry.core.grants import FORMAT, Grant, Party
from registry.core.terms import Terms
from registry.core.tokens import Claims, Leaf
from registry.log.core import canonical
from registry.log.core.checkpoint import LogSigners
from registry.log.core.keys import Ed25519Signer, Mldsa44Signer
from tests.core.token_world import (
    ALICE,
    BASE,
    BOB,
    CHARLIE,
    GRANT,
    INDEX,
    ISSUER,
    LOG,
    MALLORY,
    NOW,
    PARTIES,
    REDEEM,
    RP_ID,
    RUN,
    STATUS,
    TERMS,
    TOKEN,
    TRUST,
    WORKER,
    TokenWorld,
    approve,
    approve_all,
    evidence,
    gate,
    key_of,
    proof_for,
    status,
    token_world,
)

# Items that the talent ticks one by one, and terms that ask for nothing else of the kind.
TICKED: Final[Mapping[str, Terms]] = {
    "name_use": replace(TERMS, name_use="stage_name"),
    "exposure:swimwear": replace(TERMS, exposure="swimwear"),
    "transformation:body": replace(TERMS, transformations=("body",)),
    "sell_off": replace(TERMS, sell_off_days=30),
}
WORLD: Final = token_world()
PAYLOAD: Final[dict[str, Any]] = WORLD.claims.to_payload()
OTHER: Final = Ed25519Signer.from_seed(b"x" * 32)
HEADER: Final = {"alg": jose.ALGORITHM, "typ": tokens.TYPE, "kid": TOKEN.kid}
Path = tuple[str | int, ...]
Shown = dict[str, Any]

# Families of cases and the one code that each of their cases must be refused with.
VERDICTS: Final[Mapping[str, str]] = {
    # the text, changed by a stranger after signing
    "changed after signing": "bad_signature",
    "a byte flipped": "bad_signature",
    "segments": "malformed",
    "base64 spelling": "malformed",
    "signed by another key": "unknown_key",
    "signature of another": "bad_signature",
    # the header
    "header member extra": "malformed",
    "header member missing": "malformed",
    "header alg or typ": "malformed",
    "header kid unknown": "unknown_key",
    "header kid of no text": "unknown_key",
    # JSON, signed by the token key
    "member missing": "malformed",
    "member of another type": "malformed",
    "member duplicated": "malformed",
    "member unknown": "malformed",
    "members reordered": "malformed",
    "not canonical": "malformed",
    "not the claims": "malformed",
    "detail contradicts": "malformed",
    # claims, signed by the token key
    "issuer": "unknown_key",
    "audience": "wrong_audience",
    "job": "wrong_job",
    "worker": "wrong_worker",
    "token expired": "expired",
    "token not yet valid": "not_yet_valid",
    "token lives too long": "malformed",
    "mode": "wrong_mode",
    # the grant, signed again by the token key and never again by the people
    "grant changed, approvals kept": "approval_replaced",
    "grant changed, text kept": "approval_text_mismatch",
    "grant: term over": "expired",
    "grant: term not begun": "not_yet_valid",
    "grant: ends before the run": "ends_before_finish",
    "grant: base licence": "base_licence",
    "grant: shares": "shares_mismatch",
    "grant: photographs uncleared": "uncleared_copyright",
    "grant: no talent": "approval_missing:talent",
    "grant: no photographer": "approval_missing:photo_copyright",
    "grant: no agency": "approval_missing:agency_officer",
    "run above the limits": "recipe_exceeds",
    # approvals
    "approval missing: talent": "approval_missing:talent",
    "approval missing: agency_officer": "approval_missing:agency_officer",
    "approval missing: photo_copyright": "approval_missing:photo_copyright",
    "approval of another grant": "approval_replaced",
    "approval by another's key": "bad_signature",
    "approval in another's name": "bad_signature",
    "approval: one person twice": "bad_signature",
    "approval client data": "bad_signature",
    "approval client data form": "malformed",
    **{f"approval: no tick for {item}": f"tick_missing:{item}" for item in TICKED},
    "approval authenticator data": "bad_signature",
    "approval key": "bad_signature",
    "approval changed": "bad_signature",
    "approval spelling": "malformed",
    "approval member": "bad_signature",
    "test key in live mode": "wrong_mode",
    # the status list
    "status revoked": "revoked",
    "status paused": "paused",
    "status withdrawn": "withdrawn",
    "status stale": "status_stale",
    "status key": "unknown_key",
    "status form": "malformed",
    "status signature": "bad_signature",
    # the log
    "checkpoint": "bad_signature",
    "leaf": "bad_signature",
    "leaf form": "malformed",
    "enrolment": "bad_signature",
    "enrolment of a test key": "wrong_mode",
    "enrolment too new": "key_too_new",
    # the trust root
    "key that could not sign then": "key_revoked",
    "pinned key of small order": "malformed",
    # proof of possession
    "proof of another request": "bad_signature",
    "proof by another key": "wrong_worker",
    "proof old or early": "expired",
    "proof form": "malformed",
    "proof signature": "bad_signature",
}


@dataclass(frozen=True)
class Case:
    """One wrong token: its family in `VERDICTS`, what is wrong, and what to show at the gate."""

    family: str
    name: str
    make: Callable[..., Shown]

    @property
    def code(self) -> str:
        """The code it must be refused with."""
        return VERDICTS[self.family]

    def show(self) -> Claims:
        """Take it to the gate. Raises `VerificationError`, or the corpus has found a hole."""
        values: Shown = {"status_token": STATUS_TEXT} | self.make()
        token = values.pop("token")
        proof = values.pop("proof") if "proof" in values else proof_for(token)
        return gate(token, proof, values.pop("status_token"), **values)


STATUS_TEXT: Final = status()
TEXT: Final = WORLD.text()


def corpus() -> list[Case]:
    """Every case, in a fixed order; names are unique within their family."""
    return [case for family in FAMILIES for case in family()]


def _case(family: str, name: str, make: Callable[..., Shown]) -> Case:
    return Case(family, name, make)


def _token(family: str, name: str, make: Callable[..., str], **more: Any) -> Case:
    return Case(family, name, lambda: {"token": make(), **more})


def _world(family: str, name: str, make: Callable[..., TokenWorld], **more: Any) -> Case:
    return Case(family, name, lambda: {"token": make().text(), **more})


# --- tools ----------------------------------------------------------------------------------------


def signed(payload: Any, header: Any = HEADER, signer: Ed25519Signer = TOKEN) -> str:
    """A JWS over this payload: canonical JSON, or exactly these bytes."""
    head, body = (x if isinstance(x, bytes) else canonical.dumps(x) for x in (header, payload))
    text = f"{canonical.b64u(head)}.{canonical.b64u(body)}"
    return f"{text}.{canonical.b64u(signer.sign(text.encode()))}"


def paths(value: Any, place: Path = ()) -> Iterator[Path]:
    """Every member and element below `value`."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for name, inner in items:
        yield (*place, name)
        yield from paths(inner, (*place, name))


def at_path(value: Any, place: Path) -> Any:
    """What stands there."""
    for name in place:
        value = value[name]
    return value


def changed(place: Path, change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """The honest payload, with `change(parent, last name)` done."""
    payload = copy.deepcopy(PAYLOAD)
    change(at_path(payload, place[:-1]), place[-1])
    return payload


def put(value: Any) -> Callable[[Any, Any], None]:
    """A change that writes `value`."""

    def change(parent: Any, name: Any) -> None:
        parent[name] = value

    return change


def delete(parent: Any, name: Any) -> None:
    """A change that takes the member out."""
    del parent[name]


def altered(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return "2027-01-01" if value is None else value


def retyped(value: Any) -> Any:
    """A value of another type that a careless reader could take for it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) or value is None:
        return 7
    return {} if isinstance(value, list) else []


def named(place: Path) -> str:
    """A path as people write it."""
    return ".".join(map(str, place))


def again(grant_payload: Mapping[str, Any]) -> str:
    """A token over a changed grant, made consistent by whoever holds the token key."""
    payload = copy.deepcopy(PAYLOAD)
    payload["grant"] = grant_payload
    payload["authorization_details"][0] |= {
        "grant_digest": canonical.digest(FORMAT, grant_payload).hex(),
        "dataset_root": grant_payload["dataset"]["root"],
        "base_models": [base["sha256"] for base in grant_payload["base_models"]],
    }
    return signed(payload)


def with_text(grant: Grant) -> Grant:
    """The grant with the texts that belong to its terms."""
    digests = grants.text_digests(
        grant.terms,
        pictures=grant.dataset_count,
        max_runs=grant.max_runs,
        bases=grant.base_models,
        clearances=grant.clearances,
    )
    return replace(grant, text_sha256=digests)


# --- the text -------------------------------------------------------------------------------------


def changed_after_signing() -> Iterator[Case]:
    """Every scalar of the token changed by somebody without the key."""
    head, _, signature = TEXT.split(".")
    for place in paths(PAYLOAD):
        value = at_path(PAYLOAD, place)
        if isinstance(value, dict | list):
            continue
        payload = changed(place, put(altered(value)))
        body = canonical.b64u(canonical.dumps(payload))
        text = f"{head}.{body}.{signature}"
        yield _token("changed after signing", named(place), lambda text=text: text)


def spelling() -> Iterator[Case]:
    """The same bytes written otherwise, cut, joined, signed by others."""
    head, body, signature = TEXT.split(".")
    texts = {
        "segments": {
            "empty": "",
            "two": f"{head}.{body}",
            "four": f"{TEXT}.{signature}",
            "dots": "..",
            "no header": f".{body}.{signature}",
            "json serialisation": json.dumps({"payload": body, "signature": signature}),
            "too long": TEXT + "A" * jose.MAX_BYTES,
        },
        "signature of another": {
            "over no claims": f"{head}..{signature}",
            "of the status list": f"{head}.{body}.{STATUS_TEXT.split('.')[2]}",
            "empty": f"{head}.{body}.",
            "cut": f"{head}.{body}.{canonical.b64u(canonical.unb64u(signature)[:32])}",
            "zero": f"{head}.{body}.{canonical.b64u(bytes(64))}",
            "identity point": f"{head}.{body}.{canonical.b64u(bytes([1]) + bytes(63))}",
            "long": f"{head}.{body}.{canonical.b64u(canonical.unb64u(signature) + bytes(1))}",
        },
        "signed by another key": {
            "a stranger's": WORLD.text(OTHER),
            "the status key": WORLD.text(STATUS),
            "the worker's": WORLD.text(WORKER),
            "the log's": WORLD.text(LOG.ed25519),
        },
    }
    for family, members in texts.items():
        for name, text in members.items():
            yield _token(family, name, lambda text=text: text)
    for number, part in enumerate((head, body, signature)):
        for name, other in (
            ("padded", part + "=" * (-len(part) % 4 or 4)),
            ("one pad", part + "="),
            ("newline", part + "\n"),
            ("space", " " + part),
            ("plus", part[:4] + "+" + part[5:]),
            ("slash", part[:4] + "/" + part[5:]),
            ("not ascii", part[:4] + "é" + part[5:]),
            ("one more letter", part + "A" * (1 if len(part) % 4 == 0 else 5 - len(part) % 4)),
        ):
            parts = [head, body, signature]
            parts[number] = other
            text = ".".join(parts)
            yield _token("base64 spelling", f"{name} in {number}", lambda text=text: text)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(signature[-1]) ^ 1]
    text = TEXT[:-1] + last
    yield _token("base64 spelling", "unused bits", lambda: text)
    for place in range(0, 64, 8):
        raw = bytearray(canonical.unb64u(signature))
        raw[place] ^= 1
        flipped = f"{head}.{body}.{canonical.b64u(bytes(raw))}"
        yield _token("a byte flipped", f"signature {place}", lambda text=flipped: text)


def headers() -> Iterator[Case]:
    """Every header that is not exactly ours."""
    for name, value in {
        "jku": ISSUER + "/keys",
        "x5u": ISSUER + "/chain",
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(OTHER.public_raw)},
        "x5c": ["AAAA"],
        "x5t": "AAAA",
        "crit": ["b64"],
        "b64": False,
        "cty": "JWT",
        "zip": "DEF",
        "enc": "A128GCM",
        "nonce": "1",
        "kID": TOKEN.kid,
    }.items():
        head = {**HEADER, name: value}
        yield _token("header member extra", name, lambda head=head: signed(PAYLOAD, head))
    for name in HEADER:
        head = {k: v for k, v in HEADER.items() if k != name}
        yield _token("header member missing", name, lambda head=head: signed(PAYLOAD, head))
    for name, value in [
        *(("alg", v) for v in ("EdDSA", "none", "None", "", "HS256", "ES256", "ed25519", 1, None)),
        *(("typ", v) for v in ("JWT", "statuslist+jwt", "dpop+jwt", "", "CONSENT-TOKEN+JWT", 1)),
        ("typ", "application/consent-token+jwt"),
    ]:
        head = {**HEADER, name: value}
        yield _token(
            "header alg or typ", f"{name} {value!r}", lambda head=head: signed(PAYLOAD, head)
        )
    for value in (OTHER.kid, STATUS.kid, "", TOKEN.kid + "A", TOKEN.kid[:-1], "../" + TOKEN.kid):
        head = {**HEADER, "kid": value}
        yield _token("header kid unknown", repr(value), lambda head=head: signed(PAYLOAD, head))
    for other in (None, 7, [TOKEN.kid], {"kid": TOKEN.kid}):
        head = {**HEADER, "kid": other}
        yield _token("header kid of no text", repr(other), lambda head=head: signed(PAYLOAD, head))
    for name, raw in {
        "duplicate alg": b'{"alg":"none","alg":"Ed25519","kid":"%s","typ":"%s"}',
        "duplicate kid": b'{"alg":"Ed25519","kid":"x","kid":"%s","typ":"%s"}',
        "spaces": b'{"alg": "Ed25519","kid":"%s","typ":"%s"}',
        "order": b'{"kid":"%s","alg":"Ed25519","typ":"%s"}',
        "byte order mark": b'\xef\xbb\xbf{"alg":"Ed25519","kid":"%s","typ":"%s"}',
        "trailing": b'{"alg":"Ed25519","kid":"%s","typ":"%s"}\n',
    }.items():
        data = raw % (TOKEN.kid.encode(), tokens.TYPE.encode())
        yield _token("not canonical", f"header: {name}", lambda data=data: signed(PAYLOAD, data))


# --- the claims' form -----------------------------------------------------------------------------


def members() -> Iterator[Case]:
    """Every member missing and of another type; every object with one more member."""
    for place in paths(PAYLOAD):
        value = at_path(PAYLOAD, place)
        if isinstance(place[-1], str) and place[:-1] != ("log", "enrolments"):
            if place[-1] not in DEFAULTED or "terms" not in place:
                payload = changed(place, delete)
                yield _token("member missing", named(place), lambda p=payload: signed(p))
            payload = changed(place, put(retyped(value)))
            yield _token("member of another type", named(place), lambda p=payload: signed(p))
            if value is not None:
                payload = changed(place, put(None))
                yield _token(
                    "member of another type", f"null {named(place)}", lambda p=payload: signed(p)
                )
        if (
            isinstance(value, dict)
            and place != ("log", "enrolments")
            and "text_sha256" not in place
        ):
            payload = changed((*place, "extra"), put(1))
            yield _token("member unknown", named(place), lambda p=payload: signed(p))


# Members that older tokens may lack: a parser fills them in, so that their lack is another grant.
DEFAULTED: Final[frozenset[str]] = frozenset(PAYLOAD["grant"]["terms"])


def json_forms() -> Iterator[Case]:
    """JSON that parsers disagree about, members twice, members in another order."""
    text = canonical.dumps(PAYLOAD).decode()
    for name in PAYLOAD:
        inner = json.dumps(name) + ":" + canonical.dumps(PAYLOAD[name]).decode()
        assert inner in text
        for place, doubled in (
            ("after", text[:-1] + "," + inner + "}"),
            ("before", "{" + json.dumps(name) + ":null," + text[1:]),
        ):
            data = doubled.encode()
            yield _token("member duplicated", f"{name} {place}", lambda data=data: signed(data))
        rest = {k: v for k, v in PAYLOAD.items() if k != name}
        moved = ("{" + canonical.dumps(rest).decode()[1:-1] + "," + inner + "}").encode()
        if moved != text.encode():
            yield _token("members reordered", f"{name} last", lambda data=moved: signed(data))
    for name, data in {
        "indented": json.dumps(PAYLOAD, indent=1, sort_keys=True).encode(),
        "spaces": json.dumps(PAYLOAD, sort_keys=True).encode(),
        "escaped": text.replace("iss", "\\u0069ss", 1).encode(),
        "slashes": text.replace("/", "\\/").encode(),
        "exponent": text.replace(f'"exp":{PAYLOAD["exp"]}', f'"exp":{PAYLOAD["exp"]}.0').encode(),
        "minus zero": text.replace('"max_files":1', '"max_files":1e0').encode(),
        "newline": text.encode() + b"\n",
        "byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "utf-16": text.encode("utf-16"),
        "nul": text.encode() + b"\0",
    }.items():
        yield _token("not canonical", name, lambda data=data: signed(data))
    for name, other in {
        "empty": b"",
        "null": b"null",
        "list": [],
        "text": '"x"',
        "number": 7,
        "nothing": {},
        "not json": b"{",
        "nan": text.replace(str(PAYLOAD["exp"]), "NaN").encode(),
        "infinity": text.replace(str(PAYLOAD["exp"]), "1e999").encode(),
        "huge": text.replace(str(PAYLOAD["exp"]), "9" * 30).encode(),
        "deep": b"[" * 200 + b"]" * 200,
        "lone surrogate": text.replace("Kadoma", "\\ud800").encode(),
        "the grant alone": PAYLOAD["grant"],
        "an approval": PAYLOAD["approvals"][0],
    }.items():
        yield _token("not the claims", name, lambda other=other: signed(other))


def claims() -> Iterator[Case]:
    """Claims with another value, signed by the token key."""
    end, begun = WORLD.claims.expires_at, WORLD.claims.issued_at
    late, skew = timedelta(seconds=tokens.LIFETIME_S), timedelta(seconds=tokens.SKEW_S)

    def other(family: str, name: str, **change: Any) -> Case:
        return _world(family, name, lambda: WORLD.changed(**change))

    for issuer in ("https://other.example", ISSUER + "/", ISSUER.upper(), "", "http" + ISSUER[5:]):
        yield other("issuer", repr(issuer), issuer=issuer)
    for audience in ("pool:other", "", "pool:default ", "POOL:default", "*"):
        yield other("audience", repr(audience), audience=audience)
    for job in ("job_other", "", WORLD.claims.job_id + "0", WORLD.claims.job_id.upper()):
        yield other("job", repr(job), job_id=job)
    for jkt in (STATUS.kid, OTHER.kid, TOKEN.kid, "", WORKER.kid[:-1], WORKER.kid + "A"):
        yield other("worker", repr(jkt), jkt=jkt)
    for jti in ("", "tok_", "tok_" + "5E" * 10, "tok_" + "5e" * 11, "grt_" + "5e" * 10, "../x"):
        yield other("not the claims", f"jti {jti!r}", jti=jti)
    for ends in (begun, begun - 1, begun - 3600):
        yield other("token expired", f"exp {ends - begun}", expires_at=ends)
    for more in (6, 60, 599, 3600):
        yield other("token not yet valid", f"nbf +{more}", not_before=begun + more)
        yield other(
            "token not yet valid",
            f"iat +{more}",
            issued_at=begun + more,
            expires_at=begun + more + 600,
        )
    for more in (1, 600, 86_400, 10**9):
        yield other("token lives too long", f"exp +{more}", expires_at=end + more)
    for seconds in (600, 601, 3600, 10**8):
        moment = NOW + timedelta(seconds=seconds)
        yield _case("token expired", f"shown {seconds} s later", lambda at=moment: at_moment(at))
    for before in (skew + timedelta(seconds=1), timedelta(minutes=1), late, timedelta(days=1)):
        moment = NOW - before
        yield _case("token not yet valid", f"shown {before} early", lambda at=moment: at_moment(at))
    for value in (-1, -(2**40)):
        for name in ("iat", "nbf", "exp"):
            payload = changed((name,), put(value))
            yield _token("not the claims", f"{name} {value}", lambda p=payload: signed(p))
    yield _case("mode", "a live worker", lambda: {"token": TEXT, "trust": LIVE_TRUST})
    yield other("mode", "said to be live", mode="live")
    yield _case(
        "mode",
        "a live token over a test grant",
        lambda: {"token": WORLD.changed(mode="live").text(), "trust": LIVE_TRUST},
    )
    yield _case(
        "mode", "a live grant in a test token", lambda: {"token": LIVE.text(), "trust": LIVE_TRUST}
    )
    for word in ("", "TEST", "prod"):
        yield other("mode", f"mode {word!r}", mode=word)
    for name in ("grant_digest", "dataset_root"):
        payload = changed(("authorization_details", 0, name), put("00" * 32))
        yield _token("detail contradicts", name, lambda p=payload: signed(p))
    payload = changed(("authorization_details", 0, "type"), put("payment"))
    yield _token("detail contradicts", "type", lambda: signed(payload))
    bases = changed(("authorization_details", 0, "base_models"), put(["00" * 32]))
    yield _token("detail contradicts", "base_models", lambda: signed(bases))
    twice = changed(("authorization_details",), put(PAYLOAD["authorization_details"] * 2))
    yield _token("detail contradicts", "two", lambda: signed(twice))
    none = changed(("authorization_details",), put([]))
    yield _token("detail contradicts", "none", lambda: signed(none))


def at_moment(at: datetime) -> Shown:
    """The honest token shown at another time, with everything else of that time."""
    return {
        "token": TEXT,
        "proof": proof_for(TEXT, at=at),
        "status_token": status(at=at),
        "at": at,
    }


LIVE_TRUST: Final = replace(TRUST, mode="live")
LIVE: Final = WORLD.with_grant(
    replace(GRANT, mode="live", parties=tuple(replace(p, assurance="passkey") for p in PARTIES))
)


# --- the grant ------------------------------------------------------------------------------------


def grant_members() -> Iterator[Case]:
    """Every scalar of the grant changed and signed again by the token key: the people did not."""
    for place in paths(PAYLOAD["grant"]):
        value = at_path(PAYLOAD["grant"], place)
        if isinstance(value, dict | list) or place == ("format",):
            continue
        family = _verdict_of_grant(place)
        if family is None:
            continue
        payload = copy.deepcopy(PAYLOAD["grant"])
        at_path(payload, place[:-1])[place[-1]] = altered(value)
        yield _token(family, named(place), lambda p=payload: again(p))


def _verdict_of_grant(place: Path) -> str | None:
    """The family of a changed scalar of the grant; None for one that has a case of its own."""
    if place[0] == "mode" or (place[0] == "parties" and place[-1] == "by"):
        return None
    if place[0] == "terms":
        return None
    if place == ("dataset", "alg"):
        return "not the claims"
    if place[0] == "base_models" and place[-1] in ("commercial", "outputs"):
        return "grant: base licence"
    if place[0] in ("text_sha256", "max_runs") or place == ("dataset", "count"):
        return "grant changed, text kept"
    if place[0] == "clearances":
        return _verdict_of_clearance(place)
    if place[0] == "parties" and place[-1] == "subject" and place[1] in (0, 1):
        return "grant: no agency"
    if place[:2] == ("parties", 2) and place[-1] in ("party_id", "subject"):
        return "grant: no photographer"
    return "grant changed, approvals kept"


def _verdict_of_clearance(place: Path) -> str:
    if place[-1] in ("reserved", "masked"):
        return "grant changed, text kept"
    if place[1] == "shares":
        return "grant: shares"
    if place[1] == "copyright":
        known = place[-1] in ("basis", "count")
        return "grant: photographs uncleared" if known else "grant: no photographer"
    return "grant changed, approvals kept"


def grant_terms() -> Iterator[Case]:
    """Other terms: with the texts that were signed, with texts made anew, and signed by all."""
    for name, change in TERM_CHANGES.items():
        grant = replace(GRANT, terms=replace(TERMS, **change))
        kept = grant.to_payload()
        yield _token("grant changed, text kept", f"terms.{name}", lambda p=kept: again(p))
        anew = with_text(grant).to_payload()
        yield _token("grant changed, approvals kept", f"terms.{name}", lambda p=anew: again(p))

    def whole(family: str, name: str, **change: Any) -> Case:
        """A grant that everybody signed, and that does not hold all the same."""
        grant = with_text(replace(GRANT, terms=replace(TERMS, **change)))
        return _world(family, name, lambda: WORLD.with_grant(grant))

    for end in (date(2026, 11, 19), date(2026, 11, 1), date(2020, 1, 1)):
        start = min(end, TERMS.start)
        yield whole("grant: term over", end.isoformat(), start=start, end=end)
    for start in (date(2026, 11, 21), date(2026, 12, 1), date(2027, 3, 31)):
        yield whole("grant: term not begun", start.isoformat(), start=start)
    # NOW is noon of 20 November in Japan: the day ends in twelve hours.
    for hours in (13, 24, 24 * 365):
        run = replace(RUN, max_runtime_s=hours * 3600)
        grant = with_text(replace(GRANT, terms=replace(TERMS, end=date(2026, 11, 20))))
        yield _world(
            "grant: ends before the run",
            f"{hours} h",
            lambda g=grant, r=run: WORLD.with_grant(g).changed(run=r),
        )
    for name, bases in {
        "not commercial": (replace(BASE, commercial=False),),
        "none": (),
        "one of two": (BASE, replace(BASE, sha256="56" * 32, commercial=False)),
    }.items():
        grant = replace(GRANT, base_models=bases)
        yield _world("grant: base licence", name, lambda g=grant: WORLD.with_grant(g))
    for number, by in enumerate(("talent", "agency", "photographer")):
        grant = replace(GRANT, parties=PARTIES[:number] + PARTIES[number + 1 :])
        yield _world(f"grant: no {by}", "left out", lambda g=grant: WORLD.with_grant(g))
    other = replace(PARTIES[1], subject="tal_other")
    grant = replace(GRANT, parties=(PARTIES[0], other, PARTIES[2]))
    yield _world("grant: no agency", "of another talent", lambda: WORLD.with_grant(grant))
    runs: dict[str, dict[str, Any]] = {
        "rank": {"rank": 9},
        "steps": {"steps": 161},
        "resolution": {"resolution": 33},
        "method": {"method": "dora"},
        "no method": {"method": ""},
        "all": {"rank": 128, "steps": 10**6, "resolution": 4096},
    }
    for name, wanted in runs.items():
        run = replace(RUN, **wanted)
        yield _world("run above the limits", name, lambda r=run: WORLD.changed(run=r))


TERM_CHANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "media": {"media": ("photobook_ebook", "ad_tv")},
    "client": {"client": "Another Press"},
    "product": {"product": "autumn photobook"},
    "territory": {"territory": ("worldwide",)},
    "start": {"start": date(2026, 10, 1)},
    "end": {"end": date(2036, 3, 31)},
    "purpose": {"purpose": "pictures for anything at all"},
    "quantity": {"quantity": 10_000},
    "transformations": {"transformations": ("body",)},
    "exposure": {"exposure": "swimwear"},
    "likeness_parts": {"likeness_parts": ("face", "body")},
    "categories": {"categories": ("sexual",)},
    "exclusivity": {"exclusivity": "full"},
    "duties": {"duties": ("report_use",)},
    "name_use": {"name_use": "stage_name"},
    "fee_jpy": {"fee_jpy": 1},
    "replaces_booked_shoot": {"replaces_booked_shoot": True},
}


# --- approvals ------------------------------------------------------------------------------------

GIVEN: Final = WORLD.claims.approvals


def given_instead(number: int, approval: Approval) -> TokenWorld:
    """The honest token with one approval exchanged, logged as if it had been so from the start."""
    given = (*GIVEN[:number], approval, *GIVEN[number + 1 :])
    return WORLD.changed(approvals=given, log=evidence(GRANT, given=given))


def exchanged() -> Iterator[Case]:
    """Approvals missing, swapped, of others, of other grants, by others' keys."""
    for number, who in enumerate(PARTIES):
        kept = GIVEN[:number] + GIVEN[number + 1 :]
        yield _world(
            f"approval missing: {who.by}",
            "left out",
            lambda kept=kept: WORLD.changed(approvals=kept, log=evidence(GRANT, given=kept)),
        )
        twice = kept + kept[:1]
        yield _world(
            f"approval missing: {who.by}",
            "another's in its place",
            lambda given=twice: WORLD.changed(approvals=given, log=evidence(GRANT, given=given)),
        )
        for name, other in {
            "pictures": replace(GRANT, dataset_root="00" * 32),
            "terms": with_text(replace(GRANT, terms=replace(TERMS, product="another"))),
            "grant id": replace(GRANT, grant_id="grt_2"),
            "runs": with_text(replace(GRANT, max_runs=2)),
        }.items():
            yield _world(
                "approval of another grant",
                f"{who.by}: other {name}",
                lambda n=number, g=other, w=who: given_instead(n, approve(g, w)),
            )
            yield _world(
                "approval client data",
                f"{who.by}: other {name}, relabelled",
                lambda n=number, g=other, w=who: given_instead(
                    n, replace(approve(g, w), grant_digest=GRANT.digest().hex())
                ),
            )
        yield _world(
            "approval by another's key",
            f"{who.by}: own, not listed",
            lambda n=number: _unlisted(n),
        )
        for soft_name, soft in SOFTS.items():
            if key_of(soft) in who.keys:
                continue
            yield _world(
                "approval by another's key",
                f"{who.by} by {soft_name}",
                lambda n=number, w=who, s=soft: given_instead(n, approve(GRANT, w, soft=s)),
            )
        for claimed in PARTIES:
            if claimed != who:
                yield _world(
                    "approval in another's name",
                    f"{who.by} as {claimed.by}",
                    lambda n=number, c=claimed: given_instead(
                        n, replace(GIVEN[n], party_id=c.party_id, by=c.by)
                    ),
                )
        for by in grants.CAPACITIES:
            if by != who.by:
                yield _world(
                    "approval in another's name",
                    f"{who.party_id} as {by}",
                    lambda n=number, b=by: given_instead(n, replace(GIVEN[n], by=b)),
                )
                yield _world(
                    "approval in another's name",
                    f"{who.party_id} signed as {by}",
                    lambda n=number, w=who, b=by: given_instead(
                        n, approve(GRANT, replace(w, by=b))
                    ),
                )
    yield _world("approval client data", "one signature in two capacities", _both_roles)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        yield _case(
            "approval: one person twice", f"{first}{second}", lambda f=first, s=second: _twin(f, s)
        )


def ticks() -> Iterator[Case]:
    """Everything is signed and logged as it is, but an explicit item was not ticked."""
    for item, asked in TICKED.items():
        grant = with_text(replace(GRANT, terms=asked))
        for name, given in {"none": (), "another": ("category:fortune",)}.items():
            yield _world(
                f"approval: no tick for {item}",
                name,
                lambda g=grant, t=given: _ticked(g, t),
            )


def _ticked(grant: Grant, given: tuple[str, ...]) -> TokenWorld:
    signed = tuple(approve(grant, p, ticks=given) for p in grant.parties)
    return WORLD.changed(grant=grant, approvals=signed, log=evidence(grant, given=signed))


def _both_roles() -> TokenWorld:
    """The photographer is his own model: his one signature is shown for both of his lanes."""
    talent = replace(PARTIES[0], party_id="per_charlie", keys=PARTIES[2].keys)
    grant = replace(GRANT, parties=(talent, *PARTIES[1:]))
    own = approve(grant, PARTIES[2])
    signed = (replace(own, by="talent"), approve(grant, PARTIES[1]), own)
    return WORLD.changed(grant=grant, approvals=signed, log=evidence(grant, given=signed))


SOFTS: Final = {"alice": ALICE, "bob": BOB, "charlie": CHARLIE, "mallory": MALLORY}


def _unlisted(number: int) -> TokenWorld:
    """A second key of the party, enrolled by it in the log, that the grant does not list."""
    who = PARTIES[number]
    second = replace(who, keys=(key_of(MALLORY),))
    given = (*GIVEN[:number], approve(GRANT, who, soft=MALLORY), *GIVEN[number + 1 :])
    log = evidence(GRANT, parties=(*PARTIES, second), given=given)
    return WORLD.changed(approvals=given, log=log)


def _twin(first: int, second: int) -> Shown:
    """Two parties of the grant are one key: a person who signs twice under two names."""
    soft = (ALICE, BOB, CHARLIE)[first]
    listed = list(PARTIES)
    listed[second] = replace(PARTIES[second], keys=(key_of(soft),))
    grant = replace(GRANT, parties=tuple(listed))
    given = tuple(
        approve(grant, p, soft=soft if p in (listed[first], listed[second]) else None)
        for p in listed
    )
    world = WORLD.changed(grant=grant, approvals=given, log=evidence(grant, given=given))
    return {"token": world.text()}


def assertions() -> Iterator[Case]:
    """What a broken or lying client could sign with the right key."""
    forms: dict[str, dict[str, Any]] = {
        "create": {"type": "webauthn.create"},
        "payment": {"type": "payment.get"},
        "no type": {"type": None},
        "other challenge": {"challenge": canonical.b64u(bytes(32))},
        "the grant's digest alone": {"challenge": canonical.b64u(GRANT.digest())},
        "other origin": {"origin": "https://evil.example"},
        "sub-domain": {"origin": "https://x.registry.example"},
        "port": {"origin": ISSUER + ":8443"},
        "http": {"origin": "http://registry.example"},
        "slash": {"origin": ISSUER + "/"},
        "null origin": {"origin": None},
        "cross-origin": {"crossOrigin": True},
        "cross-origin text": {"crossOrigin": "false"},
        "cross-origin null": {"crossOrigin": None},
        "top origin": {"topOrigin": ISSUER},
        "top origin false": {"crossOrigin": False, "topOrigin": "https://evil.example"},
    }
    for number in range(3):
        own = canonical.b64u(GIVEN[number].challenge())
        other = canonical.b64u(GIVEN[number - 1].challenge())
        challenges = {
            "padded challenge": {"challenge": own + "="},
            "hex challenge": {"challenge": GIVEN[number].challenge().hex()},
            "another's challenge": {"challenge": other},
        }
        for name, said in {**forms, **challenges}.items():
            yield _world(
                "approval client data",
                f"{number}: {name}",
                lambda n=number, s=said: given_instead(n, _asserted(n, client=s)),
            )
        for name, change in {
            "a tick more": {"ticks": ("name_use",)},
            "another nonce": {"nonce": "cha_0"},
            "no nonce": {"nonce": ""},
        }.items():
            yield _world(
                "approval client data",
                f"{number}: {name}",
                lambda n=number, c=change: given_instead(n, replace(GIVEN[n], **c)),
            )
        for flags in (0x00, 0x01, 0x04, 0x15, 0x45, 0x85, 0xC5):
            yield _world(
                "approval authenticator data",
                f"{number}: flags {flags:#04x}",
                lambda n=number, f=flags: given_instead(n, _asserted(n, flags=f)),
            )
        for rp_id in ("evil.example", "example", "REGISTRY.example"):
            yield _world(
                "approval authenticator data",
                f"{number}: relying party {rp_id}",
                lambda n=number, r=rp_id: given_instead(n, _asserted(n, rp_id=r)),
            )
        for name, more in {"a byte more": b"\x00", "cbor more": cbor2.dumps({})}.items():
            yield _world(
                "approval authenticator data",
                f"{number}: {name}",
                lambda n=number, m=more: given_instead(n, _asserted(n, rest=m)),
            )
        for name, data in {
            "list": b"[]",
            "cut": b"{",
            "twice": b'{"type":"webauthn.get","type":"webauthn.create"}',
            "not utf-8": b"\xff",
            "empty": b"",
        }.items():
            yield _world(
                "approval client data form",
                f"{number}: {name}",
                lambda n=number, d=data: given_instead(
                    n, replace(GIVEN[n], client_data_json=canonical.b64u(d))
                ),
            )
        for member in ("authenticator_data", "signature", "cose_key"):
            raw = bytearray(canonical.unb64u(getattr(GIVEN[number], member)))
            raw[len(raw) // 2] ^= 1
            text = canonical.b64u(bytes(raw))
            yield _world(
                "approval changed",
                f"{number}: {member}",
                lambda n=number, m=member, t=text: given_instead(n, replace(GIVEN[n], **{m: t})),
            )
        for member in (
            "credential_id",
            "cose_key",
            "authenticator_data",
            "client_data_json",
            "signature",
        ):
            for name, ending in {"padded": "=", "space": " ", "letter": "A" * 5}.items():
                text = getattr(GIVEN[number], member)
                text = text[: len(text) - len(text) % 4] + ending
                if len(text) % 4 != 1 and name == "letter":
                    continue
                yield _world(
                    "approval spelling",
                    f"{number}: {member} {name}",
                    lambda n=number, m=member, t=text: given_instead(
                        n, replace(GIVEN[n], **{m: t})
                    ),
                )
        for member in ("approval_id", "asserted_at", "credential_id"):
            other = (
                altered(getattr(GIVEN[number], member)[:-1] + "A")
                if member != "credential_id"
                else canonical.b64u(bytes(32))
            )
            yield _world(
                "approval member",
                f"{number}: {member} after the grant was made",
                lambda n=number, m=member, t=other: WORLD.changed(
                    approvals=(*GIVEN[:n], replace(GIVEN[n], **{m: t}), *GIVEN[n + 1 :])
                ),
            )
        for logged in (True, False):
            yield _case(
                "test key in live mode",
                f"{number}, the log says so too: {logged}",
                lambda n=number, said=logged: _test_key_in_live(n, logged=said),
            )


def _asserted(
    number: int,
    client: Mapping[str, Any] | None = None,
    flags: int = 0x05,
    rp_id: str = RP_ID,
    rest: bytes = b"",
) -> Approval:
    soft = (ALICE, BOB, CHARLIE)[number]
    said = {
        "type": "webauthn.get",
        "challenge": canonical.b64u(GIVEN[number].challenge()),
        "origin": ISSUER,
        "crossOrigin": False,
    } | dict(client or {})
    data = json.dumps(said).encode()
    auth = bytearray(soft._auth_data(rp_id) + rest)
    auth[32] = flags
    return replace(
        GIVEN[number],
        authenticator_data=canonical.b64u(bytes(auth)),
        client_data_json=canonical.b64u(data),
        signature=canonical.b64u(soft._sign(RP_ID, bytes(auth), data)),
    )


def _test_key_in_live(number: int, *, logged: bool) -> Shown:
    """One software key among passkeys; the grant says so, the log may say otherwise."""
    listed = tuple(
        replace(p, assurance="test" if i == number else "passkey") for i, p in enumerate(PARTIES)
    )
    grant = replace(GRANT, mode="live", parties=listed)
    given = approve_all(grant)
    log = evidence(grant, parties=listed if logged else LIVE.claims.grant.parties, given=given)
    world = WORLD.changed(mode="live", grant=grant, approvals=given, log=log)
    return {"token": world.text(), "trust": LIVE_TRUST}


SMALL_ORDER: Final = {
    "identity": b"\x01" + bytes(31),
    "order 2": (2**255 - 20).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 4, sign": bytes(31) + b"\x80",
    "order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "order 8, sign": bytes.fromhex(
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"
    ),
    "not canonical": (2**255 - 18).to_bytes(32, "little"),
}


def keys() -> Iterator[Case]:
    """Keys that no one can hold: small order, off the curve, of another form; listed and logged."""
    for name, raw in SMALL_ORDER.items():
        cose = cbor2.dumps({1: 1, 3: -8, -1: 6, -2: raw})
        yield _case("approval key", name, lambda c=cose: _with_key(c, b"\x01" + bytes(63)))
        yield _case(
            "pinned key of small order",
            name,
            lambda r=raw: {
                "token": signed(PAYLOAD, signer=TOKEN),
                "trust": replace(TRUST, token_keys={TOKEN.kid: r}),
            },
        )
        yield _case("proof form", f"worker key: {name}", lambda r=raw: _proof_with_key(r))
    for name, cose in {
        "off the curve": cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"\x01" * 32, -3: b"\x02" * 32}),
        "another curve": cbor2.dumps({1: 2, 3: -7, -1: 2, -2: b"\x01" * 32, -3: b"\x02" * 32}),
        "another algorithm": cbor2.dumps({1: 2, 3: -35, -1: 1, -2: b"\x01" * 32, -3: b"\x02" * 32}),
        "symmetric": cbor2.dumps({1: 4, 3: 5, -1: b"k" * 32}),
        "short RSA": cbor2.dumps({1: 3, 3: -257, -1: b"\x81" * 64, -2: b"\x01\x00\x01"}),
        "no CBOR": b"\xff\xff",
        "empty": b"",
        "trailing": ALICE.cose_key(RP_ID) + b"\x00",
    }.items():
        yield _case("approval key", name, lambda c=cose: _with_key(c, b"\x30\x00"))


def _with_key(cose: bytes, signature: bytes) -> Shown:
    """alice's key is this one, in grant and log; whoever knows a trick signs with it."""
    who = replace(PARTIES[0], keys=(approvals.thumbprint(cose),))
    grant = replace(GRANT, parties=(who, *PARTIES[1:]))
    honest = approve(grant, PARTIES[0])
    forged = replace(honest, cose_key=canonical.b64u(cose), signature=canonical.b64u(signature))
    given = (forged, *(approve(grant, p) for p in PARTIES[1:]))
    world = WORLD.changed(grant=grant, approvals=given, log=evidence(grant, given=given))
    return {"token": world.text()}


# --- status, log, proof ---------------------------------------------------------------------------


def statuses() -> Iterator[Case]:
    """Lists that say no, are old, early, of others, by others, or no lists."""
    for word, value in (("revoked", 1), ("paused", 2), ("withdrawn", 3)):
        yield _case(
            f"status {word}",
            "listed",
            lambda v=value: {"token": TEXT, "status_token": status({INDEX: v})},
        )
        yield _case(
            f"status {word}",
            "among others",
            lambda v=value: {
                "token": TEXT,
                "status_token": status({INDEX - 1: 0, INDEX: v, INDEX + 1: 3 - v}),
            },
        )

    def listed(family: str, name: str, make: Callable[..., str]) -> Case:
        return _case(family, name, lambda: {"token": TEXT, "status_token": make()})

    for age in (61, 62, 300, 86_400, 10**8):
        moment = NOW - timedelta(seconds=age)
        yield listed("status stale", f"{age} s old", lambda at=moment: status(at=at, ttl_s=10**9))
    for early in (6, 60, 3600):
        moment = NOW + timedelta(seconds=early)
        yield listed("status stale", f"{early} s early", lambda at=moment: status(at=at))
    for uri in ("https://other.example/status/1", ISSUER + "/status/2", "", ISSUER + "/status/1/"):
        yield listed("status stale", f"of {uri!r}", lambda u=uri: status(uri=u))
    yield listed(
        "status stale", "past its own end", lambda: status(at=NOW - timedelta(seconds=30), ttl_s=30)
    )
    for index in (status_list.CAPACITY, status_list.CAPACITY + 1, 2**40):
        yield _world(
            "status stale", f"index {index}", lambda i=index: WORLD.changed(status_index=i)
        )
    for name, signer in {"token key": TOKEN, "stranger": OTHER, "worker": WORKER}.items():
        yield listed("status key", name, lambda s=signer: status(signer=s))
    head, body, signature = STATUS_TEXT.split(".")
    for name, text in {
        "empty": "",
        "the token": TEXT,
        "padded": STATUS_TEXT + "=",
        "two segments": f"{head}.{body}",
    }.items():
        yield listed("status form", name, lambda t=text: t)
    for name, change in {
        "one bit": {"status_list": {"bits": 1, "lst": "eNoDAAAAAAE"}},
        "no list": {"status_list": {}},
        "list of numbers": {"status_list": {"bits": 2, "lst": [0]}},
        "no time": {"iat": "now"},
        "time as text": {"iat": str(int(NOW.timestamp()))},
        "time as fraction": {"iat": NOW.timestamp() + 0.5},
        "no end": {"exp": None},
        "true": {"exp": True},
        "another member": {"sub2": "x"},
        "address of no text": {"sub": 7},
    }.items():
        yield listed("status form", name, lambda c=change: _status_with(c))
    yield listed(
        "status signature",
        "other body",
        lambda: f"{head}.{status({INDEX: 1}).split('.')[1]}.{signature}",
    )
    for name, data in {
        "not compressed": b"x",
        "cut": b"x\x9c",
        "bomb": b"",
        "trailing": b"\x00" * 9,
    }.items():
        lst = canonical.b64u(data)
        yield listed(
            "status stale",
            f"list {name}",
            lambda lst=lst: _status_with({"status_list": {"bits": 2, "lst": lst}}),
        )


def _status_with(change: Mapping[str, Any]) -> str:
    issued = int(NOW.timestamp())
    body: dict[str, Any] = {
        "sub": ISSUER + "/status/1",
        "iat": issued,
        "exp": issued + 60,
        "ttl": 60,
        "status_list": {"bits": 2, "lst": canonical.b64u(status_list.pack({}))},
    }
    return jose.sign(status_list.TYPE, {**body, **change}, STATUS)


def log_cases() -> Iterator[Case]:
    """Checkpoints and leaves of another size, place, log or key; entries of another kind."""
    log = WORLD.claims.log

    def told(family: str, name: str, make: Callable[..., Any], **more: Any) -> Case:
        return _world(family, name, lambda: WORLD.changed(log=make()), **more)

    ed, pq = Ed25519Signer.from_seed(b"y" * 32), Mldsa44Signer.from_seed(b"z" * 32)
    for name, signers in {
        "both signatures by others": LogSigners(LOG.origin, ed, pq),
        "Ed25519 by another": LogSigners(LOG.origin, ed, LOG.mldsa44),
        "ML-DSA-44 by another": LogSigners(LOG.origin, LOG.ed25519, pq),
        "of another log": LogSigners("other.example/log", LOG.ed25519, LOG.mldsa44),
    }.items():
        yield told("checkpoint", name, lambda s=signers: evidence(GRANT, signers=s, given=GIVEN))
    lines = log.checkpoint.split("\n")
    for name, note in {
        "without its first signature": "\n".join(lines[:4] + lines[5:]),
        "without its second signature": "\n".join(lines[:5] + lines[6:]),
        "without signatures": "\n".join(lines[:4]) + "\n",
        "another size": log.checkpoint.replace("\n4\n", "\n5\n", 1),
        "size with a zero": log.checkpoint.replace("\n4\n", "\n04\n", 1),
        "another root": "\n".join([*lines[:2], canonical.b64(bytes(32)), *lines[3:]]),
        "another origin": log.checkpoint.replace(LOG.origin, "x.example/log", 1),
        "one line more": "\n".join([*lines[:3], "extension", *lines[3:]]),
        "empty": "",
        "carriage returns": log.checkpoint.replace("\n", "\r\n"),
        "no newline at the end": log.checkpoint[:-1],
        "signatures swapped": "\n".join(
            [*lines[:4], _renamed(lines[4], lines[5]), _renamed(lines[5], lines[4]), ""]
        ),
    }.items():
        yield told("checkpoint", name, lambda n=note: replace(log, checkpoint=n))
    older = evidence(GRANT, parties=PARTIES[:2], given=GIVEN)
    yield told(
        "leaf", "checkpoint of an older tree", lambda: replace(log, checkpoint=older.checkpoint)
    )
    leaves = [
        ("grant", log.grant),
        *((f"key {i}", log.enrolments[p.keys[0]]) for i, p in enumerate(PARTIES)),
    ]
    for name, leaf in leaves:
        wrong: dict[str, Leaf] = {
            "index + 1": replace(leaf, index=leaf.index + 1),
            "index xor 1": replace(leaf, index=leaf.index ^ 1),
            "index of none": replace(leaf, index=4),
            "index huge": replace(leaf, index=2**52),
            "no proof": replace(leaf, proof=()),
            "proof cut": replace(leaf, proof=leaf.proof[:-1]),
            "proof longer": replace(leaf, proof=(*leaf.proof, "00" * 32)),
            "proof reordered": replace(leaf, proof=leaf.proof[::-1]),
            "node changed": replace(leaf, proof=("00" * 32, *leaf.proof[1:])),
            "node short": replace(leaf, proof=(leaf.proof[0][:-2], *leaf.proof[1:])),
            "entry spaced": replace(leaf, entry=leaf.entry + " "),
            "entry changed": replace(leaf, entry=leaf.entry.replace('"v":1', '"v":2')),
        }
        for what, other in wrong.items():
            yield told("leaf", f"{name}: {what}", lambda n=name, o=other: _leaf_instead(n, o))
        for what, entry in {
            "no JSON": "{",
            "list": "[]",
            "empty": "",
            "twice": '{"v":1,"v":1}',
        }.items():
            family = "leaf form" if what != "list" else "leaf"
            other = replace(leaf, entry=entry)
            yield told(family, f"{name}: {what}", lambda n=name, o=other: _leaf_instead(n, o))
        other = replace(leaf, proof=("zz" * 32, *leaf.proof[1:]))
        yield told("leaf form", f"{name}: node no hex", lambda n=name, o=other: _leaf_instead(n, o))
    yield from _enrolments()
    for name, made in {
        "another grant": {"grant_digest": "00" * 32},
        "no digest": {"grant_id": "grt_1"},
        "no approvals": {"grant_digest": GRANT.digest().hex()},
        "other approvals": {"grant_digest": GRANT.digest().hex(), "approvals": "00" * 32},
        "upper case": {
            "grant_digest": GRANT.digest().hex().upper(),
            "approvals": approvals.bundle_digest(GIVEN).hex(),
        },
    }.items():
        yield told(
            "leaf", f"grant entry: {name}", lambda m=made: evidence(GRANT, made=m, given=GIVEN)
        )
    for kind in ("grant.asked", "grant.superseded", "grant.ended", "token.minted", "Grant.made"):
        yield told(
            "leaf",
            f"grant entry: {kind}",
            lambda k=kind: evidence(GRANT, kinds=("credential.enrolled", k), given=GIVEN),
        )


def _renamed(one: str, other: str) -> str:
    """The signature of one line under the key id of the other."""

    def raw(line: str) -> bytes:
        return canonical.unb64(line.split(" ")[2])

    return f"— {LOG.origin} {canonical.b64(raw(one)[:4] + raw(other)[4:])}"


def _leaf_instead(name: str, leaf: Leaf) -> Any:
    log = WORLD.claims.log
    if name == "grant":
        return replace(log, grant=leaf)
    key = PARTIES[int(name.split()[1])].keys[0]
    return replace(log, enrolments=dict(log.enrolments) | {key: leaf})


def _enrolments() -> Iterator[Case]:
    log = WORLD.claims.log
    for number, who in enumerate(PARTIES):
        key = who.keys[0]
        kept = {k: v for k, v in log.enrolments.items() if k != key}
        yield _world(
            "enrolment",
            f"{who.by}: not shown",
            lambda k=kept: WORLD.changed(log=replace(log, enrolments=k)),
        )
        for other in PARTIES:
            if other != who:
                swapped = dict(log.enrolments) | {key: log.enrolments[other.keys[0]]}
                yield _world(
                    "enrolment",
                    f"{who.by}: that of {other.by}",
                    lambda s=swapped: WORLD.changed(log=replace(log, enrolments=s)),
                )
        grant_leaf = dict(log.enrolments) | {key: log.grant}
        yield _world(
            "enrolment",
            f"{who.by}: the grant's entry",
            lambda g=grant_leaf: WORLD.changed(log=replace(log, enrolments=g)),
        )
        listed = list(PARTIES)
        listed[number] = replace(who, party_id="per_mallory")
        yield _world(
            "enrolment",
            f"{who.by}: enrolled for another",
            lambda p=tuple(listed): WORLD.changed(log=evidence(GRANT, parties=p, given=GIVEN)),
        )
        yield _case("enrolment", f"{who.by}: a key made up", lambda n=number: _made_up(n))
        yield _case("enrolment of a test key", who.by, lambda n=number: _logged_as_test(n))
    for kind in (
        "credential.retired",
        "credential.asked",
        "worker.enrolled",
        "Credential.enrolled",
    ):
        yield _world(
            "enrolment",
            f"entry {kind}",
            lambda k=kind: WORLD.changed(log=evidence(GRANT, kinds=(k, "grant.made"), given=GIVEN)),
        )
    # The world's keys were enrolled three hours ago.
    for hours in (4, 72, 24 * 365):
        trust = replace(TRUST, key_wait_s=hours * 3600)
        yield _case("enrolment too new", f"{hours} h", lambda t=trust: {"token": TEXT, "trust": t})


def _made_up(number: int) -> Shown:
    """The registry lists mallory's key as this party's, and shows the entry of the party's own."""
    honest = PARTIES[number]
    fake: Party = replace(honest, keys=(key_of(MALLORY),))
    listed = tuple(fake if p == honest else p for p in PARTIES)
    grant = replace(GRANT, parties=listed)
    given = tuple(approve(grant, p, soft=MALLORY if p == fake else None) for p in listed)
    log = evidence(grant, parties=PARTIES, given=given)
    shown = dict(log.enrolments) | {fake.keys[0]: log.enrolments[honest.keys[0]]}
    world = WORLD.changed(grant=grant, approvals=given, log=replace(log, enrolments=shown))
    return {"token": world.text()}


def _logged_as_test(number: int) -> Shown:
    """The grant calls a software key a passkey; the log knows better."""
    logged = tuple(
        replace(p, assurance="test" if i == number else "passkey") for i, p in enumerate(PARTIES)
    )
    given = LIVE.claims.approvals
    log = evidence(LIVE.claims.grant, parties=logged, given=given)
    return {"token": LIVE.changed(mode="live", log=log).text(), "trust": LIVE_TRUST}


def key_times() -> Iterator[Case]:
    """The token's or the list's key was not yet in use, replaced, or revoked when it signed."""
    issued = WORLD.claims.issued_at
    for what, kid in {"token": TOKEN.kid, "status list": STATUS.kid}.items():
        for name, times in {
            "not yet in use": (issued + 1, 0),
            "replaced at that moment": (0, issued),
            "revoked a second before": (1, issued - 1),
            "revoked long before": (0, 1),
            "for a time that is over": (issued - 100, issued - 50),
        }.items():
            trust = replace(TRUST, key_times={kid: times})
            yield _case(
                "key that could not sign then",
                f"{what}: {name}",
                lambda t=trust: {"token": TEXT, "trust": t},
            )


def proofs() -> Iterator[Case]:
    """Proofs of possession for something else, by somebody else, at another time."""

    def shown(family: str, name: str, make: Callable[..., str]) -> Case:
        return _case(family, name, lambda: {"token": TEXT, "proof": make()})

    for name, change in {
        "another method": {"method": "GET"},
        "another address": {"url": REDEEM + "/"},
        "another host": {"url": REDEEM.replace("registry", "evil")},
        "another body": {"body": b"{}"},
        "another token": {"body": json.dumps({"token": "x", "fence": 1}).encode()},
    }.items():
        yield shown("proof of another request", name, lambda c=change: proof_for(TEXT, **c))
    for name, signer in {"stranger": OTHER, "token key": TOKEN, "status key": STATUS}.items():
        yield shown("proof by another key", name, lambda s=signer: proof_for(TEXT, s))
    for seconds in (-86_400, -61, 61, 86_400):
        moment = NOW + timedelta(seconds=seconds)
        yield shown("proof old or early", f"{seconds} s", lambda at=moment: proof_for(TEXT, at=at))
    good = proof_for(TEXT)
    head, body, _ = good.split(".")
    public = {"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(WORKER.public_raw)}
    for name, header in {
        "typ JWT": {"alg": "Ed25519", "typ": "JWT", "jwk": public},
        "alg none": {"alg": "none", "typ": "dpop+jwt", "jwk": public},
        "kid": {"alg": "Ed25519", "typ": "dpop+jwt", "jwk": public, "kid": "x"},
        "no key": {"alg": "Ed25519", "typ": "dpop+jwt"},
        "private key": {"alg": "Ed25519", "typ": "dpop+jwt", "jwk": {**public, "d": "AAAA"}},
        "another curve": {"alg": "Ed25519", "typ": "dpop+jwt", "jwk": {**public, "crv": "X25519"}},
    }.items():
        yield shown("proof form", name, lambda h=header: signed({}, h, WORKER))
    for name, text in {
        "empty": "",
        "the token": TEXT,
        "padded": good + "=",
        "no signature": f"{head}.{body}",
        "too long": good + "A" * 9000,
    }.items():
        yield shown("proof form", name, lambda t=text: t)
    other = proof_for(TEXT).split(".")[2]
    yield shown("proof signature", "of another proof", lambda: f"{head}.{body}.{other}")
    yield shown("proof signature", "zero", lambda: f"{head}.{body}.{canonical.b64u(bytes(64))}")


def _proof_with_key(raw: bytes) -> Shown:
    """A proof under a key that anybody can sign for."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": canonical.b64u(raw)}
    head = canonical.b64u(canonical.dumps({"alg": "Ed25519", "typ": "dpop+jwt", "jwk": jwk}))
    body = proof_for(TEXT).split(".")[1]
    forged = f"{head}.{body}.{canonical.b64u(bytes([1]) + bytes(63))}"
    return {"token": TEXT, "proof": forged}


FAMILIES: Final = (
    changed_after_signing,
    spelling,
    headers,
    members,
    json_forms,
    claims,
    grant_members,
    grant_terms,
    exchanged,
    ticks,
    assertions,
    keys,
    statuses,
    log_cases,
    key_times,
    proofs,
)
