"""The public pages: recognised or not, verified step by step, and the log for everybody."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from audit import selectors
from audit.models import TraceFound
from audit.services import evidence
from audit.verifier import pack as packs
from registry.log.core import merkle
from registry.log.core.checkpoint import parse_body, parse_note
from registry.log.models import Checkpoint
from registry.services import keyring
from tests import loras
from tests.services.studio import Studio
from tests.web import pages
from tests.web.pages import as_, text
from tests.world import make_world, sequence
from training.core import weights
from training.services import delivery


@pytest.fixture
def world(db, settings):
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    return make_world()


@pytest.fixture
def studio(world, settings, tmp_path) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(world, tmp_path)


@pytest.fixture
def anybody():
    return Client(headers={"accept-language": "en"})


def check(client, data, name="file.safetensors"):
    return client.post("/verify", {"file": SimpleUploadedFile(name, data)})


def held(studio):
    """A delivery, and its file as the licensee holds it."""
    made = pages.delivered(studio)
    data = studio.received(delivery.delivery_fetch(link=made.link))
    return made, data


def test_anybody_finds_a_registered_file_and_no_name_or_score_is_shown(studio, anybody):
    made, data = held(studio)
    renamed = weights.write(weights.half(loras.renamed(weights.read(data))).tensors, {})
    for copy, how in ((data, "the very file"), (renamed, "Its watermark was read")):
        page = text(check(anybody, copy))
        assert "Permission confirmed" in page
        assert how in page
        assert made.lora_id in page
        assert "e-photobook" in page
        for secret in ("alice", "Kadoma", "Charlie", "Open the case", "0."):
            assert secret not in page.partition("Check another file")[0].replace("CC0-1.0", "")
    assert TraceFound.objects.count() == 2


def test_after_a_withdrawal_the_file_is_registered_but_stopped(studio, anybody):
    made, data = held(studio)
    as_(studio.world.alice).post(f"/my/grants/{made.lora.job.grant_id}/withdraw")
    page = text(check(anybody, data))
    assert "stopped: consent was withdrawn" in page
    assert "may not be used at present" in page
    assert "Permission confirmed" not in page


def test_the_people_of_the_case_get_the_way_to_it(studio):
    made, data = held(studio)
    page = check(as_(studio.world.charlie), data).content.decode()
    assert f"/jobs/{made.lora.job_id}" in page


def test_an_unknown_file_is_accused_of_nothing(world, anybody):
    data = weights.write({"a.weight": np.ones((4, 4), np.float32)}, {})
    page = text(check(anybody, data))
    assert "No registration was found" in page
    assert "does not mean that anything is wrong" in page


def test_what_is_no_weights_file_is_told_apart_from_not_found(world, anybody):
    page = text(check(anybody, b"hello"))
    assert "No registration was found" not in page
    assert "not well formed" in page
    assert "Please choose a file" in text(anybody.post("/verify", {}))


def test_a_pack_is_verified_step_by_step(studio, anybody):
    made, _ = held(studio)
    sequence()
    packed = evidence.pack_build(delivery=made)
    assert isinstance(packed, bytes), packed
    page = check(anybody, packed, "evidence.zip")
    assert "Every proof in this pack holds" in text(page)
    assert page.content.decode().count("✓") == 13

    broken = packs.read(packed)
    broken["text.en.txt"] += b" "
    page = check(anybody, packs.write(broken), "evidence.zip")
    assert "Not verified" in text(page)
    body = page.content.decode()
    assert (body.count("✓"), body.count("✗")) == (4, 1)
    assert "5 the texts are those that people read and signed ✗" in text(page)


def test_something_zipped_that_is_no_pack_fails_at_its_first_step(world, anybody):
    body = check(anybody, b"PK\x03\x04 nothing", "a.zip").content.decode()
    assert body.count("✗") == 1
    assert body.count("✓") == 0


def test_the_ledger_tells_every_event_in_words_in_both_languages(world):
    grant = world.made()
    sequence()
    for language, words in (("en", "consent withdrawn"), ("ja", "承認に署名")):
        page = text(Client(headers={"accept-language": language}).get("/ledger"))
        assert grant.id in page
        assert words in page
    for event_type, (ja, en) in selectors.EVENTS.items():
        assert selectors.event_words(event_type, "ja") == ja
        assert selectors.event_words(event_type, "en") == en


def table(page):
    return re.findall(r'href="/ledger/(\d+)"', page.content.decode())


def test_the_ledger_is_searched_by_id_kind_and_day(world, anybody):
    grant = world.made()
    world.asked()
    sequence()
    everything = table(anybody.get("/ledger"))
    mine = table(anybody.get("/ledger", {"q": grant.id}))
    assert 0 < len(mine) < len(everything)
    for index in mine:
        assert grant.id in anybody.get(f"/log/entries/{index}").content.decode()
    kinds = anybody.get("/ledger", {"type": "grant.made"})
    assert len(table(kinds)) == 1
    assert table(anybody.get("/ledger", {"day": "2001-01-01"})) == []
    assert "No entry fits" in text(anybody.get("/ledger", {"q": "%' OR 1=1"}))


def test_the_ledger_pages_without_gaps(world, anybody, monkeypatch):
    monkeypatch.setattr(selectors, "PAGE", 4)
    world.made()
    sequence()
    found, query = [], ""
    while True:
        page = anybody.get(f"/ledger{query}")
        found += [int(index) for index in table(page)]
        more = re.search(r'href="(\?[^"]*before=\d+[^"]*)"', page.content.decode())
        if more is None:
            break
        query = more[1].replace("&amp;", "&")
    assert found == list(range(len(found) - 1, -1, -1))
    assert len(found) > 8


def test_what_is_not_under_a_checkpoint_is_not_shown(world, anybody):
    sequence()
    size = len(table(anybody.get("/ledger")))
    world.asked()
    assert len(table(anybody.get("/ledger"))) == size
    assert anybody.get(f"/ledger/{size}").status_code == 404


def test_an_entry_shows_its_exact_bytes_and_its_proof(world, anybody):
    world.asked()
    sequence()
    page = anybody.get("/ledger/3")
    raw = anybody.get("/log/entries/3").content.decode()
    assert raw in text(page)
    assert json.loads(raw)["type"] in text(page)
    assert 'href="/log/proof/3"' in page.content.decode()
    assert anybody.get("/log/checkpoint").content.decode().split()[0] in text(page)


def test_a_stored_type_of_a_newer_version_is_shown_as_it_is():
    assert selectors.event_words("grant.teleported", "ja") == "grant.teleported"


def test_the_ledger_is_shown_as_it_stood_on_a_day(world, anybody):
    """What was signed later is left out, and the checkpoint shown is the one of that day."""
    sequence()
    then = Checkpoint.objects.order_by("-size").first()
    assert then is not None
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE log_checkpoint SET at = at - interval '10 days'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    grant = world.asked()
    sequence()
    day = (timezone.localdate() - timedelta(days=5)).isoformat()
    page = anybody.get("/ledger", {"as_of": day})
    assert len(table(page)) == then.size
    assert then.note.split()[2] in text(page)
    assert "Later entries are left out" in text(page)
    assert table(anybody.get("/ledger", {"as_of": day, "q": grant.id})) == []
    assert table(anybody.get("/ledger", {"as_of": "2001-01-01"})) == []
    assert len(table(anybody.get("/ledger"))) > then.size


def test_the_ledger_as_json_says_the_same_and_leads_on(world, anybody, monkeypatch):
    monkeypatch.setattr(selectors, "PAGE", 4)
    grant = world.made()
    sequence()
    found, address = [], "/ledger.json"
    while address:
        body = anybody.get(address).json()
        found += body["entries"]
        address = body["next"]
    assert [row["index"] for row in found] == list(range(body["size"] - 1, -1, -1))
    head = parse_body(parse_note(body["checkpoint"])[0])
    assert (head.size, head.origin) == (body["size"], body["origin"])
    mine = anybody.get("/ledger.json", {"q": grant.id, "type": "grant.made"}).json()["entries"]
    assert [row["words"] for row in mine] == ["grant made"]
    row = anybody.get(f"/ledger/{mine[0]['index']}.json").json()
    raw = anybody.get(row["bytes"]).content
    assert json.loads(raw)["data"] == row["data"]
    assert merkle.leaf_hash(raw).hex() == row["leaf_hash"]
    assert anybody.get(row["proof"]).status_code == anybody.get(row["page"]).status_code == 200
    assert anybody.get("/ledger/999999.json").status_code == 404


def test_the_logs_files_are_cached_and_not_sent_twice(world, anybody):
    sequence()
    size = Checkpoint.objects.order_by("-size").first().size
    for path, lasting in (
        ("/log/checkpoint", False),
        (f"/log/tile/0/000.p/{size}", True),
        (f"/log/tile/entries/000.p/{size}", True),
        ("/log/entries/0", True),
        ("/log/proof/0", False),
    ):
        first = anybody.get(path)
        assert first.status_code == 200, path
        assert ("immutable" in first["Cache-Control"]) is lasting
        again = anybody.get(path, headers={"if-none-match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert anybody.get(path, headers={"if-none-match": '"other"'}).content == first.content
    world.asked()
    sequence()
    moved = anybody.get("/log/checkpoint", headers={"if-none-match": first["ETag"]})
    assert moved.status_code == 200
