"""Requirements of the case: roles in conflict, what a talent sees before she decides."""
# mypy: disable-error-code="union-attr,index"

from __future__ import annotations

from registry import selectors
from registry.core.narrowing import scope_items
from registry.services import parties
from tests.web.pages import as_, text


def challenge(who, grant, by):
    return as_(who).post(
        "/api/v1/approvals/challenge",
        {"grant": grant.id, "by": by},
        content_type="application/json",
    )


def test_r02_a_requester_who_is_also_agency_staff_gets_403_on_the_own_request(world):
    """R02: several roles per account; requester can't approve."""
    parties.membership_add(person=world.charlie.person, organisation=world.agency, role="officer")
    grant = world.asked()
    refused = challenge(world.charlie, grant, "agency_officer")
    assert (refused.status_code, refused.json()["code"]) == (403, "self_approval")
    assert challenge(world.charlie, grant, "photo_copyright").status_code == 200


def test_r02_a_colleague_of_the_requester_gets_403_too(world):
    """R02: conflicts of role are checked."""
    grant = world.asked()
    assert challenge(world.bob, grant, "agency_officer").status_code == 200
    parties.membership_add(person=world.bob.person, organisation=world.studio, role="manager")
    assert challenge(world.bob, grant, "agency_officer").status_code == 403


def test_r02_the_retoucher_of_a_picture_is_recorded_and_answers_for_nobody(world):
    """R02: retoucher is recorded per image."""
    grant = world.asked()
    grant.request.retouchers.add(world.bob.person)
    assert challenge(world.bob, grant, "agency_officer").status_code == 403


def test_r12_fee_and_substitution_stand_on_the_screen_before_the_decision(world):
    """R12: approval screen payload contains fee and substitution answer."""
    for replaces, en in ((True, "replaces a shoot"), (False, "replaces no booked shoot")):
        terms = world.terms(fee_jpy=123_456, replaces_booked_shoot=replaces)
        grant = world.asked(terms=terms)
        alice = as_(world.alice)
        codes = [item.code for item in scope_items(selectors.core_grant(grant).terms)]
        for page in (
            alice.get(f"/my/requests/{grant.request_id}"),
            alice.get(f"/my/requests/{grant.request_id}/answer", {"tick": codes}),
        ):
            assert "123,456" in text(page) or "123456" in text(page)
            assert en in text(page)
