"""Every page in a real Chromium, on a phone and on a desktop, in both languages, with real keys.

Passkeys are made by the browser itself, in a virtual authenticator. Set PAGES_SHOTS to a folder
to keep a picture of every page that is looked at.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction

from audit.services import evidence
from registry import selectors
from registry.core.refusals import Refusal
from registry.log import sequencer
from registry.models import Credential, Lane, ModelRecord
from registry.services import drift, keyring, seed, vault
from tests import world as worlds
from tests.requirements import test_probes
from tests.services.studio import HER, OTHER, STRANGER, Studio
from tests.web import pages
from tests.world import make_world
from training.core import folder
from training.models import TrainingJob
from training.services import delivery, faults, outputs
from training.services.datasets import opened

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LIFT = (Path(__file__).parents[1] / "lift_truncate_guard.sql").read_text()
SIZES = {"phone": (375, 812), "desk": (1280, 900)}
SHOTS = os.environ.get("PAGES_SHOTS", "")
PASSWORD = "a long pass phrase"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("NO CHROMIUM: install it to run the browser tests")
    api = pytest.importorskip("playwright.sync_api")
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # playwright runs an event loop in this thread
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def studio(transactional_db, live_server, settings, tmp_path, monkeypatch):
    """A case in a running site: the server, the sequencer, and everybody's login."""
    settings.PUBLIC_URL = live_server.url
    settings.LOG_EXPORT_DIR = None
    settings.STORAGE_DIR = tmp_path / "storage"
    monkeypatch.setattr(worlds, "ORIGIN", live_server.url)
    keyring.create()
    stop = threading.Event()
    thread = threading.Thread(target=_sequence, args=(stop,))
    thread.start()
    try:
        yield _named(Studio(make_world(), tmp_path, steps=160))
    finally:
        stop.set()
        thread.join()
        with connection.cursor() as cursor:
            cursor.execute(LIFT)


def _sequence(stop):
    try:
        sequencer.run(sequencer.load_signers(), stop, interval=0.05)
    finally:
        connections.close_all()


def _named(studio):
    world = studio.world
    names = {"alice": "朝日ありす", "bob": "番場 望", "charlie": "茶谷 理"}
    for name, ja in names.items():
        person = getattr(world, name).person
        person.display_name, person.display_name_en = ja, name.capitalize()
        person.save()
        pages.login(person)
    for row, ja in (
        (world.agency, "あおぞら芸能"),
        (world.studio, "スタジオ港"),
        (world.client, "みどり出版"),
    ):
        row.name, row.name_en = ja, row.name
        row.save()
    return studio


class Tab:
    """One window: a size, a language, and what went wrong in it."""

    def __init__(self, browser, url, size="desk", language="ja"):
        width, height = SIZES[size]
        self.url, self.size, self.language = url, size, language
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            locale="ja-JP" if language == "ja" else "en-GB",
            timezone_id="Asia/Tokyo",
            has_touch=size == "phone",
        )
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def login(self, person):
        self.open("/login/")
        self.page.fill("#id_username", person.pk)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("main button")
        return self

    def open(self, path):
        return self.page.goto(self.url + path)

    def authenticator(self):
        """A virtual device with a fingerprint reader that always recognises its owner."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        session.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        return session

    def look(self, name):
        """The page fits its window and complained of nothing. A click returns before the page
        that it leads to is there, so wait for a whole one."""
        self.page.wait_for_load_state("load")
        self.page.locator("main").first.wait_for()
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(wide) <= 0, f"{name} scrolls sideways at {self.size}"
        assert self.page.evaluate(SMALL) == [], f"{name}: targets under 24 px at {self.size}"
        assert self.faults == [], (name, self.faults)
        if SHOTS:
            path = Path(SHOTS) / f"{name}-{self.size}-{self.language}.png"
            self.page.screenshot(path=str(path), full_page=True)

    def close(self):
        self.context.close()


# WCAG 2.2, 2.5.8: targets of at least 24 px; links inside a sentence are excepted.
SMALL = """() => [...document.querySelectorAll('button, .button, input, select, nav a')]
  .filter((e) => e.offsetParent && !e.closest('.skip') && e.type !== 'hidden')
  .filter((e) => { const b = e.getBoundingClientRect(); return b.height < 24 || b.width < 24; })
  .map((e) => e.outerHTML.slice(0, 80))"""


def tabs(browser, url, person=None):
    for size in SIZES:
        for language in ("ja", "en"):
            tab = Tab(browser, url, size, language)
            yield tab if person is None else tab.login(person)
            tab.close()


def test_alice_makes_a_passkey_allows_and_withdraws_in_two_taps(browser, live_server, studio):
    """The whole of the talent's side on a phone, with a key that only her browser holds."""
    alice = studio.world.alice.person
    Credential.objects.filter(person=alice).update(retired_at="2026-01-01T00:00:00Z")
    tab = Tab(browser, live_server.url, "phone", "ja").login(alice)
    tab.authenticator()
    tab.page.wait_for_url("**/my/")
    tab.look("consents-empty")
    tab.open("/my/keys")
    tab.page.fill("#label", "わたしの電話")
    tab.page.click("[data-passkey=enrol]")
    tab.page.get_by_role("heading", name="わたしの電話").wait_for()
    assert selectors.credentials_of(alice).get().assurance == "passkey"
    tab.look("keys")

    grant = studio.sealed()
    tab.open("/my/")
    tab.look("consents-asked")
    tab.page.click("article .button")
    tab.page.locator(".photos img").first.scroll_into_view_if_needed()
    tab.page.locator(".photos img").first.evaluate("image => image.decode()")
    tab.look("ask-talent")
    for box in tab.page.locator(".switches input").all():
        box.check()
    tab.page.locator("#decide > .choices button").first.click()
    tab.page.wait_for_url("**/answer?**")
    yes, no, later = tab.page.locator("#decide > .choices .button").all()
    for other in (no, later):
        assert yes.bounding_box()["width"] == pytest.approx(other.bounding_box()["width"], abs=1)
        assert yes.bounding_box()["height"] == other.bounding_box()["height"]
        assert yes.evaluate("e => getComputedStyle(e).backgroundColor") == other.evaluate(
            "e => getComputedStyle(e).backgroundColor"
        )
    tab.look("answer-talent")
    yes.click()
    tab.page.wait_for_url("**/receipt")
    tab.page.get_by_role("link", name="証明をダウンロード").wait_for()
    assert Lane.objects.get(grant=grant, by="talent").state == "signed"
    tab.look("receipt")

    tab.open("/my/")
    tab.look("consents-active")
    tab.page.click("article .button.danger")  # tap 1
    tab.look("withdraw-dialog")
    tab.page.click("dialog[open] .button.danger")  # tap 2
    tab.page.wait_for_url("**/receipt")
    grant.refresh_from_db()
    assert grant.state == "withdrawn"
    tab.look("receipt-withdrawn")
    tab.open(f"/my/requests/{grant.request_id}")
    tab.look("ask-talent-withdrawn")
    tab.close()


def test_cancelling_the_passkey_signs_nothing_and_says_so(browser, live_server, studio):
    grant = studio.sealed()
    bob = studio.world.bob.person
    tab = Tab(browser, live_server.url, "desk", "en").login(bob)
    tab.authenticator()  # a device that does not hold bob's key
    tab.open(f"/agency/requests/{grant.request_id}")
    tab.page.click("[data-passkey=approve]")
    tab.page.get_by_text("nothing was signed").wait_for()
    assert Lane.objects.get(grant=grant, by="agency_officer").state == "opened"
    tab.close()


def test_a_job_page_follows_the_run_and_stops_asking_when_it_ended(browser, live_server, studio):
    job = pages.running(studio, steps=40)
    tab = Tab(browser, live_server.url, "desk", "ja").login(studio.world.charlie.person)
    tab.open(f"/jobs/{job.pk}")
    tab.look("job-running")
    TrainingJob.objects.filter(pk=job.pk).update(step=80)
    tab.page.get_by_text("160中 80").wait_for()
    with transaction.atomic():
        job.refresh_from_db()
        report = {"step": 81, "wiped": {"files": 12, "bytes": 4096, "left": 0}}
        faults.job_end(
            job,
            faults.State.STOPPED,
            Refusal("withdrawn"),
            at=worlds.at(0),
            out_of=faults.HELD,
            report=report,
        )
    tab.page.get_by_text("消したファイル").wait_for()
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.wait_for_timeout(2600)
    assert asked == []
    tab.look("job-stopped")
    tab.close()


def test_every_page_fits_phone_and_desk_in_both_languages(browser, live_server, studio):
    made = pages.delivered(studio)
    job = made.lora.job
    old_request = studio.request
    studio.request = studio.new_request()
    waiting = studio.sealed()
    studio.request = studio.new_request()
    studio.curated()
    people = studio.world
    for tab in tabs(browser, live_server.url):
        for name, path in {
            "home": "/",
            "login": "/login/",
            "verify": "/verify",
            "ledger": "/ledger",
            "entry": "/ledger/3",
        }.items():
            tab.open(path)
            tab.look(name)
        tab.open("/ledger?q=nothing")
        tab.look("ledger-none")
        tab.page.goto(f"{live_server.url}/no/such/page")
        tab.faults.clear()
        tab.look("not-found")
    for tab in tabs(browser, live_server.url, people.bob.person):
        tab.open("/agency/")
        tab.look("inbox")
        tab.open(f"/agency/requests/{waiting.request_id}")
        tab.look("ask-agency")
        tab.open("/my/keys")
        tab.look("keys-agency")
    for tab in tabs(browser, live_server.url, people.alice.person):
        tab.open("/my/")
        tab.look("consents")
        tab.open(f"/my/requests/{waiting.request_id}")
        tab.look("ask")
    for tab in tabs(browser, live_server.url, people.charlie.person):
        for name, path in {
            "requests": "/requests/",
            "request-open": f"/requests/{studio.request.pk}",
            "request-waiting": f"/requests/{waiting.request_id}",
            "request-cleared": f"/requests/{old_request.pk}",
            "job-done": f"/jobs/{job.pk}",
        }.items():
            tab.open(path)
            tab.look(name)


def test_a_delivered_file_and_its_pack_are_checked_on_the_public_page(
    browser, live_server, studio, tmp_path
):
    made = pages.delivered(studio)
    data = studio.received(delivery.delivery_fetch(link=made.link))
    lora, pack, broken = (tmp_path / n for n in ("a.safetensors", "a.zip", "b.zip"))
    lora.write_bytes(data)
    packed = evidence.pack_build(delivery=made)
    assert isinstance(packed, bytes)
    pack.write_bytes(packed)
    broken.write_bytes(packed.replace(b"photobook_ebook", b"photobook_ebooc"))
    for tab in tabs(browser, live_server.url):
        for name, path, word in (
            ("verify-lora", lora, {"ja": "許諾を確認できました", "en": "Permission confirmed"}),
            ("verify-pack", pack, {"ja": "許諾を確認できました", "en": "Permission confirmed"}),
            ("verify-broken", broken, {"ja": "確認できません", "en": "Not verified"}),
        ):
            tab.open("/verify")
            tab.page.set_input_files("#file", str(path))
            tab.page.click("main form button")
            tab.page.locator(".answer").get_by_text(word[tab.language]).first.wait_for()
            tab.look(name)


def test_a_delivery_is_received_once_by_hand(browser, live_server, studio, tmp_path):
    """The page behind a link, the download, the page of a link that was used, and the job's."""
    made = pages.delivered(studio)
    for tab in tabs(browser, live_server.url):
        fresh = delivery.link_renew(delivery=made)
        tab.open(f"/d/{fresh.link}")
        tab.look("parcel")
        with tab.page.expect_download() as download:
            tab.page.click("main form button")
        parcel = tmp_path / f"{tab.size}-{tab.language}.zip"
        download.value.save_as(parcel)
        assert download.value.suggested_filename == f"{made.pk}.zip"
        delivery_id, sealed, _ = folder.parcel_unpack(parcel.read_bytes())
        assert delivery_id == made.pk
        assert studio.received(sealed)
        tab.page.goto(f"{live_server.url}/d/{fresh.link}")
        tab.faults.clear()
        tab.look("parcel-used")
    for tab in tabs(browser, live_server.url, studio.world.charlie.person):
        tab.open(f"/jobs/{made.lora.job_id}")
        tab.look("job-downloads")
        tab.page.locator("form[action$='/link'] button").click()
        tab.page.locator(".notice.ok code").first.wait_for()
        tab.look("job-link")


def test_a_sample_picture_is_recognised_on_the_public_page(browser, live_server, studio, tmp_path):
    made = pages.delivered(studio)
    lora = made.lora
    key = vault.dataset_key(request=lora.job.request, dataset_id=lora.job.dataset_id)
    data = opened(lora.samples_object, key, context=outputs.samples_context(lora.job_id))
    assert isinstance(data, bytes)
    picture = tmp_path / "sample.png"
    picture.write_bytes(data)
    for tab in tabs(browser, live_server.url):
        tab.open("/verify")
        tab.page.set_input_files("#file", str(picture))
        tab.page.click("main form button")
        word = {"ja": "見本画像そのもの", "en": "a sample picture of the registered LoRA"}
        tab.page.locator(".answer").get_by_text(word[tab.language]).first.wait_for()
        tab.look("verify-picture")


def test_the_catalogue_reads_well_everywhere(browser, live_server, studio):
    """What 55 models allow, one record with its history, and what a narrower licence stopped."""
    seed.catalogue_seed()
    drift.model_revise(record=studio.base, facts=worlds.free(derivative_terms=("state_changes",)))
    studio.approved()
    parts = [(ModelRecord.objects.get(seed_key="flux1-dev-vae"), "vae")]
    drift.model_revise(record=studio.base, facts=worlds.free(note="の部品"), inside=parts)
    for tab in tabs(browser, live_server.url, studio.world.charlie.person):
        for name, path in (
            ("models", "/models/"),
            ("model", f"/models/{studio.base.id}"),
            ("model-drift", f"/models/{studio.base.id}/drift"),
            ("case-paused", f"/requests/{studio.request.id}"),
        ):
            tab.open(path)
            tab.look(name)


def test_held_outputs_read_well_everywhere(browser, live_server, studio):
    """What the samples say, for whoever asked and for the operator who must look."""
    test_probes.registered(studio)
    lora = test_probes.lora_of(studio, (HER, OTHER, STRANGER, HER), (HER,) * 4)
    assert test_probes.probed(lora).held == "lookalike_hold"
    User.objects.create_user("operator", password=PASSWORD, is_staff=True)
    for tab in tabs(browser, live_server.url, studio.world.charlie.person):
        tab.open(f"/jobs/{lora.job_id}")
        tab.look("job-held")
    for tab in tabs(browser, live_server.url, SimpleNamespace(pk="operator")):
        tab.open("/operator/lookalikes")
        tab.look("lookalikes")
