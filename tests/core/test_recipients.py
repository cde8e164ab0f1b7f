"""Recipients: each kind opens what was sealed to it, and nothing else opens."""

from __future__ import annotations

import functools
import tracemalloc

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import recipients
from registry.core.recipients import KINDS, Kind
from registry.log.core import canonical
from registry.log.core.errors import VerificationError

LABEL = "dlv_" + "2b" * 10
DATA = b"a folder" * 100


@functools.cache
def pair(kind: Kind, number: int = 0) -> tuple[str, str]:
    return recipients.generate(kind)


@functools.cache
def sealed(kind: Kind) -> bytes:
    return recipients.seal(recipients.parse(pair(kind)[1]), DATA, label=LABEL)


def opened(identities: list[str], data: bytes, label: str = LABEL) -> bytes:
    return recipients.unseal(identities, data, label=label)


def code(action: object, *arguments: object) -> str:
    with pytest.raises(VerificationError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sealed_opens_for_its_identity_among_others(kind: Kind) -> None:
    others = [recipients.generate(k)[0] for k in KINDS]
    assert opened([*others, pair(kind)[0]], sealed(kind)) == DATA
    assert recipients.parse(pair(kind)[1]).kind == kind
    assert all(map(recipients.is_identity, others))
    assert not recipients.is_identity(pair(kind)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_for_nobody_else(kind: Kind) -> None:
    others = [recipients.generate(k)[0] for k in KINDS]
    assert code(opened, others, sealed(kind)) == "key_unavailable"
    assert code(opened, [], sealed(kind)) == "key_unavailable"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_is_never_sealed_to_the_same_bytes(kind: Kind) -> None:
    again = recipients.seal(recipients.parse(pair(kind)[1]), DATA, label=LABEL)
    assert again != sealed(kind)
    assert DATA[:8] not in again


def test_any_age_tool_opens_an_age_delivery() -> None:
    own = pyrage.x25519.Identity.from_str(pair("age")[0])
    assert pyrage.decrypt(sealed("age"), [own]) == DATA


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.data())
def test_no_byte_can_change_and_nothing_be_cut_or_added(kind: Kind, data: st.DataObject) -> None:
    whole = sealed(kind)
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))])
    for spoiled in (whole[:place] + flipped + whole[place + 1 :], whole[:place], whole + flipped):
        found = code(opened, [pair(kind)[0]], spoiled)
        assert found in ("malformed", "key_unavailable")


def test_the_parts_of_two_deliveries_do_not_mix() -> None:
    """The key of one delivery, the content of another, the label of a third."""
    to = recipients.parse(pair("x25519")[1])
    one = recipients.seal(to, DATA, label="dlv_one")
    two = recipients.seal(to, DATA, label="dlv_two")
    own = [pair("x25519")[0]]
    assert opened(own, one, "dlv_one") == DATA
    assert code(opened, own, one, "dlv_two") == "malformed"  # renamed
    relabelled = one.replace(b"dlv_one", b"dlv_two")
    assert code(opened, own, relabelled, "dlv_two") == "key_unavailable"
    body = one.index(b"KYOS1")
    mixed = one[:body] + two[two.index(b"KYOS1") :]
    assert code(opened, own, mixed, "dlv_one") == "malformed"


def _text(kind: str, raw: bytes) -> str:
    return recipients._encoded("kyodaku", kind, raw)  # type: ignore[arg-type]


GOOD = pair("x25519")[1]
BAD = {
    "nothing": "",
    "a word": "age",
    "an age key with a slip": pair("age")[1][:-1] + ("q" if pair("age")[1][-1] != "q" else "p"),
    "another kind": GOOD.replace("x25519", "p256"),
    "a slip in the key": GOOD.replace(GOOD[20], "A" if GOOD[20] != "A" else "B", 1),
    "a slip in the check": GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"),
    "too short": _text("x25519", bytes(range(31))),
    "the hybrid's length under the plain name": _text(
        "x25519", bytes(1184) + canonical.unb64u(GOOD.split(".")[2])
    ),
    "the zero point": _text("x25519", bytes(32)),
    "a point of order eight": _text(
        "x25519",
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    ),
    "a hybrid with the zero point": _text("mlkem768-x25519", bytes(1184) + bytes(32)),
    "the zero point as an age key": "age1" + "q" * 52 + "5cu47z",
    "the point of order one as an age key": "age1qy" + "q" * 50 + "j7vrya",
    "a point of order eight as an age key": (
        "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9"
    ),
    "half a UTF-16 pair": GOOD[:20] + "\ud800" + GOOD[21:],
    "half a pair in an age key": pair("age")[1] + "\udc80",
    "a NUL in an age key": pair("age")[1] + "\0",
    "an age key of megabytes": "age1" + "q" * 2**20,
    "digits for no whole byte": "kyodaku.x25519.AAAAA.00000000",
    "bits to spare": "kyodaku.x25519.AB.00000000",
    "an identity": pair("x25519")[0],
    "with a line break": GOOD + "\n",
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_recipient_is_refused(case: str) -> None:
    assert code(recipients.parse, BAD[case]) == "malformed"


@pytest.mark.parametrize(
    "identity",
    [
        "AGE-SECRET-KEY-1" + "Q" * 58,
        pair("x25519")[0][:-1] + "z",
        recipients._encoded("KYODAKU-SECRET", "x25519", bytes(31)),
        "AGE-SECRET-KEY-1" + "\udc80" * 58,
        "KYODAKU-SECRET.x25519.AB.00000000",
    ],
    ids=["age", "a slip", "too short", "half a pair", "bits to spare"],
)
def test_a_damaged_identity_is_said_to_be_damaged(identity: str) -> None:
    kind: Kind = "age" if identity.startswith("AGE") else "x25519"
    assert code(opened, [identity], sealed(kind)) == "malformed"


def test_every_honest_age_key_has_a_point_of_its_own() -> None:
    """The check for points of small order reads the key itself; so it must read all of it."""
    texts = [recipients.generate("age")[1] for _ in range(50)]
    assert all(recipients.parse(text).text == text for text in texts)
    points = {recipients._age_point(text) for text in texts}
    assert len(points) == len(texts)
    assert recipients._age_point("age1" + "q" * 51 + "y" + "q" * 6) == bytes(32)
    assert recipients._age_point("age1" + "q" * 51 + "s" + "q" * 6)[-1] == 1


@pytest.mark.parametrize("label", ["", "x" * 129])
def test_a_label_has_its_bounds(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        recipients.seal(recipients.parse(GOOD), b"", label=label)


def test_a_recipient_fits_where_it_is_kept() -> None:
    for kind in KINDS:
        assert len(pair(kind)[1]) <= recipients.MAX_TEXT
    assert canonical.unb64u(pair("x25519")[1].split(".")[2])


STANZA = b"-> nobody\n" + b"A" * 43 + b"\n"


def test_an_age_file_for_hundreds_is_refused_unread() -> None:
    """The library reads the header from its start for every line: 20,000 take hours."""
    header = b"age-encryption.org/v1\n" + STANZA * 300
    whole = header + b"--- " + b"A" * 43 + b"\n" + bytes(64)
    few = whole.replace(STANZA * 290, b"")
    assert code(opened, [pair("age")[0]], few) == "key_unavailable"
    assert code(opened, [pair("age")[0]], whole) == "malformed"
    assert code(opened, [pair("age")[0]], header) == "malformed"


def test_an_age_file_for_a_few_is_looked_into() -> None:
    own = [pyrage.x25519.Recipient.from_str(recipients.generate("age")[1]) for _ in range(30)]
    to = pyrage.x25519.Recipient.from_str(pair("age")[1])
    assert opened([pair("age")[0]], pyrage.encrypt(DATA, [*own, to])) == DATA
    assert code(opened, [pair("age")[0]], pyrage.encrypt(DATA, own)) == "key_unavailable"


def test_an_age_file_in_letters_is_none() -> None:
    """The same content under two spellings would be two files of one delivery."""
    to = pyrage.x25519.Recipient.from_str(pair("age")[1])
    letters = pyrage.encrypt(DATA, [to], armored=True)
    assert code(opened, [pair("age")[0]], letters) == "malformed"


@pytest.mark.parametrize("kind", KINDS[1:])
def test_opening_takes_the_memory_of_the_content_once(kind: Kind) -> None:
    to = recipients.parse(pair(kind)[1])
    data = recipients.seal(to, bytes(2**24), label=LABEL)
    tracemalloc.start()
    try:
        assert len(opened([pair(kind)[0]], data)) == 2**24
        # One and not three: the parts of the file are looked at in place.
        assert tracemalloc.get_traced_memory()[1] < 1.5 * len(data)
    finally:
        tracemalloc.stop()
