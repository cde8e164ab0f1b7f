"""Consent receipts: every signer gets one, it verifies offline, and a changed byte breaks it."""

from __future__ import annotations

import copy
import io
import json
import re
from typing import Any

import pytest
from pypdf import PdfReader
from pypdf.generic import ContentStream

from registry.core import odrl, receipts
from registry.core.grants import Grant as CoreGrant
from registry.core.refusals import Refusal
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import Grant
from registry.services import approvals, keyring
from registry.services import receipts as service
from tests.world import World, sequence


@pytest.fixture
def made(world: World) -> Grant:
    """A grant that everybody signed, under a checkpoint."""
    grant = world.made()
    sequence()
    return grant


def machine(world: World, grant: Grant, by: str = "talent") -> bytes:
    """Alice's file, or that of whoever signs in another capacity."""
    who = {name: human for human, name in world.signers()}[by]
    found = service.receipt_of(person=who.person, grant=grant, by=by)
    assert isinstance(found, bytes), found
    return found


@pytest.mark.parametrize("by", ["talent", "agency_officer", "photo_copyright"])
def test_every_signer_gets_a_receipt_that_verifies_offline(
    world: World, made: Grant, by: str
) -> None:
    verified = receipts.verify(machine(world, made, by), keyring.trust_root())
    assert verified.party.by == by
    assert verified.receipt.grant.digest().hex() == made.digest


def test_the_record_has_the_shape_of_ts_27560(world: World, made: Grant) -> None:
    record = json.loads(machine(world, made))["record"]
    assert record["record_metadata"]["schema_version"] == "ISO/IEC TS 27560:2023"
    assert record["record_metadata"]["pii_principal_id"] == world.talent.id
    (purpose,) = record["processing"]["purposes"]
    assert purpose["lawful_basis"] == "explicit-consent"
    assert purpose["pii_information"]["photographs"]["count"] == 15
    assert purpose["withdrawal_method"].endswith("/my/")
    (event,) = record["events"]
    assert (event["event_state"], event["capacity"]) == ("given", "talent")
    roles = {party["party_role"] for party in record["party_identification"]}
    assert roles >= {"talent", "agency_officer", "photo_copyright", "licensee", "registry"}


def test_a_receipt_names_nobody(world: World, made: Grant) -> None:
    text = machine(world, made).decode()
    for person in (world.alice, world.bob, world.charlie):
        assert f'"{person.person.display_name}"' not in text


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all leaves of a JSON value."""
    if isinstance(value, dict):
        return [p for key, item in value.items() for p in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [p for n, item in enumerate(value) for p in leaves(item, (*path, n))]
    return [path]


def changed(payload: Any, path: tuple[Any, ...]) -> Any:
    """The same with one leaf altered."""
    other = copy.deepcopy(payload)
    place = other
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    if isinstance(old, bool):
        place[path[-1]] = not old
    elif isinstance(old, int):
        place[path[-1]] = old + 1
    elif isinstance(old, str):
        place[path[-1]] = ("A" if not old.startswith("A") else "B") + old[1:]
    else:
        place[path[-1]] = "something"
    return other


def test_no_leaf_of_a_receipt_can_be_changed(world: World, made: Grant) -> None:
    payload = json.loads(machine(world, made))
    trust = keyring.trust_root()
    for path in leaves(payload):
        with pytest.raises(VerificationError):
            receipts.verify(canonical.dumps(changed(payload, path)), trust)


def test_a_member_cannot_be_added_or_left_out(world: World, made: Grant) -> None:
    payload = json.loads(machine(world, made))
    for broken in (
        {**payload, "more": 1},
        {k: v for k, v in payload.items() if k != "record"},
        {**payload, "evidence": {**payload["evidence"], "more": 1}},
        {**payload, "record": {**payload["record"], "more": 1}},
    ):
        with pytest.raises(VerificationError):
            receipts.verify(canonical.dumps(broken), keyring.trust_root())


def test_another_spelling_of_the_same_file_is_refused(world: World, made: Grant) -> None:
    loose = json.dumps(json.loads(machine(world, made))).encode()
    with pytest.raises(VerificationError, match="canonical"):
        receipts.verify(loose, keyring.trust_root())


def test_the_proof_of_somebody_elses_approval_is_refused(world: World, made: Grant) -> None:
    hers, his = (json.loads(machine(world, made, by)) for by in ("talent", "agency_officer"))
    hers["evidence"]["entry"] = his["evidence"]["entry"]
    hers["evidence"]["proof"] = his["evidence"]["proof"]
    with pytest.raises(VerificationError, match="another approval"):
        receipts.verify(canonical.dumps(hers), keyring.trust_root())


def test_there_is_no_receipt_without_a_signature(world: World) -> None:
    grant = world.asked()
    found = service.receipt_of(person=world.alice.person, grant=grant, by="talent")
    assert found == Refusal("wrong_state", "nothing was signed")


def test_a_receipt_is_still_given_after_the_withdrawal(world: World, made: Grant) -> None:
    assert approvals.approval_withdraw(person=world.alice.person, grant=made) is None
    sequence()
    verified = receipts.verify(machine(world, made), keyring.trust_root())
    assert verified.receipt.grant.grant_id == made.id


def printed(paper: PdfReader) -> str:
    """The words on all pages, without blanks: two bytes a glyph, named by the font's ToUnicode.

    pypdf's own reader takes the bytes one by one, which fails from the 257th glyph on.
    """
    words, names = [], {}
    for page in paper.pages:
        fonts: Any = page["/Resources"]["/Font"]  # type: ignore[index]
        for operands, operator in ContentStream(page.get_contents(), paper).operations:
            if operator == b"Tf":
                table = fonts[operands[0]]["/ToUnicode"].get_data().decode()
                names = {
                    int(code, 16): bytes.fromhex(text).decode("utf-16-be")
                    for code, text in re.findall(r"<(\w{4})> <(\w+)>", table)
                }
            shown = {b"Tj": operands, b"TJ": operands[0] if operands else []}.get(operator, [])
            for text in shown:
                raw = getattr(text, "original_bytes", b"")  # in between stand kerning numbers
                codes = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
                words.append("".join(names[code] for code in codes))
    return "".join("".join(words).replace("\0", "").split())


def test_a_name_that_no_font_has_is_printed_with_a_mark(world: World, made: Grant) -> None:
    world.alice.person.display_name = "ほし😀あきら"
    files = service.receipt_files(person=world.alice.person, grant=made, by="talent", locale="ja")
    assert not isinstance(files, Refusal)
    assert "ほし〓あきら" in printed(PdfReader(io.BytesIO(files.printed)))


@pytest.mark.parametrize("locale", ["ja", "en"])
def test_the_printed_form_holds_the_whole_text_and_the_machine_file(
    world: World, made: Grant, locale: Any
) -> None:
    files = service.receipt_files(person=world.alice.person, grant=made, by="talent", locale=locale)
    assert not isinstance(files, Refusal)
    page = PdfReader(io.BytesIO(files.printed))
    text = printed(page)
    core = CoreGrant.from_payload(made.payload)
    for line in core.text(locale).splitlines():
        assert "".join(line.split()) in text, line
    assert core.digest().hex() in text
    assert page.attachments["receipt.json"][0] == files.machine
    assert ("テスト用" if locale == "ja" else "testrecord") in text


def test_the_same_receipt_prints_the_same_bytes(world: World, made: Grant) -> None:
    one, two = (
        service.receipt_files(person=world.alice.person, grant=made, by="talent", locale="ja")
        for _ in range(2)
    )
    assert one == two


def test_the_odrl_agreement_says_what_the_grant_says(world: World, made: Grant) -> None:
    policy = odrl.agreement(
        CoreGrant.from_payload(made.payload), issuer="https://registry.example", state=made.state
    )
    assert policy["@type"] == "Agreement"
    assert policy["conflict"] == "prohibit"
    training, use = policy["permission"]
    counts = [c for c in training["constraint"] if c["leftOperand"] == "count"]
    assert counts == [{"leftOperand": "count", "operator": "lteq", "rightOperand": 1}]
    places = [c for c in use["constraint"] if c["leftOperand"] == "spatial"]
    assert places[0]["rightOperand"] == ["iso3166:JP"]
    barred = policy["prohibition"][1]["constraint"][0]["rightOperand"]
    assert "kyo:sexual" in barred
    assert {"action": "delete"} in policy["obligation"]
