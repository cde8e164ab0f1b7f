"""Requirements about what may be asked for, through the real services (field study 1.2)."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.core.uses import Use, outside
from registry.core.refusals import Refusal
from registry.core.requests import kind_refusal
from registry.core.terms import Problem, explicit_items, parse
from registry.models import Talent, TrainingRequest
from registry.selectors import core_grant
from registry.services import wishes
from tests.services.studio import Studio
from tests.web import pages
from tests.world import RECIPE, RUN, log_types
from training.services import delivery


def codes(found):
    assert isinstance(found, list), found
    return [item.code for item in found if isinstance(item, Refusal)]


def named(found):
    assert isinstance(found, list), found
    return {item.field for item in found if isinstance(item, Problem)}


def stored(world) -> Talent:
    return Talent.objects.get(id=world.talent.id)


def test_r10_general_purpose_is_refused_as_a_purpose(world):
    """R10: a reasonably specific description is required."""
    general = world.terms(purpose="商用で汎用的に使えるLoRAを作ること")
    assert named(world.submit(terms=general)) == {"purpose"}
    assert named(world.submit(terms=world.terms(product="全商品"))) == {"product"}
    assert TrainingRequest.objects.count() == 0


def test_r12_the_fee_and_the_substitution_are_in_what_the_talent_reads(world):
    """R12: compensation terms and "replaces a booked shoot?" are shown before approval."""
    grant = world.asked(terms=world.terms(fee_jpy=120_000, replaces_booked_shoot=True))
    signed = grant.payload["terms"]
    assert (signed["fee_jpy"], signed["replaces_booked_shoot"]) == (120_000, True)
    text = core_grant(grant).text("en")
    assert "Fee: JPY 120,000" in text
    assert "This replaces a booked shoot." in text
    for member in ("fee_jpy", "replaces_booked_shoot"):
        payload = world.terms().to_payload()
        del payload[member]
        assert [p.field for p in parse(payload)] == [member]


@pytest.mark.parametrize("word", ["finance", "worldwide"])
def test_r44_what_the_talent_has_not_opened_cannot_be_asked_for(world, word):
    """R44: sensitive categories default prohibited; talent can widen, agency alone can't."""
    change = {"territory": ("worldwide",)} if word == "worldwide" else {"categories": (word,)}
    assert codes(world.submit(terms=world.terms(**change))) == ["not_opened"]
    assert TrainingRequest.objects.count() == 0
    done = wishes.wishes_set(by=world.alice.person, talent=world.talent, never=[], opened=[word])
    assert isinstance(done, Talent)
    world.talent.refresh_from_db()
    assert isinstance(world.submit(terms=world.terms(**change)), TrainingRequest)


def test_r44_the_agency_alone_cannot_widen(world):
    """R44: an agency-only widening attempt is rejected."""
    world.talent.never_list = ["swimwear"]
    world.talent.save()
    for never, opened in (([], []), (["swimwear"], ["finance"])):
        done = wishes.wishes_set(
            by=world.bob.person, talent=world.talent, never=never, opened=opened
        )
        assert codes(done) == ["talent_only"]
    assert (stored(world).never_list, stored(world).opened_list) == (["swimwear"], [])
    assert "wishes.changed" not in log_types()


def test_r44_the_agency_may_narrow(world):
    """R44: the agency can lower, never raise."""
    world.talent.opened_list = ["finance", "worldwide"]
    world.talent.save()
    done = wishes.wishes_set(
        by=world.bob.person, talent=world.talent, never=["swimwear"], opened=["worldwide"]
    )
    assert isinstance(done, Talent)
    assert (stored(world).never_list, stored(world).opened_list) == (["swimwear"], ["worldwide"])
    assert log_types()[-1] == "wishes.changed"


def test_r44_an_agency_that_represents_her_no_longer_changes_nothing(world):
    """R44: nobody but the talent and her agency of today."""
    for who in (world.mallory, world.charlie):
        with pytest.raises(PermissionDenied):
            wishes.wishes_set(by=who.person, talent=world.talent, never=[], opened=[])
    world.talent.representations.all().delete()
    with pytest.raises(PermissionDenied):
        wishes.wishes_set(by=world.bob.person, talent=world.talent, never=["body"], opened=[])


def test_r44_only_words_that_exist_are_set_and_all_are_named(world):
    done = wishes.wishes_set(
        by=world.alice.person, talent=world.talent, never=["hologram"], opened=["swimwear"]
    )
    assert named(done) == {"never", "opened"}


def test_r44_closing_it_before_the_pictures_are_sealed_stops_the_request(world):
    world.talent.opened_list = ["finance"]
    world.talent.save()
    request = world.request(terms=world.terms(categories=("finance",)))
    wishes.wishes_set(by=world.alice.person, talent=world.talent, never=[], opened=[])
    assert codes(world.seal(request)) == ["not_opened"]


def test_r44_a_minor_opens_nothing_that_is_for_adults(world):
    world.talent.birth_date = date(2012, 4, 1)
    world.talent.save()
    done = wishes.wishes_set(
        by=world.alice.person, talent=world.talent, never=[], opened=["alcohol"]
    )
    assert codes(done) == ["minor_rule"]


def test_r04_a_full_synthesis_job_under_a_background_only_grant_is_refused(world):
    """R04: background variation is a narrow scope of its own, separate from full synthesis."""
    narrow = world.terms(transformations=("background_only",))
    background = RECIPE | {"output_policy": "background_only"}
    for recipe in (RECIPE, RECIPE | {"output_policy": "full_synthesis"}):
        assert codes(world.submit(terms=narrow, recipe=recipe)) == ["transformation_exceeds"]
    grant = world.made(terms=narrow, recipe=background)
    assert codes(world.mint(grant)) == ["transformation_exceeds"]
    assert not isinstance(
        world.mint(grant, run=replace(RUN, output_policy="background_only")), Refusal
    )
    odd = replace(RUN, output_policy="anything")
    assert codes(world.mint(world.made(), run=odd)) == ["transformation_exceeds"]


def test_r06_no_answer_about_likeness_lifts_the_talents_consent(world):
    """R06: likeness-seeking jobs always need the talent's consent; so does every other."""
    for goal in (True, False):
        grant = core_grant(world.asked(terms=world.terms(likeness_goal=goal)))
        assert {"talent", "agency_officer"} <= {party.by for party in grant.parties}
        assert grant.terms.likeness_goal is goal


def test_r09_nothing_of_a_prototype_is_delivered(world, tmp_path, settings, monkeypatch):
    """R09: prototype consent is its own scope: no delivery, no publication, no commercial use."""
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr("training.tasks.wake_sealer", lambda job_id: None)
    for change in ({"media": ("photobook_ebook",)}, {"media": ("portfolio",)}):
        assert named(world.submit(terms=world.terms(stage="prototype", **change))) == {"media"}
    long = world.terms(
        stage="prototype",
        media=("research_prototype",),
        end=timezone.localdate() + timedelta(days=181),
    )
    assert named(world.submit(terms=long)) == {"end"}
    studio = Studio(world, tmp_path)
    prototype = world.terms(stage="prototype", media=("research_prototype",))
    studio.request.terms = prototype.to_payload()
    studio.request.save()
    lora = pages.finished(studio)
    refused = delivery.delivery_make(lora=lora, recipient=world.client)
    assert isinstance(refused, Refusal)
    assert refused.code == "scope_prototype_only"


def test_r22_a_style_is_rejected_with_a_pointer(world):
    """R22: style or illustration jobs are rejected with a pointer, not silently processed."""
    assert kind_refusal("person") is None
    for kind in ("style", "illustration", ""):
        refusal = kind_refusal(kind)
        assert refusal is not None
        assert refusal.code == "kind_not_offered"
        assert "画風" in refusal.sentence("ja") + refusal.next_step("ja")
        assert "style" in refusal.next_step("en")


def test_r42_the_photographers_portfolio_is_a_separate_tick_off_by_default(world):
    """R42: default grant excludes `portfolio`."""
    plain = core_grant(world.asked()).terms
    assert "portfolio" not in plain.media
    use = Use("portfolio", "JP", plain.start)
    assert outside(plain, use) == ("media",)
    asked = world.terms(media=("photobook_ebook", "portfolio"))
    assert explicit_items(asked) == ("media:portfolio",)
    assert outside(asked, use) == ()


def test_r43_a_gender_swap_without_leave_is_a_violation_whoever_it_looks_like(world):
    """R43: provenance must rest on artefact ids and watermark, not on face similarity."""
    plain = core_grant(world.asked()).terms
    use = Use("photobook_ebook", "JP", plain.start, transformations=("gender",))
    assert outside(plain, use) == ("transformations",)
    allowed = world.terms(transformations=("gender",))
    assert outside(allowed, use) == ()
    assert explicit_items(allowed) == ("transformation:gender",)
    assert "similarity" not in {name.name for name in dataclasses.fields(Use)}
