"""Sample pictures: marked and signed before anybody sees them, recognised after they got about."""

import io
import json
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import c2pa  # type: ignore[import-untyped]
import numpy as np
import pytest
import skimage.data
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone
from PIL import Image

from audit.models import TraceFound
from audit.services import tracing
from registry.core import certificates
from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log import keyfiles
from registry.services import keyring, vault
from tests.services import test_audit_services as cases
from tests.services.studio import Studio, lora_sealed, photograph
from tests.services.test_audit_services import delivered, finished, logged
from tests.world import World
from training.core import folder
from training.models import Lora, SamplePicture, SampleSheet
from training.services import c2pa_manifests, delivery, imaging, outputs, samples
from training.services.datasets import opened

SIDE = 256


@pytest.fixture
def studio(live: World, tmp_path: Path, settings: Any, monkeypatch: Any) -> Studio:
    settings.STORAGE_DIR = tmp_path / "storage"
    # What a picture takes depends on the id: the same ids every time.
    numbers = iter(np.random.default_rng(7).integers(0, 2**32, 100).tolist())
    monkeypatch.setattr(imaging, "_fresh", lambda: next(numbers))
    return Studio(live, tmp_path, knobs={"resolution": SIDE, "samples": 2})


def portraits() -> np.ndarray:
    """Two of four places of a sheet: parts of a public-domain portrait."""
    whole = skimage.data.astronaut()
    sheet = np.zeros((SIDE, 4 * SIDE, 3), np.uint8)
    sheet[:, :SIDE], sheet[:, SIDE : 2 * SIDE] = whole[:SIDE, 100:356], whole[256:, 200:456]
    return sheet


def png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def made(studio: Studio, monkeypatch: Any, sheet: bytes) -> Lora:
    """A sealed LoRA whose run drew this sheet."""

    def drawn(job: Any, colours: Any, context: str = "samples") -> bytes:
        key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
        assert isinstance(key, bytes)
        return vault_core.seal(sheet, key, context=f"{context}/{job.pk}").data

    monkeypatch.setattr(cases, "drawn", drawn)
    lora = lora_sealed(job=finished(studio))
    assert isinstance(lora, Lora), lora
    return lora


def shown(lora: Lora) -> bytes:
    """The sheet as people see it."""
    key = vault.dataset_key(request=lora.job.request, dataset_id=lora.job.dataset_id)
    assert isinstance(key, bytes)
    data = opened(lora.samples_object, key, context=outputs.samples_context(lora.job_id))
    assert isinstance(data, bytes), data
    return data


def cell(lora: Lora, place: int = 0) -> Image.Image:
    """One picture of it, as somebody cut it out: no manifest any more."""
    sheet = Image.open(io.BytesIO(shown(lora))).convert("RGB")
    return sheet.crop((place * SIDE, 0, (place + 1) * SIDE, SIDE))


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_what_people_see_is_marked_signed_and_on_record(studio, monkeypatch):
    lora = made(studio, monkeypatch, png(portraits()))
    sheet = SampleSheet.objects.get()
    one, two = sheet.pictures.all()
    assert sheet.lora == lora
    assert None not in (one.mark, two.mark)
    assert one.mark != two.mark
    for place, row in enumerate((one, two)):
        rgb = np.asarray(cell(lora, place))
        assert imaging.MARK.read(rgb) == row.mark
        before = portraits()[:, place * SIDE : (place + 1) * SIDE].astype(float)
        psnr = 10 * np.log10(255**2 / np.mean((rgb - before) ** 2))
        assert psnr > 38
    assert c2pa_manifests.lora_in(shown(lora), "PNG") == lora.pk
    (told,) = (row["data"] for row in logged() if row["type"] == "image.made")
    assert told["sheet_sha256"] == sheet.sha256
    assert str(one.mark) not in json.dumps(told)


def test_of_a_few_ids_the_one_that_a_picture_takes_best_is_kept(monkeypatch):
    class Fickle:
        def mark(self, rgb, number):
            return rgb + np.uint8(number)

        def read(self, rgb):
            return {1: 0b1110, 2: 0b11, 3: 3, 4: 4}[int(rgb[0, 0, 0])]

    numbers = iter((1, 2, 3, 4))
    monkeypatch.setattr(imaging, "MARK", Fickle())
    monkeypatch.setattr(imaging, "_fresh", lambda: next(numbers))
    rgb = np.zeros((SIDE, SIDE, 3), np.uint8)
    assert imaging._marked(rgb) == 3
    assert (rgb == 3).all()
    assert next(numbers) == 4


def test_an_id_is_never_given_twice(live, tmp_path, settings, monkeypatch):
    settings.STORAGE_DIR = tmp_path / "storage"
    studio = Studio(live, tmp_path, knobs={"resolution": SIDE, "samples": 2})
    made(studio, monkeypatch, png(portraits()))
    taken = SamplePicture.objects.first().mark
    numbers = iter((taken, taken, 5))
    monkeypatch.setattr("secrets.randbits", lambda bits: next(numbers))
    assert imaging._fresh() == 5


def test_the_manifest_says_what_it_is_and_names_nobody(studio, monkeypatch):
    lora = made(studio, monkeypatch, png(portraits()))
    stored = bytes(SampleSheet.objects.get().manifest)
    assert b"trainedAlgorithmicMedia" in stored
    assert imaging.MARK.name.encode() in stored
    assert f"{SamplePicture.objects.first().mark:08x}".encode() in stored
    for word in ("alice", "bob", "charlie", studio.world.alice.person.display_name):
        assert word.encode() not in stored
    assert len(stored) < 40_000  # no thumbnail: that would be a picture outside the vault
    assert lora.pk.encode() in stored


def test_pictures_too_small_for_a_mark_are_signed_all_the_same(live, tmp_path, settings):
    settings.STORAGE_DIR = tmp_path / "storage"
    studio = Studio(live, tmp_path)
    lora = lora_sealed(job=finished(studio))
    assert {row.mark for row in SamplePicture.objects.all()} == {None}
    assert c2pa_manifests.lora_in(shown(lora), "PNG") == lora.pk


ATTACKS: dict[str, tuple[Callable[[Image.Image], bytes], str]] = {
    "cut out": (saved, "imagemark"),
    "JPEG 90": (lambda image: saved(image, "JPEG", quality=90), "imagemark"),
    "WebP 90": (lambda image: saved(image, "WEBP", quality=90), "imagemark"),
    "90 % of it": (lambda image: saved(image.crop((13, 13, 243, 243))), "imagemark"),
    "brighter": (lambda i: saved(i.point(lambda v: min(255, int(v * 1.2)))), "imagemark"),
    "half and back": (
        lambda image: saved(image.resize((128, 128)).resize((SIDE, SIDE))),
        "imagemark",
    ),
    "half": (lambda image: saved(image.resize((128, 128))), "alike"),
    "JPEG 10": (lambda image: saved(image, "JPEG", quality=10), "alike"),
}


def test_a_picture_that_got_about_leads_back(studio, monkeypatch):
    lora = made(studio, monkeypatch, png(portraits()))
    for name, (attack, how) in ATTACKS.items():
        found = tracing.trace(data=attack(cell(lora)))
        assert isinstance(found, tracing.Trace), name
        assert (found.how, found.lora, found.delivery) == (how, lora, None), name
        assert found.band == "possible", name
    whole = tracing.trace(data=shown(lora))
    assert isinstance(whole, tracing.Trace)
    assert (whole.how, whole.band, whole.lora) == ("manifest", "exact", lora)
    assert TraceFound.objects.filter(how="manifest").count() == 1


def test_a_changed_picture_has_no_manifest_any_more(studio, monkeypatch):
    lora = made(studio, monkeypatch, png(portraits()))
    data = bytearray(shown(lora))
    data[-200] ^= 1  # in the pixels
    assert c2pa_manifests.lora_in(bytes(data), "PNG") is None


def test_other_pictures_are_not_found(studio, monkeypatch):
    made(studio, monkeypatch, png(portraits()))
    turned = Image.fromarray(portraits()[:, :SIDE]).rotate(90)
    others = [saved(turned), *(photograph(seed) for seed in range(20))]
    assert [tracing.trace(data=data) for data in others] == [None] * len(others)


def test_a_strangers_manifest_is_no_answer(studio, monkeypatch, settings, tmp_path):
    """Somebody signs, with a root of their own, that our LoRA drew their picture."""
    lora = made(studio, monkeypatch, png(portraits()))
    ours, theirs = settings.KEYS_DIR, tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    settings.KEYS_DIR = theirs
    keyring.create()
    picture = png(np.asarray(Image.open(io.BytesIO(photograph(77)))))
    forged, _ = c2pa_manifests.picture(lora, picture, [], imaging.MARK.name)
    assert c2pa_manifests.lora_in(forged, "PNG") == lora.pk
    settings.KEYS_DIR = ours
    assert c2pa_manifests.lora_in(forged, "PNG") is None
    assert tracing.trace(data=forged) is None


def test_another_certificate_of_the_same_root_is_a_stranger(
    studio, monkeypatch, settings, tmp_path
):
    """As under a root of the C2PA trust list, where whoever pays gets one."""
    root, own, theirs = (Ed25519PrivateKey.generate() for _ in range(3))
    at = timezone.now()
    anchor = certificates._certificate("a", "C2PA root", root, "C2PA root", root, at)

    def identity(key: Ed25519PrivateKey, name: str) -> bytes:
        cert = certificates._certificate("a", name, key, "C2PA root", root, at)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        parts = (private, cert.public_bytes(Encoding.PEM), anchor.public_bytes(Encoding.PEM))
        return b"".join(parts)

    keys = tmp_path / "keys"
    shutil.copytree(settings.KEYS_DIR, keys)
    settings.KEYS_DIR = keys
    path = keys / keyring.C2PA_IDENTITY
    path.write_bytes(identity(own, "own"))
    lora = made(studio, monkeypatch, png(portraits()))
    assert c2pa_manifests.lora_in(shown(lora), "PNG") == lora.pk
    path.write_bytes(identity(theirs, "theirs"))
    forged, _ = c2pa_manifests.picture(lora, photograph(77), [], imaging.MARK.name)
    path.write_bytes(identity(own, "own"))
    assert c2pa_manifests.lora_in(forged, "PNG") is None


def test_a_picture_that_points_elsewhere_is_not_followed(studio, monkeypatch):
    """A remote manifest would make our server ask any address a stranger likes."""
    made(studio, monkeypatch, png(portraits()))
    asked = []

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with HTTPServer(("127.0.0.1", 0), Trap) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        key, chain = keyring.c2pa_identity()
        created = {"action": "c2pa.created", "digitalSourceType": c2pa_manifests._CREATED}
        actions = {"label": "c2pa.actions.v2", "data": {"actions": [created]}}
        builder = c2pa.Builder({"format": "image/png", "assertions": [actions]})
        builder.set_no_embed()
        builder.set_remote_url(f"http://127.0.0.1:{server.server_port}/m.c2pa")
        signer = c2pa.Signer.from_callback(
            key.sign, c2pa.C2paSigningAlg.ED25519, chain.decode(), None
        )
        out = io.BytesIO()
        builder.sign(signer, "image/png", io.BytesIO(photograph(5)), out)
        assert tracing.trace(data=out.getvalue()) is None
        server.shutdown()
    assert asked == []


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP"],
    ids=["png", "jpg", "webp"],
)
def test_a_broken_picture_is_malformed(studio, data):
    refused = tracing.trace(data=data + b"mallory")
    assert isinstance(refused, Refusal)
    assert refused.code == "malformed"


def test_a_picture_of_too_many_pixels_is_refused(studio):
    refused = tracing.trace(data=saved(Image.new("1", (8_000, 7_000))))
    assert isinstance(refused, Refusal)
    assert "50 megapixels" in refused.detail


def test_a_sheet_that_cannot_be_opened_is_kept_as_it_came(studio, monkeypatch):
    lora = made(studio, monkeypatch, png(portraits()))
    lora.job.result["samples_object"] = "ab" * 32
    assert isinstance(imaging.sheet_mark(lora, "ab" * 32), Refusal)


def test_the_sidecar_of_a_delivery_is_of_that_file(studio):
    row, data = delivered(studio)
    fresh = delivery.link_renew(delivery=row)
    files = studio.opened(delivery.delivery_fetch(link=fresh.link))
    manifest = files[folder.sidecar_name(row.lora_id)]
    assert c2pa_manifests.lora_in(data, "", manifest) == row.lora_id
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    assert c2pa_manifests.lora_in(bytes(changed), "", manifest) is None


def test_without_its_identity_nothing_is_signed(studio, settings, tmp_path):
    keys = tmp_path / "keys"
    shutil.copytree(settings.KEYS_DIR, keys)
    settings.KEYS_DIR = keys
    path = keys / keyring.C2PA_IDENTITY
    path.chmod(0o600)
    whole = path.read_bytes()
    cut = whole.index(b"-----BEGIN CERTIFICATE")
    stranger = tmp_path / "stranger"
    stranger.mkdir(mode=0o700)
    settings.KEYS_DIR = stranger
    keyring.create()
    other = (stranger / keyring.C2PA_IDENTITY).read_bytes()
    settings.KEYS_DIR = keys
    for spoiled in (b"", whole[:cut], whole[:cut] + other[other.index(b"-----BEGIN CERT") :]):
        path.write_bytes(spoiled)
        with pytest.raises(keyfiles.KeyFileError, match=r"c2pa\.pem"):
            keyring.c2pa_identity()


def test_cells_are_the_recipes(studio, monkeypatch):
    lora = made(studio, monkeypatch, png(portraits()))
    sheet = samples.sheet_open(
        lora.job.dataset, lora.samples_object, outputs.samples_context(lora.job_id)
    )
    assert isinstance(sheet, np.ndarray)
    assert [item.shape for item in samples.cells(lora.job.dataset, sheet)] == [(SIDE, SIDE, 3)] * 2
