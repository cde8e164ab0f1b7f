"""Enrols the talent's reference pictures and surveys a set of pictures against them.

Stage 5 (curation). Trusts the engine; the template it makes is biometric data: encrypt it, bind
it to the consent, delete it on withdrawal. Nothing here writes or logs it.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from registry.core.refusals import Refusal
from training.core.curation import Profile, References, Report, judge
from training.core.pictures import Picture
from training.engines.base import Face, FaceEngine, Rgb, Vector, similarity
from training.engines.measure import measure, skin

MIN_REFERENCES = 3
MIN_AGREEMENT = 0.50
Progress = Callable[[int, int], None]


class TemplateMismatchError(ValueError):
    """A template of one engine, or of other settings, was offered to another engine."""


@dataclass(frozen=True, eq=False)
class Template:
    """A person's face as one engine sees it: the unit centroid of the references' embeddings.

    Never to be compared by another engine, another pack or other settings than these.
    """

    centroid: Vector
    engine: str
    digest: str
    settings: dict[str, Any]
    count: int
    skin_light: int
    skin_chroma: int
    pictures: tuple[str, ...]

    def references(self) -> References:
        """What a report may say about the references: everything but the face."""
        return References(
            count=self.count,
            engine=self.engine,
            engine_digest=self.digest,
            settings=self.settings,
            skin_light=self.skin_light,
            skin_chroma=self.skin_chroma,
            pictures=self.pictures,
        )

    def dump(self) -> bytes:
        """Serialise for encryption. Biometric data in the clear: hand it to the vault at once."""
        fields = {**asdict(self), "centroid": b64encode(self.centroid.tobytes()).decode()}
        return json.dumps(fields, sort_keys=True).encode()

    @classmethod
    def load(cls, data: bytes) -> "Template":
        """The inverse of `dump`. Raises ValueError or TypeError for anything else."""
        fields = json.loads(data)
        raw = b64decode(fields.pop("centroid"), validate=True)
        fields["pictures"] = tuple(fields["pictures"])
        return cls(centroid=np.frombuffer(raw, "<f4").astype(np.float32), **fields)


def enrol(pictures: Sequence[Picture], engine: FaceEngine) -> Template | Refusal:
    """Make a template from reference pictures.

    (1) three or more; (2) exactly one face in each; (3) every two agree, 0.50 or more. Returns
    Refusal `no_references` naming the step that failed.
    """
    if len(pictures) < MIN_REFERENCES:  # (1)
        return Refusal("no_references", f"{len(pictures)} pictures, {MIN_REFERENCES} needed")
    seen: list[tuple[Rgb, Face]] = []
    for number, picture in enumerate(pictures, 1):
        rgb = pixels(picture)
        faces = engine.faces(rgb)
        if len(faces) != 1:  # (2)
            return Refusal("no_references", f"reference {number} shows {len(faces)} faces")
        seen.append((rgb, faces[0]))
    vectors = np.stack([face.embedding for _, face in seen])
    if float((vectors @ vectors.T).min()) < MIN_AGREEMENT:  # (3)
        return Refusal("no_references", "the references do not look like one person")
    return _template(seen, engine, [sha256(picture.data).hexdigest() for picture in pictures])


def survey(
    pictures: Sequence[Picture],
    template: Template,
    engine: FaceEngine,
    profile: Profile | None = None,
    progress: Progress | None = None,
) -> Report:
    """Look at every picture and report. Pictures are named `p001` … in the order given.

    `progress(done, total)` is called after each. About a third of a CPU second per picture.
    Raises TemplateMismatchError when the template is not this engine's.
    """
    if (template.engine, template.digest) != (engine.id, engine.digest):
        raise TemplateMismatchError("the template was made by another engine or pack")
    if template.settings != _plain(engine):
        raise TemplateMismatchError("the template was made with other engine settings")
    measured = []
    for number, picture in enumerate(pictures, 1):
        rgb = pixels(picture)
        faces = engine.faces(rgb)
        measured.append(measure(f"p{number:03d}", picture, rgb, faces, template.centroid))
        if progress is not None:
            progress(number, len(pictures))
    return judge(measured, template.references(), profile)


def likeness(template: Template, face: Face) -> float:
    """Cosine of a face to the template, -1..1. For auditors; requesters are shown bands."""
    return similarity(template.centroid, face.embedding)


def pixels(picture: Picture) -> Rgb:
    """The pixels of a normalised picture, H x W x 3 RGB, 8 bit."""
    with Image.open(BytesIO(picture.data), formats=("JPEG",)) as image:
        return np.array(image.convert("RGB"))


def _template(seen: list[tuple[Rgb, Face]], engine: FaceEngine, digests: Sequence[str]) -> Template:
    total = np.sum([face.embedding for _, face in seen], axis=0)
    tones = np.array([skin(rgb, face) for rgb, face in seen])
    light, chroma = np.median(tones, axis=0)
    return Template(
        centroid=(total / np.linalg.norm(total)).astype(np.float32),
        engine=engine.id,
        digest=engine.digest,
        settings=_plain(engine),
        count=len(seen),
        skin_light=round(float(light)),
        skin_chroma=round(float(chroma)),
        pictures=tuple(sorted(digests)),
    )


def _plain(engine: FaceEngine) -> dict[str, Any]:
    """The settings as JSON gives them back: lists for tuples."""
    return dict(json.loads(json.dumps(dict(engine.settings))))
