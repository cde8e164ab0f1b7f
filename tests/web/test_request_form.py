"""P1, the request form: the API's rules at each field, in both languages, and nothing is lost."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from registry.core.terms import Terms
from registry.log.models import Outbox
from registry.models import RequestDraft, TrainingRequest
from registry.services import keyring, parties, wishes
from tests.web.pages import as_, text
from tests.world import RECIPE, log_types, make_world

EMOJI = "星野きらり👩‍🎤ファンクラブ公式グッズ部門ときめき☆チーム"  # 30 characters as people count
LANGUAGES = ("ja", "en")


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


def begin(client) -> str:
    answer = client.post("/requests/new")
    assert answer.status_code == 302
    return str(answer["Location"]).split("/")[3]


def whole(world) -> dict[str, dict[str, object]]:
    """What an honest photographer types, as people in Japan write it."""
    end = timezone.localdate() + timedelta(days=90)
    return {
        "who": {
            "talents": [world.talent.id],
            "requester": world.studio.id,
            "licensee": "Kadoma Press",
            "copyright_holder": "",
            "base_model": world.base.id,
            "recipe": "tiny_cpu",
        },
        "use": {
            "kind": "person",
            "stage": "production",
            "client": EMOJI,
            "product": "春の写真集『港』",
            "purpose": "春の電子写真集のうち、背景を替えた画像を作る",
            "likeness_goal": "yes",
            "media": ["photobook_ebook"],
        },
        "terms": {
            "start": timezone.localdate().isoformat(),
            "end": wide(f"{end.year}年{end.month}月{end.day}日"),
            "territory": ["JP"],
            "countries": "韓国、アイスランド",
            "quantity": "２，０００",
            "likeness_parts": ["face"],
            "transformations": ["wardrobe"],
            "exposure": "full_clothed",
            "fee_jpy": "３００，０００円",
            "share_permille": "１２．５％",
            "replaces_booked_shoot": "no",
            "duties": ["credit"],
            "max_runs": "２",
            "sign_by": (timezone.localdate() + timedelta(days=14)).isoformat(),
        },
    }


def wide(text: str) -> str:
    return text.translate({ord(str(n)): chr(0xFF10 + n) for n in range(10)})


def fill(client, draft, steps):
    """Type every step; the answers."""
    return {
        name: client.post(f"/requests/new/{draft}/{name}", {"go": "on", **fields})
        for name, fields in steps.items()
    }


def spoilt(world, **changes):
    steps = whole(world)
    for name, value in changes.items():
        step = next(step for step, fields in steps.items() if name in fields or step == "terms")
        steps[step][name] = value
    return steps


def shown(response, name) -> str:
    """The words at one field of a page."""
    page = response.content.decode()
    found = re.search(rf'id="h-{name}">(.*?)</div>', page, re.S)
    assert found, name
    return html.unescape(re.sub(r"<[^>]+>", " ", found[1]))


def test_a_photographer_files_a_request_without_a_script(world):
    client = as_(world.charlie, "ja")
    draft = begin(client)
    for name, answer in fill(client, draft, whole(world)).items():
        assert answer.status_code == 302, (name, text(answer))
    page = text(client.get(f"/requests/new/{draft}/check"))
    assert EMOJI in page
    assert "売上の分配: 12.5%" in page
    assert "alice" in page
    assert "Hoshi Agency" in page
    answer = client.post(f"/requests/new/{draft}/check")
    made = TrainingRequest.objects.get()
    assert answer["Location"] == f"/requests/{made.id}"
    terms = Terms.from_payload(made.terms)
    assert terms.client == EMOJI
    assert (terms.quantity, terms.fee_jpy, terms.share_permille) == (2000, 300_000, 125)
    assert terms.territory == ("JP", "KR", "IS")
    assert terms.end == timezone.localdate() + timedelta(days=90)
    assert terms.duties == ("report_use", "ai_notice", "destroy_at_end", "credit")
    assert (made.max_runs, made.licensee, made.copyright_holder) == (
        2,
        world.client,
        world.charlie.person,
    )
    assert not RequestDraft.objects.exists()


def test_a_draft_brings_everything_back_as_it_was_typed(world):
    client = as_(world.charlie, "ja")
    draft = begin(client)
    steps = spoilt(world, end="来年の春", fee_jpy="たくさん")
    fill(client, draft, steps)
    page = html.unescape(client.get(f"/requests/new/{draft}/terms").content.decode())
    for typed in ("来年の春", "たくさん", "２，０００", "１２．５％", "韓国、アイスランド"):
        assert f'value="{typed}"' in page
    assert re.search(r'value="wardrobe" checked', page)
    assert not re.search(r'value="age" checked', page)
    use = html.unescape(client.get(f"/requests/new/{draft}/use").content.decode())
    assert EMOJI in use
    assert re.search(r'value="photobook_ebook" checked', use)


def test_typing_is_kept_and_answered_with_the_text_and_the_people(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    fill(client, draft, {"who": whole(world)["who"]})
    fields = whole(world)["terms"] | {"step": "terms", "fee_jpy": "12"}
    answer = client.post(f"/requests/new/{draft}/live", fields, headers={"hx-request": "true"})
    assert "Fee: JPY 12" in text(answer)
    assert "alice" in text(answer)
    assert "<html" not in answer.content.decode()
    assert RequestDraft.objects.get().data["fee_jpy"] == ["12"]
    assert RequestDraft.objects.get().data["licensee"] == ["Kadoma Press"]


BAD = {
    "unknown media": ({"media": ["hologram"]}, "use", "media"),
    "end before start": ({"end": "2020-01-01"}, "terms", "end"),
    "term without end": ({"end": ""}, "terms", "end"),
    "a day that is none": ({"end": "2027-02-30"}, "terms", "end"),
    "no medium": ({"media": []}, "use", "media"),
    "no fee": ({"fee_jpy": ""}, "terms", "fee_jpy"),
    "a fee in words": ({"fee_jpy": "応相談"}, "terms", "fee_jpy"),
    "no answer on the shoot": ({"replaces_booked_shoot": ""}, "terms", "replaces_booked_shoot"),
    "no answer on likeness": ({"likeness_goal": "maybe"}, "use", "likeness_goal"),
    "general purpose": ({"purpose": "汎用的に使えるLoRAを作る"}, "use", "purpose"),
    "a blanket client": ({"client": "各社"}, "use", "client"),
    "voice": ({"likeness_parts": ["face", "voice"]}, "terms", "likeness_parts"),
    "no such country": ({"countries": "アトランティス"}, "terms", "countries"),
    "worldwide and Japan": ({"territory": ["JP", "worldwide"]}, "terms", "territory"),
    "a forged exposure": ({"exposure": "anything"}, "terms", "exposure"),
    "a forged withdrawal": ({"published": "keep"}, "terms", "published"),
    "sell-off without days": ({"published": "sell_off"}, "terms", "published"),
    "nobody": ({"talents": []}, "who", "talents"),
    "an unknown talent": ({"talents": ["tal_nobody"]}, "who", "talents"),
    "an unknown company": ({"licensee": "Kado"}, "who", "licensee"),
    "somebody else's company": ({"requester": "org_nobody"}, "who", "requester"),
    "an unknown base": ({"base_model": "mdl_none"}, "who", "base_model"),
    "an unknown recipe": ({"recipe": "../../etc/passwd"}, "who", "recipe"),
    "no day to answer": ({"sign_by": ""}, "terms", "sign_by"),
    "an answer in the past": ({"sign_by": "2020-01-01"}, "terms", "sign_by"),
    "too many runs": ({"max_runs": "21"}, "terms", "max_runs"),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_at_its_field_and_nothing_is_lost_or_half_written(world, case, language):
    changes, step, field = BAD[case]
    client = as_(world.charlie, language)
    draft = begin(client)
    before = Outbox.objects.count()
    answers = fill(client, draft, spoilt(world, **changes))
    assert answers[step].status_code == 422
    said = shown(answers[step], field)
    assert re.search("[ぁ-ん]", said) if language == "ja" else re.search("[a-z]{3}", said)
    kept = RequestDraft.objects.get().data
    assert kept["product"] == ["春の写真集『港』"]
    for name, value in changes.items():
        typed = value if isinstance(value, list) else [value]
        assert kept.get(name, []) == typed
    refused = client.post(f"/requests/new/{draft}/check")
    assert refused.status_code == 422
    assert TrainingRequest.objects.count() == 0
    assert Outbox.objects.count() == before
    assert RequestDraft.objects.count() == 1


@pytest.mark.parametrize(
    ("language", "said"), [("ja", "本人が自分で許していない"), ("en", "has not opened herself")]
)
def test_worldwide_without_the_talents_tick_is_refused_clearly(world, language, said):
    client = as_(world.charlie, language)
    draft = begin(client)
    fill(client, draft, spoilt(world, territory=["worldwide"], countries=""))
    answer = client.post(f"/requests/new/{draft}/check")
    assert answer.status_code == 422
    assert said in text(answer)
    assert TrainingRequest.objects.count() == 0
    wishes.wishes_set(by=world.alice.person, talent=world.talent, never=[], opened=["worldwide"])
    assert client.post(f"/requests/new/{draft}/check").status_code == 302


@pytest.mark.parametrize(
    ("language", "said"), [("ja", "未成年者には認められない"), ("en", "not allowed for a minor")]
)
def test_a_minor_and_a_barred_scope_are_refused_clearly(world, language, said):
    world.talent.birth_date = timezone.localdate() - timedelta(days=365 * 15)
    world.talent.save()
    client = as_(world.charlie, language)
    draft = begin(client)
    fill(client, draft, spoilt(world, exposure="swimwear"))
    answer = client.post(f"/requests/new/{draft}/check")
    assert answer.status_code == 422
    assert said in text(answer)
    assert TrainingRequest.objects.count() == 0


@pytest.mark.parametrize(("language", "said"), [("ja", "実在の人物"), ("en", "real people only")])
def test_r22_a_style_is_pointed_elsewhere(world, language, said):
    client = as_(world.charlie, language)
    draft = begin(client)
    fill(client, draft, spoilt(world, kind="style"))
    answer = client.post(f"/requests/new/{draft}/check")
    assert answer.status_code == 422
    assert said in text(answer)


def test_all_problems_are_told_at_once(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    answer = client.post(f"/requests/new/{draft}/terms", {"go": "on", "end": "soon"})
    for field in ("start", "end", "fee_jpy", "replaces_booked_shoot", "territory", "sign_by"):
        assert shown(answer, field).strip(), field


def test_a_page_that_is_opened_for_the_first_time_blames_nobody(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    for step in ("who", "use", "terms"):
        assert 'class="error"' not in client.get(f"/requests/new/{draft}/{step}").content.decode()


def test_a_group_that_nobody_needs_is_folded_until_something_stands_in_it(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    page = client.get(f"/requests/new/{draft}/terms").content.decode()
    assert page.count("<details") == 2
    assert '<details class="card" open' not in page
    client.post(f"/requests/new/{draft}/terms", {"go": "back", "competitors": "Rival"})
    page = client.get(f"/requests/new/{draft}/terms").content.decode()
    assert page.count('<details class="card" open') == 1


def test_background_only_makes_a_background_only_run(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    fill(client, draft, spoilt(world, transformations=["background_only"]))
    assert client.post(f"/requests/new/{draft}/check").status_code == 302
    assert TrainingRequest.objects.get().recipe["output_policy"] == "background_only"


def test_sending_twice_files_once(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    fill(client, draft, whole(world))
    assert client.post(f"/requests/new/{draft}/check").status_code == 302
    assert client.post(f"/requests/new/{draft}/check").status_code == 404
    assert TrainingRequest.objects.count() == 1
    assert log_types().count("request.submitted") == 1


def test_a_draft_is_its_writers_alone(world):
    draft = begin(as_(world.charlie))
    for who in (world.mallory, world.bob, world.alice):
        client = as_(who)
        for path in ("who", "check"):
            assert client.get(f"/requests/new/{draft}/{path}").status_code == 404
        for path in ("live", "discard", "check", "terms"):
            assert client.post(f"/requests/new/{draft}/{path}").status_code == 404
    assert as_(world.alice).get("/requests/new").status_code == 404
    assert Client().get("/requests/new").status_code == 302
    assert as_(world.charlie).get(f"/requests/new/{draft}/nowhere").status_code == 404


def test_a_draft_can_be_discarded_and_there_are_twenty_at_most(world):
    client = as_(world.charlie, "en")
    drafts = [begin(client) for _ in range(20)]
    answer = client.post("/requests/new", follow=True)
    assert "20 drafts" in text(answer)
    assert RequestDraft.objects.count() == 20
    client.post(f"/requests/new/{drafts[0]}/discard")
    assert RequestDraft.objects.count() == 19


def test_a_draft_keeps_no_unknown_field_and_no_flood(world):
    client = as_(world.charlie, "en")
    draft = begin(client)
    client.post(
        f"/requests/new/{draft}/use",
        {"product": "a\0b" + "x" * 9000, "surprise": "1", "fee_jpy": "1", "state": "cleared"},
    )
    kept = RequestDraft.objects.get().data
    assert set(kept) == {"product"}
    assert kept["product"][0].startswith("ab")
    assert len(kept["product"][0]) == 4000


# --- the API, by the same rules -------------------------------------------------------------------


def api(world, language, terms=None, query="", **changes):
    _, key = parties.api_key_create(person=world.charlie.person, organisation=world.studio)
    client = Client(headers={"authorization": f"Bearer {key}", "accept-language": language})
    body = {
        "licensee": world.client.id,
        "talents": [world.talent.id],
        "base_model": world.base.id,
        "terms": world.terms().to_payload() | (terms or {}),
        "recipe": RECIPE,
        "sign_by": (timezone.now() + timedelta(days=7)).isoformat(),
    } | changes
    return client.post(f"/api/v1/requests{query}", json.dumps(body), "application/json")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"media": ["hologram"]}, "media"),
        ({"end": "2020-01-01"}, "end"),
        ({"end": None}, "end"),
        ({"end": "２０２７年３月３１日"}, "end"),
        ({"purpose": "general purpose LoRA"}, "purpose"),
        ({"likeness_parts": ["voice"]}, "likeness_parts"),
        ({"replaces_booked_shoot": None}, "replaces_booked_shoot"),
        ({"quantity": "２０"}, "quantity"),
        ({"surprise": 1}, "terms"),
    ],
)
def test_the_api_names_each_field_in_the_readers_language(world, language, terms, field):
    answer = api(world, language, terms)
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    errors = {error["field"]: error["detail"] for error in answer.json()["errors"]}
    assert field in errors
    japanese = re.search("[ぁ-ん]", errors[field])
    assert japanese if language == "ja" else not japanese
    assert TrainingRequest.objects.count() == 0


@pytest.mark.parametrize(
    ("terms", "code"),
    [({"territory": ["worldwide"]}, "not_opened"), ({"categories": ["political"]}, "not_opened")],
)
def test_the_api_refuses_what_the_talent_has_not_opened(world, terms, code):
    answer = api(world, "ja", terms)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_r22_the_api_points_a_style_elsewhere(world):
    answer = api(world, "en", kind="style")
    assert (answer.status_code, answer.json()["code"]) == (422, "kind_not_offered")
    assert "copyright holder" in answer.json()["next"]


def test_a_dry_run_says_who_must_approve_and_files_nothing(world):
    before = Outbox.objects.count()
    answer = api(world, "en", {"name_use": "stage_name"}, query="?dry_run=1")
    assert answer.status_code == 200
    said = answer.json()
    assert [row["by"] for row in said["must_approve"]] == [
        "talent",
        "agency_officer",
        "photo_copyright",
    ]
    assert said["ticks"] == ["name_use"]
    assert set(said["text"]) == {"ja", "en", "ja-easy"}
    assert api(world, "en", {"purpose": "x"}, query="?dry_run=1").status_code == 422
    assert api(world, "en", {"territory": ["worldwide"]}, query="?dry_run=1").status_code == 422
    assert TrainingRequest.objects.count() == 0
    assert Outbox.objects.count() == before


# --- her own rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_talent_keeps_her_own_rules_in_her_own_session(world, language):
    client = as_(world.alice, language)
    page = client.get("/my/rules").content.decode()
    assert "checked" not in page
    answer = client.post("/my/rules", {"never": ["swimwear"], "opened": ["finance"]})
    assert answer.status_code == 302
    world.talent.refresh_from_db()
    assert (world.talent.never_list, world.talent.opened_list) == (["swimwear"], ["finance"])
    assert 'value="finance" checked' in client.get("/my/rules").content.decode()
    assert client.post("/my/rules", {"opened": ["hologram"]}).status_code == 422
    for other in (world.bob, world.charlie, world.mallory):
        assert as_(other).get("/my/rules").status_code == 404
        assert as_(other).post("/my/rules", {"opened": ["sexual"]}).status_code == 404
    world.talent.refresh_from_db()
    assert world.talent.opened_list == ["finance"]
