"""Requirements about people, organisations and their powers (field study 1.2)."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from registry import selectors
from registry.core.refusals import Refusal
from registry.core.tokens import Claims
from registry.log.core import canonical
from registry.models import (
    ApiKey,
    HandOver,
    Membership,
    Notice,
    RepresentationClaim,
    RequestDraft,
)
from registry.services import identity, parties, seats, sweep
from tests.web.pages import as_
from tests.world import human, log_types, organisation


def codes(found) -> list[str]:
    assert isinstance(found, list), found
    return [item.code for item in found if isinstance(item, Refusal)]


def colleague(world, role: str = "manager"):
    """dora works at charlie's studio too."""
    dora = human("dora")
    parties.membership_add(person=dora.person, organisation=world.studio, role=role)
    return dora


def seat_of(world, who) -> Membership:
    return Membership.objects.get(person=who.person)


# --- R01 ------------------------------------------------------------------------------------------


def test_r01_the_day_after_its_record_ended_an_agency_cannot_act(world):
    """R01: agency A's approver can't act on a talent the day after A's record ended."""
    today = timezone.localdate()
    row = world.talent.representations.get()
    parties.representation_end(representation=row, ended_on=today)
    on_the_day = world.asked()
    assert world.bob.approve(on_the_day, "agency_officer").lane.by == "agency_officer"
    after = world.asked()
    late = timezone.now() + timedelta(days=1)
    assert world.bob.approve(after, "agency_officer", at=late).code == "representation_ended"
    assert selectors.representation_on(world.talent, today).agency == world.agency
    assert selectors.representation_on(world.talent, today + timedelta(days=1)) is None


def test_r01_several_representations_follow_one_another_and_each_is_found_as_of_its_day(world):
    """R01: zero or more time-bounded records; authority is looked up at a date."""
    row = world.talent.representations.get()
    parties.representation_end(representation=row, ended_on=date(2026, 3, 31))
    second = organisation("agency", "Second")
    parties.representation_begin(
        talent=world.talent, agency=second, begun_on=date(2026, 6, 1), ended_on=date(2027, 5, 31)
    )
    found = {
        day: (seen := selectors.representation_on(world.talent, day)) and seen.agency.name
        for day in (
            date(2020, 3, 31),
            date(2020, 4, 1),
            date(2026, 3, 31),
            date(2026, 4, 1),
            date(2026, 6, 1),
            date(2027, 5, 31),
            date(2027, 6, 1),
        )
    }
    assert list(found.values()) == [
        None,
        "Hoshi Agency",
        "Hoshi Agency",
        None,
        "Second",
        "Second",
        None,
    ]


def test_r01_an_approver_whose_role_ends_signs_to_the_last_day(world):
    """R01, R21: the seat is dated as the representation is."""
    grant = world.asked()
    tomorrow = timezone.localdate() + timedelta(days=1)
    seats.membership_end(membership=seat_of(world, world.bob), ended_on=tomorrow)
    late = timezone.now() + timedelta(days=2)
    assert world.bob.approve(grant, "agency_officer", at=late).code == "representation_ended"
    assert not isinstance(world.bob.approve(grant, "agency_officer"), Refusal)


# --- R03 ------------------------------------------------------------------------------------------


def test_r03_the_tokens_requester_resolves_to_a_verified_identity(world):
    """R03: token's requester resolves to a verified identity; the token itself names nobody."""
    token = world.mint(world.made())
    payload = canonical.loads(canonical.unb64u(token.text.split(".")[1]))
    request_id = Claims.from_payload(payload).grant.request_id
    request = selectors.access_request(person=world.charlie.person, request_id=request_id)
    check = selectors.identity_of(request.requester, timezone.localdate())
    assert check is not None
    assert (check.kind, check.checked_by) == ("company_register", "operator")
    assert "Charlie Studio" not in token.text


def test_r03_an_unverified_requester_is_told_so_and_nothing_is_filed(world):
    """R03: unverified requesters can draft but not submit."""
    unknown = parties.organisation_create(kind="studio", name="裏垢スタジオ")
    parties.membership_add(person=world.charlie.person, organisation=unknown, role="photographer")
    assert codes(world.submit(requester=unknown)) == ["requester_unverified"]
    assert unknown.requests.count() == 0
    assert log_types()[-1] == "request.refused"
    check = identity.organisation_check(
        organisation=unknown, kind="company_register", checked_by="op"
    )
    check.void_at = timezone.now()
    check.save()
    assert codes(world.submit(requester=unknown)) == ["requester_unverified"]


# --- R21 ------------------------------------------------------------------------------------------


def test_r21_removing_a_seat_revokes_api_keys_and_names_open_work_for_hand_over(world):
    """R21: removing a seat revokes API keys and pending drafts are reassigned."""
    parties.api_key_create(person=world.charlie.person, organisation=world.studio)
    other = organisation("studio", "Elsewhere")
    parties.membership_add(person=world.charlie.person, organisation=other, role="photographer")
    parties.api_key_create(person=world.charlie.person, organisation=other)
    dora, eve = colleague(world), colleague_viewer(world)
    open_, asked = world.request(), world.asked()
    seat = Membership.objects.get(person=world.charlie.person, organisation=world.studio)
    waiting = seats.membership_end(membership=seat)
    assert {row.request_id for row in waiting} == {open_.id, asked.request_id}
    live = ApiKey.objects.filter(person=world.charlie.person, revoked_at=None)
    assert [key.organisation for key in live] == [other]
    assert Notice.objects.filter(kind="hand_over", person=dora.person).count() == 2
    assert not Notice.objects.filter(kind="hand_over", person=eve.person).exists()
    with pytest.raises(PermissionDenied):
        world.submit()
    assert seats.membership_end(membership=seat).code == "wrong_state"
    assert log_types().count("member.left") == 1


def colleague_viewer(world):
    eve = human("eve")
    parties.membership_add(person=eve.person, organisation=world.studio, role="viewer")
    return eve


def test_r21_a_colleague_takes_it_over_once_and_then_it_counts_as_theirs(world):
    """R21, R02: whoever takes over a request cannot sign it for the agency either."""
    dora = colleague(world)
    asked = world.asked()
    (row,) = seats.membership_end(membership=seat_of(world, world.charlie))
    for outsider in (world.mallory, world.charlie):
        with pytest.raises(PermissionDenied):
            seats.hand_over_take(hand_over=row, by=outsider.person)
    assert isinstance(seats.hand_over_take(hand_over=row, by=dora.person), HandOver)
    assert seats.hand_over_take(hand_over=row, by=dora.person).code == "wrong_state"
    parties.membership_add(person=dora.person, organisation=world.agency, role="officer")
    seats.membership_end(membership=Membership.objects.get(person=dora.person, role="manager"))
    assert dora.approve(asked, "agency_officer").code == "self_approval"
    # And when she leaves in turn, it waits again.
    assert HandOver.objects.filter(request=asked.request, taken_at=None).count() == 1


def test_r21_a_leaving_on_a_day_to_come_is_carried_out_after_that_day(world):
    """R21: leaver handling; with another role nothing is taken away."""
    colleague(world)
    world.request()
    parties.api_key_create(person=world.charlie.person, organisation=world.studio)
    last = timezone.localdate() + timedelta(days=5)
    assert seats.membership_end(membership=seat_of(world, world.charlie), ended_on=last) == []
    sweep.authority_sweep()
    assert ApiKey.objects.get().revoked_at is None
    done = sweep.authority_sweep(at=timezone.now() + timedelta(days=6))
    assert done["left"] == 1
    assert ApiKey.objects.get().revoked_at is not None
    assert HandOver.objects.count() == 1
    assert sweep.authority_sweep(at=timezone.now() + timedelta(days=7))["left"] == 0


def test_r21_drafts_in_the_organisations_name_are_reassigned(world):
    """R21: pending drafts are reassigned; what was typed for another company is not."""
    dora = colleague(world)
    other = organisation("studio", "Elsewhere")
    parties.membership_add(person=world.charlie.person, organisation=other, role="photographer")
    here, there = (
        RequestDraft.objects.create(person=world.charlie.person, data={"requester": [house.id]})
        for house in (world.studio, other)
    )
    seat = Membership.objects.get(person=world.charlie.person, organisation=world.studio)
    (row,) = seats.membership_end(membership=seat)
    assert row.draft == here
    assert isinstance(seats.hand_over_take(hand_over=row, by=dora.person), HandOver)
    here.refresh_from_db()
    there.refresh_from_db()
    assert (here.person, there.person) == (dora.person, world.charlie.person)
    last = Membership.objects.get(person=world.charlie.person, organisation=other)
    nameless = RequestDraft.objects.create(person=world.charlie.person, data={})
    waiting = {item.draft for item in seats.membership_end(membership=last)}
    assert waiting == {there, nameless}


def test_r21_with_another_role_in_the_house_nothing_is_taken_away(world):
    """R21: delegated roles; one of two roles ends."""
    parties.membership_add(person=world.charlie.person, organisation=world.studio, role="manager")
    world.request()
    parties.api_key_create(person=world.charlie.person, organisation=world.studio)
    seat = Membership.objects.get(person=world.charlie.person, role="photographer")
    assert seats.membership_end(membership=seat) == []
    assert ApiKey.objects.get().revoked_at is None


# --- R11 ------------------------------------------------------------------------------------------

OPEN = {  # what everybody may read: keys, the log, the status list, one's own fresh objects
    "status-list",
    "log-proof",
    "log-entry",
    "log-tile",
    "ledger-entry",
}


def guarded():
    """Every address of the site that takes an id, by name, as Django knows them."""
    found = {}

    def walk(patterns, prefix=""):
        for item in patterns:
            route = prefix + str(item.pattern)
            if hasattr(item, "url_patterns"):
                walk(item.url_patterns, route)
            elif "<str:" in route and item.name not in OPEN and not route.startswith("admin"):
                found[item.name or route] = route

    walk(get_resolver().url_patterns)
    return found


def test_r11_a_stranger_who_guesses_an_id_gets_404_and_nothing_else(world, settings):
    """R11: cross-agency search returns nothing, not 403; tenant isolation incl. id guessing."""
    settings.LOG_EXPORT_DIR = None
    grant = world.made()
    (hand,) = [
        HandOver.objects.create(
            organisation=world.studio,
            request=grant.request,
            left_by=world.charlie.person,
            since=timezone.now(),
        )
    ]
    claiming = organisation("agency", "Tsuki")
    claim = RepresentationClaim.objects.create(
        talent=world.talent,
        agency=claiming,
        against=world.talent.representations.get(),
        filed_by=world.charlie.person,
        filed_at=timezone.now(),
        begun_on=timezone.localdate(),
        proof_sha256="aa" * 32,
    )
    ids = {
        "request_id": grant.request_id,
        "grant_id": grant.id,
        "talent_id": world.talent.id,
        "membership_id": Membership.objects.get(person=world.bob.person).id,
        "hand_over_id": hand.id,
        "claim_id": claim.id,
    }
    _, key = parties.api_key_create(
        person=world.mallory.person,
        organisation=selectors.organisations_of(world.mallory.person).get(),
    )
    session = as_(world.mallory)
    by_key = Client(headers={"authorization": f"Bearer {key}", "accept-language": "en"})
    tried = set()
    for name, route in guarded().items():
        wanted = re.findall(r"<str:(\w+)>", route)
        if wanted[0] not in ids:
            continue
        address = "/" + re.sub(
            r"<\w+:(\w+)>", lambda m: ids.get(m.group(1), "pic_00000000000000000000"), route
        )
        client = by_key if route.startswith("api/") else session
        for method in ("get", "post", "put", "patch", "delete"):
            kind = {"content_type": "application/json"} if method != "get" else {}
            answer = getattr(client, method)(address, **kind)
            assert answer.status_code in (404, 405, 422), (name, method, answer.status_code)
            assert b"Hoshi" not in answer.content, name
            tried.add((name, answer.status_code))
    names = {name for name, status in tried if status == 404}
    assert {"agency-talent", "member-end", "take-over", "claim-answer", "go-on"} <= names
    assert {"request-detail", "my-request", "agency-request", "api-request"} <= names
    assert len(names) >= 20, sorted(names)
