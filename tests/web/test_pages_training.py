"""The pages of a case and of a job: pictures for the talent's side, live progress, refusals."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone
from PIL import Image

from registry.core.refusals import Refusal
from registry.models import Grant
from registry.selectors import core_grant
from registry.services import keyring
from tests.services.studio import StandIn, Studio, photograph
from tests.web import pages
from tests.web.pages import as_, text
from tests.world import make_world, sequence, state
from training import tasks, views
from training.models import Dataset, Delivery, Download, Picture, TrainingJob
from training.services import curation, faults
from training.services.delivery import _link_hash


@pytest.fixture
def studio(db, settings, tmp_path) -> Studio:
    keyring.create()
    settings.LOG_EXPORT_DIR = None
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(make_world(), tmp_path)


@pytest.fixture
def woken(monkeypatch):
    """How often a worker was woken, without a queue."""
    calls: list[int] = []
    monkeypatch.setattr(tasks, "wake_worker", lambda: calls.append(1))
    return calls


# --- pictures ---------------------------------------------------------------------------------


def thumbnails(client, request, page):
    body = client.get(f"/{page}/{request.pk}").content.decode()
    return re.findall(r'src="(/requests/[^"]+/pictures/[^"]+)"', body)


def test_alice_and_her_agency_see_the_very_pictures_small_and_uncached(studio):
    studio.sealed()
    for who, page in ((studio.world.alice, "my/requests"), (studio.world.bob, "agency/requests")):
        client = as_(who)
        paths = thumbnails(client, studio.request, page)
        assert len(paths) == Picture.objects.count() > 4
        answer = client.get(paths[0])
        assert (answer["Content-Type"], answer["Cache-Control"]) == ("image/jpeg", "no-store")
        with Image.open(io.BytesIO(answer.content)) as image:
            assert max(image.size) <= 320
            assert not image.getexif()


def test_alice_sees_which_pictures_were_taken_for_her_and_charlie_does_not(studio):
    studio.sealed()
    alice = as_(studio.world.alice)
    page = alice.get(f"/my/requests/{studio.request.pk}").content.decode()
    shown = re.findall(r'src="(/requests/[^"]+/references/[^"]+)"', page)
    assert len(shown) == 3
    assert alice.get(shown[0])["Cache-Control"] == "no-store"
    assert as_(studio.world.charlie).get(shown[0]).status_code == 404


def test_nobody_else_sees_a_picture(studio):
    studio.sealed()
    picture = Picture.objects.all()[0]
    path = f"/requests/{studio.request.pk}/pictures/{picture.pk}"
    for who in (studio.world.charlie, studio.world.mallory):
        assert as_(who).get(path).status_code == 404
    assert thumbnails(as_(studio.world.charlie), studio.request, "requests") == []


def test_a_picture_is_found_under_its_own_request_only(studio):
    studio.sealed()
    other = studio.new_request()
    path = f"/requests/{other.pk}/pictures/{Picture.objects.all()[0].pk}"
    assert as_(studio.world.alice).get(path).status_code == 404


def test_after_a_withdrawal_no_picture_opens_and_the_page_says_so(studio):
    grant = studio.approved()
    alice = as_(studio.world.alice)
    path = thumbnails(alice, studio.request, "my/requests")[0]
    alice.post(f"/my/grants/{grant.pk}/withdraw")
    assert alice.get(path).status_code == 404
    page = alice.get(f"/my/requests/{studio.request.pk}")
    assert "Nobody can open them again" in text(page)
    assert thumbnails(alice, studio.request, "my/requests") == []


# --- a case -----------------------------------------------------------------------------------


def test_alice_reads_what_is_allowed_what_is_barred_and_the_signed_text(studio):
    grant = studio.sealed()
    page = text(as_(studio.world.alice).get(f"/my/requests/{studio.request.pk}"))
    for words in ("e-photobook", "Passing it on to other companies", "Japan", "0 yen"):
        assert words in page
    assert "The face lacks fine detail" in page
    assert "a test picture" in page
    # The text that is signed stands on the page, line by line.
    for line in core_grant(grant).text("en").splitlines():
        assert line in page


def test_the_text_is_the_one_of_the_readers_language(studio):
    grant = studio.sealed()
    page = text(as_(studio.world.alice, "ja").get(f"/my/requests/{studio.request.pk}"))
    for line in core_grant(grant).text("ja").splitlines():
        assert line in page


def test_changed_content_is_announced_and_the_old_answers_are_gone(studio):
    grant = studio.sealed()
    studio.world.alice.approve(grant, "talent")
    studio.world.seal(studio.request)
    for who, page, found in (
        (studio.world.alice, "my/requests", "Sent"),
        (studio.world.bob, "agency/requests", "Opened"),  # alice has looked
    ):
        shown = text(as_(who).get(f"/{page}/{studio.request.pk}"))
        assert "Earlier answers no longer count" in shown
        assert f"Talent alice {found}" in shown


def test_one_advice_about_many_pictures_is_one_line(studio):
    studio.sealed()
    page = text(as_(studio.world.charlie).get(f"/requests/{studio.request.pk}"))
    assert page.count("The face lacks fine detail") == 1
    assert "Pictures: 1, 2" in page


def test_a_point_that_a_person_must_look_at_stays_single():
    rows = [
        {"code": "unlike_face", "kind": "review", "pictures": ["p001"]},
        {"code": "unlike_face", "kind": "review", "pictures": ["p002"]},
    ]
    first, second = views._together(rows)
    taken = [{"code": "unlike_face", "picture": "p002", "reason": "it is her"}]
    assert views._reasons(first, taken) == []
    assert views._reasons(second, taken) == ["it is her"]


# --- the photographer's steps ---------------------------------------------------------------------


def files(*seeds):
    return [SimpleUploadedFile(f"{seed}.png", photograph(seed)) for seed in seeds]


def test_charlie_sends_pictures_and_every_refused_file_is_named(studio):
    charlie, path = as_(studio.world.charlie), f"/requests/{studio.request.pk}"
    broken = SimpleUploadedFile("holiday.gif", b"GIF89a nothing")
    page = charlie.post(f"{path}/upload", {"files": [*files(1, 2), broken]}, follow=True)
    assert "Pictures taken in: 2" in text(page)
    assert "holiday.gif: Pictures of this format are not taken" in text(page)
    charlie.post(f"{path}/upload", {"files": files(90, 91, 92), "kind": "references"})
    dataset = Dataset.objects.get(request=studio.request)
    assert (dataset.pictures.count(), dataset.references.count()) == (2, 3)


def test_a_set_with_open_points_is_not_sealed_and_the_page_says_what_is_missing(studio):
    studio.filled()
    charlie, path = as_(studio.world.charlie), f"/requests/{studio.request.pk}"
    page = charlie.post(f"{path}/seal", follow=True)
    assert "cannot be done in the present state" in text(page)
    assert not Grant.objects.filter(request=studio.request).exists()


def test_a_point_is_taken_on_with_a_reason_and_the_set_sealed(studio):
    dataset = studio.filled()
    report = curation.dataset_survey(dataset=dataset, engine=StandIn())
    assert not isinstance(report, Refusal)
    charlie, path = as_(studio.world.charlie), f"/requests/{studio.request.pk}"
    for code in {f.code for f in report.findings if f.kind in ("soft", "review")}:
        charlie.post(f"{path}/accept", {"code": code, "reason": "the light of that day"})
    page = charlie.post(f"{path}/seal", follow=True)
    assert "everybody has been asked" in text(page)
    assert "the light of that day" in text(as_(studio.world.bob).get(f"/agency{path}"))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_report_is_a_file_with_pictures_for_her_side_only(studio, language):
    studio.sealed()
    dataset = Dataset.objects.get(request=studio.request)
    path = f"/requests/{studio.request.pk}/curation"
    title = "写真の選別報告" if language == "ja" else "Curation report"
    shown = {}
    for who in ("alice", "bob", "charlie"):
        client = as_(getattr(studio.world, who), language)
        html, paper = client.get(f"{path}.html"), client.get(f"{path}.pdf")
        assert html["Cache-Control"] == paper["Cache-Control"] == "no-store"
        assert "attachment" in html["Content-Disposition"]
        assert title in html.content.decode()
        assert dataset.curation_digest in html.content.decode()
        assert paper.content.startswith(b"%PDF")
        shown[who] = html.content.decode().count("data:image/jpeg")
    count = dataset.pictures.count()
    assert shown == {"alice": count, "bob": count, "charlie": 0}
    assert as_(studio.world.mallory).get(f"{path}.pdf").status_code == 404
    assert as_(studio.world.alice).get(f"{path}.exe").status_code == 404


def test_before_the_survey_there_is_no_report(studio):
    studio.filled()
    path = f"/requests/{studio.request.pk}"
    assert as_(studio.world.charlie).get(f"{path}/curation.pdf").status_code == 404
    assert "curation.pdf" not in text(as_(studio.world.charlie).get(path))


@pytest.mark.parametrize("step", ["upload", "survey", "accept", "seal", "jobs"])
def test_only_those_who_ask_take_these_steps(studio, step):
    studio.filled()
    for who in (studio.world.alice, studio.world.bob, studio.world.mallory):
        assert as_(who).post(f"/requests/{studio.request.pk}/{step}").status_code == 404


def test_a_missing_engine_is_told_with_what_to_do(studio, settings, tmp_path):
    settings.ENGINE_DIR = tmp_path / "nothing"
    studio.filled()
    page = as_(studio.world.charlie).post(f"/requests/{studio.request.pk}/survey", follow=True)
    assert "face engine is not installed" in text(page)


# --- jobs -------------------------------------------------------------------------------------


def test_a_training_without_every_approval_is_refused_with_who_is_missing(studio, woken):
    grant = studio.sealed()
    studio.world.bob.approve(grant, "agency_officer")
    page = as_(studio.world.charlie).post(f"/requests/{studio.request.pk}/jobs", follow=True)
    assert "The approval of the talent is missing" in text(page)
    assert not TrainingJob.objects.exists()
    assert woken == []


def test_a_cleared_request_starts_a_job_and_wakes_a_machine(studio, woken):
    studio.approved()
    charlie = as_(studio.world.charlie)
    assert "Start the training" in text(charlie.get(f"/requests/{studio.request.pk}"))
    answer = charlie.post(f"/requests/{studio.request.pk}/jobs")
    job = TrainingJob.objects.get()
    assert answer["Location"] == f"/jobs/{job.pk}"
    assert woken == [1]


def test_a_job_page_asks_for_itself_until_the_job_has_ended(studio):
    job = pages.running(studio)
    charlie = as_(studio.world.charlie)
    live = charlie.get(f"/jobs/{job.pk}/live").content.decode()
    assert 'hx-trigger="every 2s"' in live
    assert "<polyline" in live
    assert re.search(r"about \d+ (seconds|minutes) left", text(charlie.get(f"/jobs/{job.pk}")))
    with transaction.atomic():
        report = {"step": 5, "wiped": {"files": 7, "bytes": 9, "left": 0}}
        faults.job_end(
            job,
            faults.State.STOPPED,
            Refusal("withdrawn"),
            at=timezone.now(),
            out_of=faults.HELD,
            report=report,
        )
    ended = charlie.get(f"/jobs/{job.pk}/live")
    assert "hx-get" not in ended.content.decode()
    shown = text(ended)
    assert "Consent was withdrawn: nothing more is done" in shown
    assert "files wiped: 7, files left: 0" in shown


def test_a_stop_without_a_report_is_never_called_confirmed(studio):
    job = pages.running(studio)
    with transaction.atomic():
        faults.job_end(
            job,
            faults.State.STOPPED,
            Refusal("withdrawn", "no report"),
            at=timezone.now(),
            out_of=faults.HELD,
        )
    shown = text(as_(studio.world.charlie).get(f"/jobs/{job.pk}/live"))
    assert "Stop confirmed" not in shown
    assert "has not said that it wiped its work" in shown


def test_mallory_sees_no_job(studio):
    job = pages.running(studio)
    for path in (f"/jobs/{job.pk}", f"/jobs/{job.pk}/live"):
        assert as_(studio.world.mallory).get(path).status_code == 404


def test_the_link_of_a_copy_is_shown_once(studio):
    lora = pages.finished(studio)
    charlie, path = as_(studio.world.charlie), f"/jobs/{lora.job_id}"
    page = charlie.post(f"{path}/deliveries")
    link = re.search(r"<code>http://[^<]+/d/([\w-]+)</code>", page.content.decode())
    made = Delivery.objects.get()
    assert link is not None
    assert made.link_token_hash == _link_hash(link[1])
    assert "no-store" in page["Cache-Control"]
    again = charlie.get(path)
    assert link[1] not in again.content.decode()
    assert f"/api/v1/deliveries/{made.pk}/evidence" in again.content.decode()
    Delivery.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert "Link ended" in text(charlie.get(path))
    renewed = charlie.post(f"{path}/deliveries/{made.pk}/link").content.decode()
    fresh = re.search(r"/d/([\w-]+)</code>", renewed)
    assert fresh is not None
    sequence()
    assert made.pk in charlie.get(f"/d/{fresh[1]}").content.decode()
    assert not Download.objects.exists()  # looking is no receiving: mail scanners look
    answer = charlie.post(f"/d/{fresh[1]}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="{made.pk}.zip"'
    assert charlie.get(f"/d/{link[1]}").status_code == 410
    again = charlie.post(f"/d/{fresh[1]}", HTTP_ACCEPT="text/html")
    assert again.status_code == 410
    assert "This delivery link has been used." in text(again)
    assert charlie.post(f"/d/{fresh[1]}").json()["code"] == "link_used"
    assert "(link 2)" in text(charlie.get(path))


def test_only_those_who_ask_make_copies(studio):
    lora = pages.finished(studio)
    for who in (studio.world.alice, studio.world.bob, studio.world.mallory):
        assert as_(who).post(f"/jobs/{lora.job_id}/deliveries").status_code == 404
    assert not Delivery.objects.exists()


def test_after_a_withdrawal_a_job_page_offers_no_copy(studio):
    made = pages.delivered(studio)
    grant = made.lora.job.grant
    as_(studio.world.alice).post(f"/my/grants/{grant.pk}/withdraw")
    assert state(grant) == "withdrawn"
    page = text(as_(studio.world.charlie).get(f"/jobs/{made.lora.job_id}"))
    assert "Link ended" in page
    assert "New link" not in page
    assert "Make the licensee's copy" not in page
    assert "Evidence pack" in page  # the proof stays


def test_a_curve_stays_inside_its_frame_and_names_both_ends():
    shown = views.plot([[1, 2.0], [5, 0.5], [9, 1.25]])
    assert shown is not None
    points = [tuple(map(float, pair.split(","))) for pair in shown["line"].split()]
    assert all(views.LEFT <= x <= views.WIDTH for x, _ in points)
    assert all(views.TOP <= y <= views.BOTTOM for _, y in points)
    assert (shown["first"], shown["last"], shown["step"]) == ("2.000", "1.250", 9)
    alone = views.plot([[1, 0.5]])
    assert alone is not None
    assert alone["line"].startswith(f"{views.WIDTH - 8}.0,")
    assert views.plot([]) is None
