"""Enrols the talent's reference pictures and surveys a set of pictures against them.

Stage 5 (curation). Trusts the engine; the template it makes is biometric data: encrypt it, bind
it to the consent, delete it on withdrawal. Nothing here writes or logs it.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from io import BytesIO
from typing import Any
from zlib import compress, decompressobj
from zlib import error as zlib_error

import numpy as np
from PIL import Image

from registry.core.refusals import Refusal
from training.core.curation import Measurement, Profile, References, Report, judge
from training.core.curation_alike import linked
from training.core.pictures import Picture
from training.engines.base import (
    NEAR_SIDE,
    Box,
    Face,
    FaceEngine,
    Rgb,
    Vector,
    made_small,
    similarity,
)
from training.engines.marks import SPOTS_SIDE, Spots, known_spots, otherwise_held, spots
from training.engines.measure import Person, measure, print_of, skin

MIN_REFERENCES = 3
MIN_AGREEMENT = 0.50
YOUNG = 20  # years that a face looks: below them a document is asked for
SAME_PERSON = 450  # permille: 0 of 3,636 pairs of different people reach it
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
    # How old her references look, the median in years; 0 where nobody could say.
    age: int
    # Where her references show small dark spots: what is more than this was added.
    spots: Spots

    @property
    def young(self) -> bool:
        """Whether she may be a minor by her looks: cause to ask for a document, and no proof."""
        return 0 < self.age < YOUNG

    def references(self, talent: str = "") -> References:
        """What a report may say about the references: everything but the face."""
        return References(
            talent=talent,
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
        arrays = {"centroid": self.centroid.tobytes(), "spots": compress(self.spots.tobytes())}
        fields = asdict(self) | {name: b64encode(raw).decode() for name, raw in arrays.items()}
        return json.dumps(fields, sort_keys=True).encode()

    @classmethod
    def load(cls, data: bytes) -> "Template":
        """The inverse of `dump`. Raises ValueError or TypeError for anything else."""
        fields = json.loads(data)
        raw = b64decode(fields.pop("centroid"), validate=True)
        fields["pictures"] = tuple(fields["pictures"])
        spots = np.frombuffer(_inflated(b64decode(fields.pop("spots"), validate=True)), np.uint8)
        return cls(
            centroid=np.frombuffer(raw, "<f4").astype(np.float32),
            spots=spots.reshape(SPOTS_SIDE, SPOTS_SIDE),
            **fields,
        )


def _inflated(data: bytes) -> bytes:
    """Decompress a map of spots, and no more than that. Raises ValueError."""
    inflater = decompressobj()
    try:
        raw = inflater.decompress(data, SPOTS_SIDE**2 + 1)
    except zlib_error as error:
        raise ValueError("not a template") from error
    return raw


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
    people: Template | Mapping[str, Template],
    engine: FaceEngine,
    profile: Profile | None = None,
    progress: Progress | None = None,
    bystanders: Mapping[str, Sequence[tuple[str, Box]]] | None = None,
    refused: Sequence[Picture] = (),
) -> Report:
    """Look at every picture and report. Pictures are named `p001` … in the order given.

    `people` is the talent's template, or each talent's by id. `bystanders` are declared people with
    their faces' boxes, by picture name; `refused` are pictures that a party left out.
    `progress(done, total)` is called after each; about a third of a CPU second per picture. Raises
    TemplateMismatchError when a template is not this engine's.
    """
    templates = {"": people} if isinstance(people, Template) else dict(people)
    for template in templates.values():
        _belongs(template, engine)
    rules = profile or engine.profile
    vectors: list[list[Vector]] = []
    known = {who: Person(item.centroid, item.spots) for who, item in templates.items()}
    measured = []
    for number, picture in enumerate(pictures, 1):
        rgb, name = pixels(picture), f"p{number:03d}"
        declared = (bystanders or {}).get(name, ())
        near = made_small(rgb, NEAR_SIDE)
        found = engine.faces(rgb, near)
        vectors.append([face.embedding for face in found])
        measured.append(measure(name, picture, rgb, found, known, engine.scene, declared, near))
        if progress is not None:
            progress(number, len(pictures))
    references = [template.references(talent) for talent, template in sorted(templates.items())]
    measured = _strangers(measured, vectors, known, rules)
    out = [print_of(pixels(item)) for item in refused]
    young = sum(template.young for template in templates.values())
    return judge(measured, references[0], rules, references[1:], out, engine.scenery, young)


def _strangers(
    measured: Sequence[Measurement],
    vectors: Sequence[Sequence[Vector]],
    people: Mapping[str, Person],
    profile: Profile,
) -> list[Measurement]:
    """Number those who are nobody of the talents and come again, over the whole set.

    Faces are clustered by themselves; a cluster is a stranger's when its mean is less like every
    talent than a weak likeness. Single doubtful faces are for a reviewer.
    """
    places = [
        (i, j)
        for i, some in enumerate(vectors)
        for j in range(len(some))
        # What may be no face at all is a reviewer's: one pattern looks like itself everywhere.
        if measured[i].faces[j].score >= profile.sure_face
    ]
    if len(places) < 2:
        return list(measured)
    faces = np.stack([vectors[i][j] for i, j in places]).astype(np.float64)
    numbers: dict[tuple[int, int], int] = {}
    for group in linked(1000 - 1000 * (faces @ faces.T), 1000 - SAME_PERSON):
        mean = faces[group].mean(axis=0)
        unit = mean / max(float(np.linalg.norm(mean)), 1e-9)
        nearest = max(float(unit @ person.centroid) for person in people.values())
        shown = {places[place] for place in group}
        declared = any(measured[i].faces[j].bystander for i, j in shown)
        if nearest * 1000 < profile.weak and not declared and len({i for i, _ in shown}) > 1:
            numbers |= dict.fromkeys(shown, len(set(numbers.values())) + 1)
    return [
        replace(
            item,
            faces=tuple(
                replace(face, stranger=numbers.get((i, j), 0)) for j, face in enumerate(item.faces)
            ),
        )
        for i, item in enumerate(measured)
    ]


def _belongs(template: Template, engine: FaceEngine) -> None:
    if (template.engine, template.digest) != (engine.id, engine.digest):
        raise TemplateMismatchError("the template was made by another engine or pack")
    if template.settings != _plain(engine):
        raise TemplateMismatchError("the template was made with other engine settings")


def distinct(templates: Mapping[str, Template]) -> Refusal | None:
    """Whether the talents of a blend are different people: no two look like one person.

    Two names for one face would make a blend of one, and give somebody a share in nobody. Twins
    cannot be told apart and so cannot be blended either.
    """
    people = sorted(templates)
    for place, one in enumerate(people):
        for other in people[place + 1 :]:
            alike = similarity(templates[one].centroid, templates[other].centroid)
            if alike >= MIN_AGREEMENT:
                return Refusal("no_references", "two talents' references look like one person")
    return None


def likeness(template: Template, face: Face) -> float:
    """Cosine of a face to the template, -1..1. For auditors; requesters are shown bands."""
    return similarity(template.centroid, face.embedding)


def pixels(picture: Picture) -> Rgb:
    """The pixels of a normalised picture, H x W x 3 RGB, 8 bit."""
    with Image.open(BytesIO(picture.data), formats=("JPEG",)) as image:
        # Not copied once more: 36 MB of a photograph of twelve megapixels.
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


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
        age=round(float(np.median([engine.age(rgb, face) for rgb, face in seen]))),
        spots=known_spots([item for rgb, face in seen for item in _all_spots(rgb, face, engine)]),
    )


def _all_spots(rgb: Rgb, face: Face, engine: FaceEngine) -> list[Spots]:
    """A reference's spots, and where they would lie if she held her head a little otherwise."""
    found = [spots(rgb, face)]
    for again in otherwise_held(rgb, face):
        faces = engine.faces(again)
        if faces:
            found.append(spots(again, max(faces, key=lambda item: item.side)))
    return found


def _plain(engine: FaceEngine) -> dict[str, Any]:
    """The settings as JSON gives them back: lists for tuples."""
    return dict(json.loads(json.dumps(dict(engine.settings))))
