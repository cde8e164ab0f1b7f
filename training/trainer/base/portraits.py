"""Procedural portraits: drawn people who do not exist, for the tiny base and for tests.

Stage: before everything; nothing here is trusted and nothing here depicts anybody. A `Person` is
a handful of numbers, a `Scene` is how that person is shown once (place, light, background), and
`draw` turns both into a picture. All randomness comes from the generator that the caller passes.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

CANVAS = 128  # drawn at this size, then reduced: cheap anti-aliasing

SKINS: dict[str, Colour] = {
    "pale": (244, 214, 196),
    "light": (229, 184, 150),
    "tan": (196, 144, 104),
    "brown": (146, 97, 66),
    "dark": (92, 60, 44),
}
HAIRS: dict[str, Colour] = {
    "black": (28, 26, 30),
    "brown": (92, 58, 36),
    "blond": (222, 188, 112),
    "red": (172, 62, 34),
    "grey": (168, 168, 172),
}
STYLES = ("short", "long", "bun", "bob", "curly", "shaved")
SHIRTS: dict[str, Colour] = {
    "white": (236, 236, 232),
    "black": (36, 36, 40),
    "red": (190, 44, 46),
    "blue": (44, 84, 178),
    "green": (52, 130, 72),
    "yellow": (226, 192, 60),
    "orange": (224, 122, 44),
}
BACKDROPS: dict[str, Colour] = {
    "white": (232, 232, 230),
    "grey": (140, 142, 146),
    "blue": (96, 140, 196),
    "green": (104, 152, 104),
    "brown": (150, 116, 84),
    "black": (40, 40, 46),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Everything that stays the same from picture to picture. Lengths in canvas pixels."""

    skin: str
    hair: str
    style: str
    shirt: str
    glasses: bool
    beard: bool
    face_w: float
    face_h: float
    eye_gap: float
    nose: float
    mouth: float
    brow: float

    def caption(self) -> str:
        """The words that the base was trained with for this person."""
        hair = "a shaved head" if self.style == "shaved" else f"{self.style} {self.hair} hair"
        parts = [f"a person with {hair}", f"{self.skin} skin"]
        parts += ["glasses"] * self.glasses + ["a beard"] * self.beard
        return ", ".join([*parts, f"a {self.shirt} shirt"])


@dataclass(frozen=True, slots=True)
class Scene:
    """What changes from picture to picture."""

    backdrop: str
    shade: float
    light: float
    dx: float
    dy: float
    scale: float
    tilt: float
    smile: float


def any_person(rng: np.random.Generator) -> Person:
    """Draw a person at random."""
    style = _pick(rng, STYLES)
    return Person(
        skin=_pick(rng, tuple(SKINS)),
        hair=_pick(rng, tuple(HAIRS)),
        style=style,
        shirt=_pick(rng, tuple(SHIRTS)),
        glasses=bool(rng.random() < 0.3),
        beard=bool(rng.random() < 0.2 and style in ("short", "shaved", "curly")),
        face_w=float(rng.uniform(25, 32)),
        face_h=float(rng.uniform(33, 41)),
        eye_gap=float(rng.uniform(11, 15)),
        nose=float(rng.uniform(7, 12)),
        mouth=float(rng.uniform(8, 13)),
        brow=float(rng.uniform(1.5, 3.5)),
    )


def any_scene(rng: np.random.Generator) -> Scene:
    """Draw a way of showing somebody at random."""
    return Scene(
        backdrop=_pick(rng, tuple(BACKDROPS)),
        shade=float(rng.uniform(-0.3, 0.3)),
        light=float(rng.uniform(0.85, 1.12)),
        dx=float(rng.uniform(-7, 7)),
        dy=float(rng.uniform(-5, 5)),
        scale=float(rng.uniform(0.88, 1.12)),
        tilt=float(rng.uniform(-7, 7)),
        smile=float(rng.uniform(0.0, 1.0)),
    )


def draw(person: Person, scene: Scene, size: int = 32) -> Image.Image:
    """Draw `person` in `scene` as an RGB picture of `size` x `size` pixels."""
    figure = Image.new("RGBA", (CANVAS, CANVAS + 48), (0, 0, 0, 0))
    pen = ImageDraw.Draw(figure)
    _hair_behind(pen, person)
    _shoulders(pen, person)
    _face(pen, person)
    _features(pen, person, scene)
    _hair_before(pen, person)
    figure = _placed(figure, scene)
    picture = _backdrop(scene)
    picture.paste(figure, (0, 0), figure)
    lit = np.clip(np.asarray(picture, np.float32) * scene.light, 0, 255).astype(np.uint8)
    return (
        Image.fromarray(lit)
        .filter(ImageFilter.GaussianBlur(0.6))
        .resize((size, size), Image.Resampling.BOX)
    )


def caption(person: Person, scene: Scene) -> str:
    """The full training caption of one picture."""
    return f"a photo of {person.caption()}, {scene.backdrop} background"


def vocabulary() -> list[str]:
    """Every word that a caption can hold, with punctuation, sorted."""
    words = {"a", "photo", "of", "person", "with", "hair", "skin", "glasses", "beard", "shirt"}
    words |= {"shaved", "head", "background", ",", "man", "woman", "portrait", "sks"}
    return sorted(words | set(SKINS) | set(HAIRS) | set(STYLES) | set(SHIRTS) | set(BACKDROPS))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _toned(colour: Colour, factor: float) -> Colour:
    red, green, blue = (max(0, min(255, int(c * factor))) for c in colour)
    return red, green, blue


def _box(cx: float, cy: float, rx: float, ry: float) -> tuple[float, float, float, float]:
    return cx - rx, cy - ry, cx + rx, cy + ry


FACE_X, FACE_Y = 64.0, 62.0  # centre of an unmoved face on the canvas


def _hair_behind(pen: ImageDraw.ImageDraw, p: Person) -> None:
    """What of the hair lies behind the head."""
    colour, w, h = HAIRS[p.hair], p.face_w, p.face_h
    if p.style == "long":
        pen.rounded_rectangle((64 - w - 8, 40, 64 + w + 8, 116), 16, fill=colour)
    if p.style == "bob":
        pen.rounded_rectangle((64 - w - 8, 38, 64 + w + 8, 62 + h * 0.7), 14, fill=colour)
    if p.style == "bun":
        pen.ellipse(_box(64, 62 - h - 9, 13, 12), fill=colour)
    if p.style == "curly":
        for angle in np.linspace(0.8 * np.pi, 2.2 * np.pi, 11):
            x, y = 64 + (w + 3) * np.cos(angle), 56 + (h - 2) * np.sin(angle)
            pen.ellipse(_box(float(x), float(y), 11, 11), fill=colour)
    if p.style != "shaved":
        pen.ellipse(_box(64, 56, w + 5, h), fill=colour)


def _shoulders(pen: ImageDraw.ImageDraw, p: Person) -> None:
    pen.rounded_rectangle((18, 106, 110, 200), 24, fill=SHIRTS[p.shirt])
    neck = _toned(SKINS[p.skin], 0.85)
    pen.rectangle((53, 86, 75, 108), fill=neck)
    pen.ellipse(_box(64, 107, 12, 6), fill=neck)


def _face(pen: ImageDraw.ImageDraw, p: Person) -> None:
    skin = SKINS[p.skin]
    for side in (-1, 1):
        pen.ellipse(_box(64 + side * p.face_w, 64, 4, 7), fill=_toned(skin, 0.88))
    pen.ellipse(_box(FACE_X, FACE_Y, p.face_w, p.face_h), fill=skin)
    if p.beard:
        low = _box(FACE_X, FACE_Y, p.face_w, p.face_h)
        pen.chord(low, 15, 165, fill=HAIRS[p.hair])


def _features(pen: ImageDraw.ImageDraw, p: Person, s: Scene) -> None:
    """Eyes, brows, nose, mouth, glasses."""
    skin, hair = SKINS[p.skin], HAIRS[p.hair]
    for side in (-1, 1):
        x = 64 + side * p.eye_gap
        pen.ellipse(_box(x, 60, 5.5, 3.6), fill=(246, 246, 244))
        pen.ellipse(_box(x, 60, 3.0, 3.2), fill=(38, 30, 28))
        pen.line((x - 6, 52, x + 6, 52), fill=_toned(hair, 0.7), width=round(p.brow))
        if p.glasses:
            pen.ellipse(_box(x, 60, 10, 9), outline=(24, 24, 28), width=3)
    if p.glasses:
        pen.line((64 - p.eye_gap + 10, 60, 64 + p.eye_gap - 10, 60), fill=(24, 24, 28), width=3)
    pen.line((64, 62, 62, 62 + p.nose), fill=_toned(skin, 0.72), width=3)
    pen.line((62, 62 + p.nose, 67, 62 + p.nose), fill=_toned(skin, 0.72), width=3)
    lips = (int(skin[0] * 0.78), int(skin[1] * 0.52), int(skin[2] * 0.52))
    pen.ellipse(_box(64, 82, p.mouth, 2 + 2.5 * s.smile), fill=lips)


def _hair_before(pen: ImageDraw.ImageDraw, p: Person) -> None:
    """The hair line over the forehead."""
    if p.style == "shaved":
        return
    top = _box(FACE_X, FACE_Y - 3, p.face_w + 3, p.face_h + 1)
    start, end = {"bob": (190, 350), "long": (205, 335), "bun": (212, 328)}.get(p.style, (200, 340))
    pen.chord(top, start, end, fill=HAIRS[p.hair])


def _placed(figure: Image.Image, s: Scene) -> Image.Image:
    """Tilt, scale and move the figure by an inverse affine map about the canvas centre."""
    angle, inverse = np.deg2rad(s.tilt), 1.0 / s.scale
    cos, sin = float(np.cos(angle)) * inverse, float(np.sin(angle)) * inverse
    cx, cy = 64.0 + s.dx, 70.0 + s.dy
    matrix = (cos, sin, 64 - cos * cx - sin * cy, -sin, cos, 70 + sin * cx - cos * cy)
    return figure.transform(
        (CANVAS, CANVAS), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )


def _backdrop(s: Scene) -> Image.Image:
    """A plain colour with a soft vertical gradient."""
    ramp = 1.0 + s.shade * np.linspace(-1, 1, CANVAS, dtype=np.float32)[:, None, None]
    plain = np.asarray(BACKDROPS[s.backdrop], np.float32)[None, None, :] * ramp
    wide = np.broadcast_to(plain, (CANVAS, CANVAS, 3))
    return Image.fromarray(np.clip(wide, 0, 255).astype(np.uint8))
