"""Abuse cases about the scope of a permission, through the real services (field study 6.3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from audit.core.uses import Use
from audit.models import UseReport
from audit.services.usage import use_report
from registry.core import vocabulary
from registry.core.refusals import Refusal
from registry.core.terms import Problem, parse
from registry.models import TrainingRequest
from registry.selectors import core_grant
from registry.services import parties
from tests.services.studio import Studio
from tests.web import pages
from tests.world import guard


def fields(found):
    assert isinstance(found, list), found
    return {item.field for item in found if isinstance(item, Problem)}


def codes(found):
    assert isinstance(found, list), found
    return [item.code for item in found if isinstance(item, Refusal)]


@pytest.fixture
def copy(live, tmp_path, settings):
    """A delivered copy under alice's plain terms, and somebody who reports its uses."""
    settings.STORAGE_DIR = tmp_path / "storage"
    made = pages.delivered(Studio(live, tmp_path))
    person = parties.person_create(display_name="reporter")
    parties.membership_add(person=person, organisation=live.client, role="viewer")
    return made, person


def test_a13_goods_become_advertising_or_japan_the_world(copy):
    """A13: scope creep; a use must name its grant line, unlisted = breach."""
    made, person = copy
    fine = Use("photobook_ebook", "JP", timezone.localdate())
    cases = {
        (): fine,
        ("media",): replace(fine, medium="ad_web"),
        ("territory",): replace(fine, country="worldwide"),
        ("transformations",): replace(fine, transformations=("age",)),
        ("categories",): replace(fine, categories=("alcohol",)),
    }
    for beyond, use in cases.items():
        row = use_report(delivery=made, by=person, use=use)
        assert isinstance(row, UseReport), row
        assert row.outside == list(beyond)
    unheard = use_report(delivery=made, by=person, use=replace(fine, medium="hologram"))
    assert isinstance(unheard, Refusal)
    assert unheard.code == "terms_invalid"


def test_a16_a_sub_licence_is_not_offered_and_nobody_else_is_served(world):
    """A16: sub-licence to another company; default no, transfer = new approval."""
    assert fields(world.submit(terms=world.terms(sublicence=True))) == {"sublicence"}
    grant = core_grant(world.asked())
    assert "ほかの会社への再許諾: できない" in grant.text("ja")
    assert "Sub-licence to other companies: not allowed" in grant.text("en")
    assert "ほかの会社にあげること: できない" in grant.text("ja-easy")
    assert grant.licensee == world.client.id


def test_a25_exposure_rises_by_no_small_steps(world):
    """A25: a hard ceiling in scope; above it stands nothing, whoever signs."""
    world.talent.never_list = ["swimwear"]
    world.talent.save()
    for level in ("swimwear", "underwear", "above"):
        found = world.submit(terms=world.terms(exposure=level))
        assert "never_list" in codes(found)
    minor = timezone.localdate() - timedelta(days=365 * 15)
    world.talent.birth_date, world.talent.never_list = minor, []
    world.talent.save()
    for level in ("swimwear", "underwear", "above"):
        assert "minor_rule" in codes(world.submit(terms=world.terms(exposure=level)))
    assert TrainingRequest.objects.count() == 0


def test_a25_no_superuser_lifts_what_protects_a_minor(world):
    """A25, R26: not overridable even by superuser; the rule is in the core, behind every way in."""
    minor = timezone.localdate() - timedelta(days=365 * 15)
    world.talent.birth_date, world.talent.opened_list = minor, ["alcohol", "sexual"]
    world.talent.save()
    root = User.objects.create_superuser("root", password="a long pass phrase")
    world.charlie.person.user = root
    world.charlie.person.save()
    for change in ({"exposure": "swimwear"}, {"categories": ("alcohol",)}):
        assert "minor_rule" in codes(world.submit(terms=world.terms(**change)))
    world.client.adult_rated = True
    world.client.save()
    assert "minor_rule" in codes(world.submit())
    # Even a row written past the services by somebody with the database is not asked for.
    world.client.adult_rated = False
    world.client.save()
    guardian = parties.person_create(display_name="parent")
    guard(world.talent, guardian)
    request = world.request()
    TrainingRequest.objects.filter(id=request.id).update(
        terms=world.terms(exposure="swimwear").to_payload()
    )
    assert "minor_rule" in codes(world.seal(request))


@pytest.mark.parametrize(
    "change",
    [
        {"client": ""},
        {"client": "各社"},
        {"product": " "},
        {"product": "すべて"},
        {"product": "any"},
        {"end": None},
        {"media": ()},
    ],
)
def test_a28_a_blanket_consent_cannot_be_represented(world, change):
    """A28: scope needs client/product and end."""
    (member,) = change
    if change[member] is None:
        payload = world.terms().to_payload()
        del payload[member]
        assert fields(parse(payload)) == {member}
        assert fields(parse(payload | {member: None})) == {member}
        return
    assert fields(world.submit(terms=world.terms(**change))) == {member}


def test_a28_no_single_member_opens_everything(world):
    """A28: there is no word for "anything", and no term without an end."""
    for word in ("*", "all", "any", "everything"):
        for member in ("media", "categories", "transformations", "likeness_parts", "territory"):
            assert member in fields(world.submit(terms=world.terms(**{member: (word,)})))
    century = world.terms(end=timezone.localdate() + timedelta(days=36500))
    assert fields(world.submit(terms=century)) == {"end"}
    words = {word for labels in vocabulary.VOCABULARY.values() for word in labels}
    assert not words & {"*", "all", "any", "everything"}
