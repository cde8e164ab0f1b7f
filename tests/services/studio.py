"""Charlie's studio: alice's pictures, a surveyed and sealed set, a worker, and its registry.

The engine is a stand-in that sees one face of one person in every picture; everything else is real:
normalising, encryption, curation's decision, the grant, tokens, the worker API.
"""

import dataclasses
import functools
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pyrage
from django.conf import settings
from django.test import Client as HttpClient
from PIL import Image

from registry.core import vault as vault_core
from registry.models import Approval, Grant, TrainingRequest
from registry.services import catalogue, keyring, vault
from registry.services import rights as registry_rights
from tests.world import World, free, sequence
from training.core import folder as folders
from training.core.curation import Profile
from training.engines.base import Face, Scene
from training.models import Dataset, Lora, OutputProbe, Picture, Shoot, TrainingJob, Worker
from training.services import curation, datasets, jobs, probes, rights, sealing, workers
from training.trainer.base.digest import base_digest
from training.trainer.config import Recipe
from training.worker import agent, keys
from training.worker.client import Client

FAKE_TRAINER = Path(__file__).with_name("fake_trainer.py")
STEPS = 12


@functools.cache
def photograph(seed: int, size: int = 256) -> bytes:
    """A PNG that is unlike every other: soft blobs of colour."""
    dice = np.random.default_rng(seed)
    small = dice.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((size, size + 8 * (seed % 5)), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class StandIn:
    """An engine for which every picture shows alice, once, in the middle."""

    id = "stand-in"
    digest = "ee" * 32
    settings: ClassVar[dict[str, Any]] = {}
    profile = Profile()
    scenery = "5c" * 32

    def age(self, rgb: Any, face: Face) -> float:
        return 27.0

    def scene(self, rgb: Any) -> Scene:
        """Nobody and nothing: the colours of the regions say it all."""
        return Scene(np.zeros((16, 16), np.float32), np.ones((1, 2, 2), np.float32))

    def faces(self, rgb: Any, near: Any = None) -> list[Face]:
        height, width = rgb.shape[:2]
        left, top, right, bottom = width * 0.3, height * 0.3, width * 0.7, height * 0.7
        points = np.array(
            [
                [width * 0.4, height * 0.45],
                [width * 0.6, height * 0.45],
                [width * 0.5, height * 0.52],
                [width * 0.43, height * 0.6],
                [width * 0.57, height * 0.6],
            ],
            np.float32,
        )
        vector = np.zeros(128, np.float32)
        vector[0] = 1
        return [Face((left, top, right, bottom), 0.95, vector, points, 0)]


def lora_sealed(job: TrainingJob) -> Any:
    """Seal what a job made and measure what it draws, as the worker's side does after a run."""
    made = sealing.lora_seal(job=job)
    if isinstance(made, Lora):
        probe = probes.outputs_probe(lora=made, engine=StandIn())
        assert isinstance(probe, OutputProbe), probe
    return made


Colour = tuple[int, int, int]
HER: Colour = (250, 0, 0)  # a sample that `Seer` takes for the first person …
OTHER: Colour = (0, 0, 250)  # … for the second …
STRANGER: Colour = (128, 128, 128)  # … for nobody known …
NOBODY: Colour = (0, 250, 0)  # … and for no face at all.


class Seer(StandIn):
    """The same engine; in samples of one colour it sees whom the colour stands for.

    In photographs it sees the person of `place`: 0 is alice, for whom `StandIn` takes everybody.
    """

    def __init__(self, place: int = 0) -> None:
        self.place = place

    def faces(self, rgb: Any, near: Any = None) -> list[Face]:
        red, green, blue = (int(value) for value in rgb[0, 0])
        colour = (red, green, blue)
        plain = bool((rgb == rgb[0, 0]).all())
        if plain and colour == NOBODY:
            return []
        (face,) = super().faces(rgb, near)
        place = {HER: 0, OTHER: 1, STRANGER: 5}.get(colour, self.place) if plain else self.place
        vector = np.zeros(128, np.float32)
        vector[place] = 1
        return [dataclasses.replace(face, embedding=vector)]


def drawn(job: TrainingJob, colours: Sequence[Colour], context: str = "samples") -> bytes:
    """A sealed sheet of samples, each of one colour, as a worker hands it in."""
    side = int(job.request.recipe["resolution"])
    cells = [np.full((side, side, 3), colour, np.uint8) for colour in colours]
    rows = [cells[start : start + 4] for start in range(0, len(cells), 4)]
    sheet = np.zeros((side * len(rows), side * 4, 3), np.uint8)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = cell
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
    assert isinstance(key, bytes), key
    return vault_core.seal(buffer.getvalue(), key, context=f"{context}/{job.pk}").data


class Site(httpx.BaseTransport):
    """Every request goes into the views of this process, in the test's own transaction."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        names = {"dpop", "authorization"}
        answer = HttpClient().generic(
            request.method,
            request.url.raw_path.decode(),
            data=request.content,
            content_type=request.headers["content-type"],
            headers={k: v for k, v in request.headers.items() if k in names},
        )
        return httpx.Response(answer.status_code, content=answer.content)


@dataclass
class Studio:
    """One request on its way, and one worker."""

    world: World
    folder: Path
    steps: int = STEPS
    max_runs: int = 3
    knobs: dict[str, Any] = field(default_factory=dict)
    recipient: Any = field(default_factory=pyrage.x25519.Identity.generate)

    def __post_init__(self) -> None:
        self.base_dir = self.use_base()
        self.base = catalogue.model_record(
            name="tiny", sha256=base_digest(self.base_dir), facts=free()
        )
        self.world.client.delivery_recipient = str(self.recipient.to_public())
        self.world.client.save()
        self.worker = self.new_worker("worker")
        self.request = self.new_request()

    def opened(self, sealed: Any) -> dict[str, bytes]:
        """The delivered folder as its recipient opens it."""
        assert isinstance(sealed, bytes), sealed
        return folders.unpack(pyrage.decrypt(sealed, [self.recipient]))

    def received(self, sealed: Any) -> bytes:
        """The LoRA file in it."""
        files = self.opened(sealed)
        return files[folders.adapter_name(folders.lora_of(files))]

    def use_base(self) -> Path:
        """A folder that counts as a base model: the stand-in trainer never opens it."""
        folder = self.folder / "bases" / "tiny"
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text("{}")
        return folder

    def new_request(self) -> TrainingRequest:
        recipe = Recipe(steps=self.steps, warmup=2, **self.knobs)
        return self.world.request(
            base_model=self.base, recipe=recipe.to_dict(), max_runs=self.max_runs
        )

    def new_worker(self, name: str, *, approve: bool = True) -> Worker:
        home = self.folder / name
        keys.create(home / "keys")
        (home / "trust.json").write_bytes(keyring.trust_root().to_bytes())
        own = keys.load(home / "keys")
        row = workers.worker_enrol(
            name=name, public_raw=own.signer.public_raw, hpke_public=own.hpke_public
        )
        assert isinstance(row, Worker)
        return workers.worker_approve(worker=row) if approve else row

    def filled(self, count: int = 5) -> Dataset:
        """A data set with pictures and references."""
        dataset = datasets.dataset_open(request=self.request)
        for seed in range(count):
            row = datasets.picture_add(dataset=dataset, data=photograph(seed))
            assert not hasattr(row, "code"), row
        for seed in range(90, 93):
            reference = datasets.reference_add(
                dataset=dataset, talent=self.world.talent, data=photograph(seed)
            )
            assert not hasattr(reference, "code"), reference
        self.declare(dataset)
        return dataset

    def declare(self, dataset: Dataset, *pictures: Picture, **changes: Any) -> Any:
        """Charlie declares the rights of these pictures, or of all: own work, own shoot."""
        values: dict[str, Any] = {
            "shoot": self.shoot(),
            "holder": registry_rights.holder_of(person=self.world.charlie.person),
            "basis": "owner",
            "moral_rights": True,
        }
        return rights.rights_declare(
            dataset=dataset,
            pictures=pictures or list(dataset.pictures.all()),
            by=self.world.charlie.person,
            **(values | changes),
        )

    def shoot(self) -> Shoot:
        """Where charlie's pictures come from."""
        row = rights.shoot_record(
            organisation=self.world.studio,
            shot_on=date(2026, 4, 1),
            client="Kadoma Press",
            purpose="a magazine spread",
        )
        assert isinstance(row, Shoot), row
        return row

    def curated(self) -> Dataset:
        """Surveyed, and every craft point taken on by charlie."""
        dataset = self.filled()
        report = curation.dataset_survey(dataset=dataset, engine=StandIn())
        assert not hasattr(report, "code"), report
        for finding in report.findings:
            if finding.kind in ("soft", "review"):
                self.accept(dataset, finding.code)
        return dataset

    def accept(self, dataset: Dataset, code: str) -> Any:
        return curation.advice_accept(
            dataset=dataset, code=code, reason="a test picture", by=self.world.charlie.person
        )

    def sealed(self) -> Grant:
        """A grant that waits for signatures."""
        grant = curation.dataset_seal(dataset=self.curated())
        assert isinstance(grant, Grant), grant
        return grant

    def approved(self) -> Grant:
        """A grant that everybody signed."""
        grant = self.sealed()
        for who, by in self.world.signers():
            given = who.approve(grant, by)
            assert isinstance(given, Approval), given
        grant.refresh_from_db()
        return grant

    def queued(self) -> TrainingJob:
        """A job that waits for a worker."""
        if not Grant.objects.filter(request=self.request, state="active").exists():
            self.approved()
        job = jobs.job_create(request=self.request)
        assert isinstance(job, TrainingJob), job
        sequence()
        return job

    def claimed(self) -> tuple[TrainingJob, str]:
        """A job in the worker's hands, with its token."""
        self.queued()
        claim = jobs.job_claim(worker=self.worker)
        assert isinstance(claim, tuple), claim
        return claim

    def config(self, name: str = "worker", trainer: Path = FAKE_TRAINER) -> agent.Config:
        home = self.folder / name
        return agent.Config(
            registry_url=settings.PUBLIC_URL,
            keys_dir=home / "keys",
            work_dir=home / "jobs",
            trust=home / "trust.json",
            bases=(self.folder / "bases",),
            trainer=(sys.executable, str(trainer)),
        )

    def client(self, name: str = "worker", **changes: Any) -> Client:
        """The worker's client, straight into the registry's views."""
        own = keys.load(self.folder / name / "keys")
        return Client(settings.PUBLIC_URL, own.signer, **({"transport": Site()} | changes))

    def own_keys(self, name: str = "worker") -> keys.Keys:
        return keys.load(self.folder / name / "keys")

    def run(self, on_event: Any = None, **changes: Any) -> Any:
        """One round of the agent."""
        client = changes.pop("client", None) or self.client()
        return agent.run_once(self.config(**changes), client, on_event)

    def job_folders(self) -> list[str]:
        work = self.folder / "worker" / "jobs"
        return sorted(path.name for path in work.iterdir() if path.name != ".lock")
