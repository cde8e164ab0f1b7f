"""The registry over HTTP: one shape for every no, 404 across tenants, keys that sign, a log."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from registry.core import status_list
from registry.core.trust import TrustRoot
from registry.log.core import checkpoint, merkle, tiles, tlog_proof
from registry.models import (
    ApiKey,
    Approval,
    IdempotencyKey,
    Lane,
    PrivateNote,
    TrainingRequest,
)
from registry.services import drift, keyring, parties, tokens
from tests.world import ORIGIN, RECIPE, free, human, make_world, sequence, state


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


def as_(who, organisation, **headers) -> Client:
    """A client with that person's API key."""
    _, text = parties.api_key_create(person=who.person, organisation=organisation)
    return Client(headers={"authorization": f"Bearer {text}", **headers})


@pytest.fixture
def charlie(world):
    return as_(world.charlie, world.studio, **{"accept-language": "en"})


@pytest.fixture
def alice(world):
    """alice acts for herself: her own one-person organisation gives her a key."""
    own = parties.organisation_create(kind="client", name="alice")
    parties.membership_add(person=world.alice.person, organisation=own, role="viewer")
    return as_(world.alice, own)


@pytest.fixture
def bob(world):
    return as_(world.bob, world.agency)


@pytest.fixture
def mallory(world):
    return as_(world.mallory, world.mallory.person.memberships.get().organisation)


def body(world, **changes):
    return {
        "licensee": world.client.id,
        "talents": [world.talent.id],
        "base_model": world.base.id,
        "terms": world.terms().to_payload(),
        "recipe": RECIPE,
        "max_runs": 1,
        "sign_by": (timezone.now() + timedelta(days=7)).isoformat(),
    } | changes


def post(client, path, data, **headers):
    return client.post(f"/api/v1/{path}", json.dumps(data), "application/json", headers=headers)


def sign(client, who, grant, by, **changes):
    begun = post(client, "approvals/challenge", {"grant": grant.id, "by": by}).json()
    answer = who.soft.approve(begun["options"] | changes, ORIGIN)
    signed = {"challenge_id": begun["challenge_id"], "response": answer}
    return post(client, "approvals", signed)


def problem(response, status, code):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    found = response.json()
    assert found["code"] == code
    assert found["status"] == status
    assert found["title"]
    assert found["next"]
    return found


# --- requests -------------------------------------------------------------------------------------


def test_a_photographer_files_a_request(world, charlie):
    answer = post(charlie, "requests", body(world))
    assert answer.status_code == 201
    made = TrainingRequest.objects.get()
    assert answer["Location"] == f"/api/v1/requests/{made.id}"
    assert made.requester == world.studio
    assert charlie.get(answer["Location"]).json()["state"] == "submitted"


def test_a_request_shows_its_grant_in_both_languages(world, charlie):
    grant = world.asked()
    shown = charlie.get(f"/api/v1/requests/{grant.request_id}").json()["grant"]
    assert shown["digest"] == grant.digest
    assert "写真" in shown["text"]["ja"]
    assert "photographs" in shown["text"]["en"]
    assert [lane["by"] for lane in shown["lanes"]] == [
        "talent",
        "agency_officer",
        "photo_copyright",
    ]


def test_form_problems_name_their_fields(world, charlie):
    terms = world.terms().to_payload() | {"purpose": "x", "media": ["hologram"]}
    found = problem(post(charlie, "requests", body(world, terms=terms)), 422, "terms_invalid")
    assert {error["field"] for error in found["errors"]} == {"purpose", "media"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"licensee": "org_nobody"}, "licensee"),
        ({"talents": ["tal_nobody"]}, "talents"),
        ({"base_model": "bas_none"}, "base_model"),
        ({"copyright_holder": "per_nobody"}, "copyright_holder"),
        ({"terms": {"unknown": 1}}, "terms"),
        ({"surprise": 1}, "surprise"),
        ({"sign_by": "soon"}, "sign_by"),
    ],
)
def test_a_wrong_member_is_named(world, charlie, changes, field):
    answer = post(charlie, "requests", body(world, **changes))
    found = problem(answer, 422, "terms_invalid")
    assert field in {error["field"] for error in found["errors"]}


def test_a_forbidding_base_licence_is_told_in_the_readers_language(world, charlie, alice):
    drift.model_revise(record=world.base, facts=free(commercial="no"))
    english = problem(post(charlie, "requests", body(world)), 422, "base_licence")
    assert "licence of the base model" in english["title"]
    japanese = problem(
        post(charlie, "requests", body(world), **{"accept-language": "ja"}), 422, "base_licence"
    )
    assert "ベースモデル" in japanese["title"]


def test_nobody_asks_in_another_studios_name(world, mallory):
    answer = post(mallory, "requests", body(world, requester=world.studio.id))
    problem(answer, 404, "not_found")


def test_the_list_is_paged_and_only_ones_own(world, charlie, mallory):
    ids = [world.request().id for _ in range(3)]
    first = charlie.get("/api/v1/requests?limit=2").json()
    rest = charlie.get(f"/api/v1/requests?limit=2&before={first['next']}").json()
    assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    assert mallory.get("/api/v1/requests").json()["items"] == []
    problem(charlie.get("/api/v1/requests?limit=0"), 422, "terms_invalid")


def test_across_tenants_everything_is_404(world, mallory):
    grant = world.asked()
    problem(mallory.get(f"/api/v1/requests/{grant.request_id}"), 404, "not_found")
    problem(post(mallory, f"grants/{grant.id}/withdraw", {}), 404, "not_found")
    problem(post(mallory, f"grants/{grant.id}/refuse", {"by": "talent"}), 404, "not_found")
    challenge = {"grant": grant.id, "by": "talent"}
    problem(post(mallory, "approvals/challenge", challenge), 404, "not_found")


def test_the_directories_name_talents_and_base_models(world, charlie):
    (talent,) = charlie.get("/api/v1/talents").json()["items"]
    assert talent["id"] == world.talent.id
    assert talent["agency"]["name"] == "Hoshi Agency"
    assert "birth_date" not in talent
    (base,) = charlie.get("/api/v1/base-models").json()["items"]
    assert base["sha256"] == world.base.sha256


# --- who calls ------------------------------------------------------------------------------------


def test_without_a_key_there_is_nothing(world):
    answer = Client().get("/api/v1/requests")
    problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_or_revoked_key_opens_nothing(world, charlie):
    wrong = Client(headers={"authorization": "Bearer kyo_test_wrong"})
    problem(wrong.get("/api/v1/requests"), 401, "not_authenticated")
    parties.api_key_revoke(api_key=ApiKey.objects.get())
    problem(charlie.get("/api/v1/requests"), 401, "not_authenticated")


def test_a_key_dies_with_the_membership(world, charlie):
    world.charlie.person.memberships.update(active=False)
    problem(charlie.get("/api/v1/requests"), 401, "not_authenticated")


def test_a_key_is_stored_as_a_hash_only(world):
    row, text = parties.api_key_create(person=world.charlie.person, organisation=world.studio)
    assert text.startswith("kyo_test_")
    assert text not in json.dumps([row.prefix, row.digest])


def test_a_login_that_is_no_person_is_forbidden(world, django_user_model):
    client = Client()
    client.force_login(django_user_model.objects.create_user("somebody"))
    problem(client.get("/api/v1/requests"), 403, "forbidden")


def test_a_login_acts_as_its_person(world, django_user_model):
    user = django_user_model.objects.create_user("alice")
    world.alice.person.user = user
    world.alice.person.save()
    world.asked()
    client = Client()
    client.force_login(user)
    assert len(client.get("/api/v1/requests").json()["items"]) == 1


def test_a_session_needs_the_csrf_token(world, django_user_model):
    user = django_user_model.objects.create_user("alice")
    world.alice.person.user = user
    world.alice.person.save()
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    problem(post(client, "credentials/options", {}), 403, "forbidden")


# --- signing --------------------------------------------------------------------------------------


def test_everybody_signs_over_http_and_the_grant_is_made(world, alice, bob, charlie):
    grant = world.asked()
    assert sign(alice, world.alice, grant, "talent").json()["grant_state"] == "asking"
    assert sign(bob, world.bob, grant, "agency_officer").status_code == 201
    last = sign(charlie, world.charlie, grant, "photo_copyright")
    assert last.json()["grant_state"] == "active"


def test_the_agency_in_alices_session_is_a_bad_signature(world, alice):
    grant = world.asked()
    answer = sign(alice, world.bob, grant, "talent", allowCredentials=[])
    problem(answer, 403, "bad_signature")
    assert not Approval.objects.exists()


def test_the_requester_gets_no_talents_challenge(world, charlie):
    challenge = {"grant": world.asked().id, "by": "talent"}
    problem(post(charlie, "approvals/challenge", challenge), 403, "self_approval")


def test_alice_withdraws_with_one_post(world, alice):
    grant = world.made()
    for _ in range(2):
        assert post(alice, f"grants/{grant.id}/withdraw", {}).json()["state"] == "withdrawn"
    assert state(grant) == "withdrawn"


def test_bob_cannot_withdraw_for_alice(world, bob):
    grant = world.made()
    problem(post(bob, f"grants/{grant.id}/withdraw", {}), 409, "wrong_state")


@pytest.mark.parametrize("act", ["withdraw", "refuse"])
def test_alice_says_over_http_that_she_was_pressed(world, alice, act):
    """As on the page: beside any answer, and the answer is the same."""
    grant = world.made() if act == "withdraw" else world.asked()
    body = {"pressed": True, "reason": "they sat beside me"}
    body |= {"by": "talent"} if act == "refuse" else {}
    assert post(alice, f"grants/{grant.id}/{act}", body).status_code == 200
    note = PrivateNote.objects.get(person=world.alice.person, pressed=True)
    assert note.reason == "they sat beside me"
    assert Lane.objects.get(grant=grant, by="talent").reason == ""


def test_bob_refuses_for_the_agency(world, bob):
    grant = world.asked()
    refusal = {"by": "agency_officer", "reason": "booked"}
    assert post(bob, f"grants/{grant.id}/refuse", refusal).json()["state"] == "refused"


def test_a_key_is_enrolled_over_http(world, charlie):
    begun = post(charlie, "credentials/options", {}).json()
    device = human("another device").soft
    enrolment = {
        "challenge_id": begun["challenge_id"],
        "response": device.register(begun["options"], ORIGIN),
        "label": "studio phone",
    }
    made = post(charlie, "credentials", enrolment)
    assert made.status_code == 201
    assert made.json()["assurance"] == "test"
    problem(post(charlie, "credentials", enrolment), 409, "challenge_unknown")


# --- retries --------------------------------------------------------------------------------------


def test_a_repeated_post_files_one_request(world, charlie):
    data = body(world)
    first, again = (post(charlie, "requests", data, **{"idempotency-key": "a"}) for _ in range(2))
    assert first.json() == again.json()
    assert again.status_code == 201
    assert again["Idempotent-Replayed"] == "true"
    assert TrainingRequest.objects.count() == 1


def test_a_reused_idempotency_key_is_refused(world, charlie):
    post(charlie, "requests", body(world), **{"idempotency-key": "a"})
    other = post(charlie, "requests", body(world, max_runs=2), **{"idempotency-key": "a"})
    problem(other, 422, "idempotency_reused")
    assert TrainingRequest.objects.count() == 1


def test_while_the_first_runs_the_second_waits(world, charlie):
    data = body(world)
    post(charlie, "requests", data, **{"idempotency-key": "a"})
    IdempotencyKey.objects.update(status=0)
    problem(post(charlie, "requests", data, **{"idempotency-key": "a"}), 409, "idempotency_running")


def test_a_refused_post_is_repeated_as_a_problem(world, charlie):
    data = body(world, max_runs=0)
    for _ in range(2):
        answer = post(charlie, "requests", data, **{"idempotency-key": "a"})
        problem(answer, 422, "terms_invalid")


def test_a_body_that_is_no_json_is_a_problem(world, charlie):
    answer = charlie.post("/api/v1/requests", "{", "application/json")
    problem(answer, 400, "bad_request")


# --- what everybody may read ----------------------------------------------------------------------


def test_the_trust_root_is_served_as_it_is_pinned(world):
    assert TrustRoot.from_bytes(Client().get("/trust.json").content) == keyring.trust_root()


def test_the_status_list_is_served_signed(world):
    answer = Client().get("/status/1")
    assert answer["Content-Type"] == "application/statuslist+jwt"
    assert answer["Cache-Control"] == "no-store"
    listed = status_list.verify(
        answer.content.decode(),
        keyring.trust_root(),
        uri=tokens.status_uri(),
        at=timezone.now(),
    )
    assert listed.code(7) is None


def test_an_entry_can_be_proved_from_what_is_served(world):
    sequence()
    client = Client()
    vkeys = keyring.trust_root().log_vkeys
    head = checkpoint.verify_checkpoint(client.get("/log/checkpoint").content.decode(), vkeys)
    entry = client.get("/log/entries/0").content
    text = client.get("/log/proof/0").content.decode()
    index, proved = tlog_proof.verify(text, entry, vkeys)
    assert (index, proved) == (0, head)


def test_the_tiles_rebuild_the_signed_root(world):
    sequence()
    client = Client()
    vkeys = keyring.trust_root().log_vkeys
    head = checkpoint.verify_checkpoint(client.get("/log/checkpoint").content.decode(), vkeys)
    hashes = client.get(f"/{tiles.tile_path(0, 0, head.size)}".replace("/tile", "/log/tile"))
    bundle = client.get(f"/{tiles.entries_path(0, head.size)}".replace("/tile", "/log/tile", 1))
    leaves = tiles.split(hashes.content)
    assert [merkle.leaf_hash(entry) for entry in tiles.parse_bundle(bundle.content)] == leaves
    assert merkle.root_hash(leaves) == head.root
    assert "immutable" in hashes["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    ["tile/0/000", "tile/0/999", "tile/9/000", "tile/x/../y", "entries/9999", "proof/9999"],
)
def test_what_the_signed_tree_lacks_is_404(world, path):
    sequence()
    assert Client().get(f"/log/{path}").status_code == 404


def test_before_the_first_checkpoint_there_is_none(world):
    assert Client().get("/log/checkpoint").status_code == 404
