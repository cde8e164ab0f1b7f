"""Sets of pictures with faults in them, made when they are needed from pictures of packages.

A person is cut out of a photograph by the scenery pack's own mask, dressed in a pattern of colour
(the folds stay), and set into a place at another size, in other light. Two halves share neither
people nor places nor patterns: thresholds are chosen on one and reported on the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from tests.bench import people
from training.core.pictures import Picture, normalise
from training.engines.base import Face, Rgb
from training.engines.insightface import InsightFaceEngine

WIDTH, HEIGHT = 900, 1200
HALVES: Final = {
    "choose": {
        "talents": ("obama", "person b"),
        "others": ("group 1", "group 4"),
        "places": (
            "coffee.png",
            "rocket.jpg",
            "brick.png",
            "chelsea.png",
            "cell.png",
            "coins.png",
        ),
        "seed": 1,
    },
    "report": {
        "talents": ("biden", "person a", "impostor 2"),
        "others": ("group 0", "group 3"),
        "places": (
            *("hubble_deep_field.jpg", "grass.png", "gravel.png", "ihc.png"),
            *("motorcycle_left.png", "retina.jpg"),
        ),
        "seed": 2,
    },
}
SET = 12
_LARGE = 300  # pixels: a photograph with less than this is no source of cut-outs
Dice = np.random.Generator


@dataclass(frozen=True, eq=False)
class Cut:
    """A person cut out: pixels, mask 0..1, and the face's box and points in them."""

    who: str
    rgb: Rgb
    mask: Any
    face: Face


@dataclass(frozen=True)
class Shot:
    """How one picture is made; everything else follows from these numbers."""

    place: int
    outfit: int
    cut: int
    seed: int


class Half:
    """One half: its people, its places, its patterns."""

    def __init__(self, name: str, engine: InsightFaceEngine) -> None:
        given = HALVES[name]
        self.seed = int(given["seed"])  # type: ignore[call-overload]
        pictures = people.people()
        crowd = people.group()
        self.cuts = {who: _cuts(who, pictures[who], engine) for who in given["talents"]}  # type: ignore[attr-defined]
        self.others: list[Cut] = []
        for who in given["others"]:  # type: ignore[attr-defined]
            if who.startswith("group"):
                self.others.append(_of_the_group(crowd, int(who[-1]), engine))
            else:
                self.others += _cuts(who, pictures[who], engine)
        files = [people.installed("skimage", f"data/{name}") for name in given["places"]]  # type: ignore[attr-defined]
        self.places = [people.decoded(file.read_bytes()) for file in files]

    def strangers(self, talent: str) -> list[Cut]:
        """Everybody of this half but one."""
        rest = [cut for who, cuts in self.cuts.items() if who != talent for cut in cuts]
        return [*rest, *self.others]

    def shots(self, talent: str) -> list[Shot]:
        """A set without a fault: every picture in another place and other clothes."""
        first = 1000 * sorted(self.cuts).index(talent)
        return [Shot(n, first + n, n, first + n) for n in range(SET)]

    def picture(self, talent: str, shot: Shot) -> Rgb:
        """One picture of the talent."""
        dice = np.random.default_rng((self.seed, shot.seed))
        cuts = self.cuts[talent]
        cut = dressed(cuts[shot.cut % len(cuts)], (self.seed, shot.outfit))
        canvas = self.place(shot.place, dice)
        return lit(set_into(canvas, cut, dice), dice)

    def place(self, number: int, dice: Dice) -> Rgb:
        """A place from somewhere else each time: cropped, mirrored, lighter, softer."""
        count = len(self.places)
        if number < count:
            whole = self.places[number]
            if np.ptp(whole.reshape(-1, 3).astype(int), axis=1).max() < 8:  # grey: in a tint
                tint = np.random.default_rng((self.seed, 77, number)).uniform(0.55, 1.3, 3)
                whole = np.asarray((whole * tint).clip(0, 255).astype(np.uint8))
        else:
            whole = room(np.random.default_rng((self.seed, 99, number)))
        share = dice.uniform(0.72, 1.0)
        high = int(min(whole.shape[0], whole.shape[1] * HEIGHT / WIDTH) * share)
        wide = int(high * WIDTH / HEIGHT)
        top = int(dice.integers(0, whole.shape[0] - high + 1))
        left = int(dice.integers(0, whole.shape[1] - wide + 1))
        part = whole[top : top + high, left : left + wide]
        part = np.asarray(cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
        if dice.random() < 0.3:
            part = part[:, ::-1]
        soft = cv2.GaussianBlur(part, (0, 0), dice.uniform(0.6, 3.0))
        return np.asarray((soft * dice.uniform(0.85, 1.1)).clip(0, 255).astype(np.uint8))


# --- making ---------------------------------------------------------------------------------------


def room(dice: Dice) -> Rgb:
    """An invented place: wall and floor, a window or furniture in flat colours, soft shadows."""
    canvas = np.zeros((1400, 1400, 3), np.float32)
    wall, floor = dice.uniform(50, 235, 3), dice.uniform(40, 210, 3)
    line = int(dice.uniform(700, 1100))
    canvas[:line], canvas[line:] = wall, floor
    for _ in range(int(dice.integers(4, 10))):
        x, y = dice.integers(0, 1300, 2)
        wide, high = dice.integers(60, 500, 2)
        colour = dice.uniform(20, 245, 3)
        if dice.random() < 0.5:
            canvas[y : y + high, x : x + wide] = colour
        else:
            centre = (int(x), int(y))
            cv2.circle(canvas, centre, int(wide // 2), tuple(map(float, colour)), -1)
    if dice.random() < 0.5:  # a repeated pattern on the wall
        step = int(dice.integers(30, 120))
        canvas[:line:step] += dice.uniform(-60, 60)
        if dice.random() < 0.5:
            canvas[:line, ::step] += dice.uniform(-60, 60)
    shade = np.linspace(dice.uniform(0.7, 1), dice.uniform(0.7, 1), 1400)[None, :, None]
    grain = dice.normal(0, 2, canvas.shape)
    return np.asarray((canvas * shade + grain).clip(0, 255).astype(np.uint8))


def dressed(cut: Cut, seed: tuple[int, int]) -> Cut:
    """The same person in other clothes: everything under the chin in a pattern, with its folds."""
    dice = np.random.default_rng((*seed, 5))
    _, top, _, bottom = cut.face.box
    high = bottom - top
    rows = np.arange(cut.rgb.shape[0])[:, None]
    below = (rows > bottom + 0.22 * high).astype(np.float32)
    below = cv2.GaussianBlur(np.repeat(below, cut.rgb.shape[1], axis=1), (0, 0), 3)
    folds = cv2.cvtColor(cut.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = folds[(below > 0.5) & (cut.mask > 0.5)]
    middle = float(np.median(inside)) if inside.size else 128.0
    relief = 1 + 0.8 * (folds - middle) / 255
    cloth = pattern(cut.rgb.shape[:2], dice) * relief[..., None]
    weight = (below * cut.mask)[..., None]
    made = cut.rgb * (1 - weight) + cloth * weight
    return replace(cut, rgb=np.asarray(made.clip(0, 255).astype(np.uint8)))


def pattern(size: tuple[int, ...], dice: Dice) -> Any:
    """Plain, striped, checked or dotted cloth in two colours."""
    one, other = dice.uniform(15, 240, 3), dice.uniform(15, 240, 3)
    down, across = np.mgrid[0 : size[0], 0 : size[1]]
    step = int(dice.integers(14, 70))
    kind = int(dice.integers(0, 5))
    chosen = {
        0: np.zeros(size[:2], bool),
        1: (down // step) % 2 == 0,
        2: (across // step) % 2 == 0,
        3: ((down // step) + (across // step)) % 2 == 0,
        4: ((down % step) - step / 2) ** 2 + ((across % step) - step / 2) ** 2 < (step / 3) ** 2,
    }[kind]
    return np.where(chosen[..., None], one, other).astype(np.float32)


def set_into(canvas: Rgb, cut: Cut, dice: Dice, *, face: float = 0.0, at: float = -1.0) -> Rgb:
    """A person into a picture, standing on its lower edge. `face`: the wanted width of the face."""
    own = cut.face.side
    wanted = face or min(own * dice.uniform(0.82, 1.0), 300)
    scale = min(wanted / own, 1.0) if not face else wanted / own
    size = (max(int(cut.rgb.shape[1] * scale), 2), max(int(cut.rgb.shape[0] * scale), 2))
    rgb = cv2.resize(cut.rgb, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(cut.mask, size, interpolation=cv2.INTER_AREA)
    height, width = canvas.shape[:2]
    middle = (cut.face.box[0] + cut.face.box[2]) / 2 * scale
    place = at if at >= 0 else dice.uniform(0.36, 0.64)
    left = round(place * width - middle)
    top = max(height - size[1], round(0.04 * height))
    return pasted(canvas, rgb, mask, left, top)


def pasted(canvas: Rgb, rgb: Rgb, mask: Any, left: int, top: int) -> Rgb:
    """A masked patch over a picture, cut at its edges."""
    made = canvas.copy()
    height, width = canvas.shape[:2]
    x, y = max(left, 0), max(top, 0)
    x2, y2 = min(left + rgb.shape[1], width), min(top + rgb.shape[0], height)
    if x >= x2 or y >= y2:
        return made
    part = np.s_[y - top : y2 - top, x - left : x2 - left]
    weight = mask[part][..., None]
    made[y:y2, x:x2] = (made[y:y2, x:x2] * (1 - weight) + rgb[part] * weight).astype(np.uint8)
    return made


def lit(rgb: Rgb, dice: Dice) -> Rgb:
    """Another exposure, by a little, and the grain of a good camera."""
    noise = dice.normal(0, 1.2, rgb.shape[:2])[..., None]
    return np.asarray((rgb * dice.uniform(0.94, 1.05) + noise).clip(0, 255).astype(np.uint8))


def taken_in(rgb: Rgb) -> Picture:
    """The picture as an upload would come out."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    made = normalise(out.getvalue())
    if not isinstance(made, Picture):
        raise TypeError(made.code)
    return made


def references(half: Half, talent: str) -> list[Picture]:
    """Her references: her photographs themselves, closer and farther."""
    made = []
    for share in (0.55, 0.9):
        for cut in half.cuts[talent]:
            left, top, right, bottom = cut.face.box
            side = (right - left) * share
            rows = slice(max(int(top - side), 0), int(bottom + side))
            columns = slice(max(int(left - side), 0), int(right + side))
            part = np.ascontiguousarray(cut.rgb[rows, columns])
            if min(part.shape[:2]) < 256:
                scale = 260 / min(part.shape[:2])
                part = np.asarray(cv2.resize(part, None, fx=scale, fy=scale))
            made.append(taken_in(part))
    while len(made) < 3:
        made.append(taken_in(np.asarray(half.cuts[talent][0].rgb * 0.93, np.uint8)))
    return made[:5]


def _cuts(who: str, pictures: list[tuple[str, Rgb]], engine: InsightFaceEngine) -> list[Cut]:
    found = []
    for name, rgb in pictures:
        if min(rgb.shape[:2]) < _LARGE or "partial" in name:
            continue
        found.append(_cut(who, rgb, engine))
    return found


def _cut(who: str, rgb: Rgb, engine: InsightFaceEngine) -> Cut:
    (face,) = engine.faces(rgb)[:1]
    mask = engine.scene(rgb).mask
    mask = cv2.resize(mask, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(mask, (0, 0), max(rgb.shape[0] / 500, 0.8))
    return Cut(who, rgb, np.clip((soft - 0.35) / 0.4, 0, 1).astype(np.float32), face)


def _of_the_group(rgb: Rgb, number: int, engine: InsightFaceEngine) -> Cut:
    """One of six people, head and shoulders."""
    faces = sorted(engine.faces(rgb), key=lambda face: face.box[0])
    left, top, right, bottom = faces[number].box
    side = (right - left) * 0.9
    rows = slice(max(int(top - side * 0.7), 0), int(bottom + side))
    columns = slice(max(int(left - side * 0.6), 0), int(right + side * 0.6))
    part = np.ascontiguousarray(rgb[rows, columns])
    part = np.asarray(cv2.resize(part, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC))
    return _cut(f"group {number}", part, engine)


# --- faults ---------------------------------------------------------------------------------------

Fault = Callable[[Half, str, Rgb, Face, Dice], Rgb]


def _second(half: Half, talent: str, dice: Dice) -> Cut:
    strangers = half.strangers(talent)
    return strangers[int(dice.integers(len(strangers)))]


def second_upright(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Somebody beside her, smaller."""
    side = 0.12 if dice.random() < 0.5 else 0.88
    cut = _second(half, talent, dice)
    size = float(dice.uniform(70, 130))
    return _at(rgb, cut, size, side, float(dice.uniform(0.12, 0.5)))


def _at(rgb: Rgb, cut: Cut, size: float, across: float, down: float, turn: int = 0) -> Rgb:
    """Head and shoulders with a face of `size` pixels, at these shares of the picture."""
    left, top, right, bottom = cut.face.box
    wide = right - left
    rows = slice(max(int(top - 0.7 * wide), 0), int(bottom + 0.9 * wide))
    columns = slice(max(int(left - 0.9 * wide), 0), int(right + 0.9 * wide))
    scale = size / wide
    part, mask = cut.rgb[rows, columns], cut.mask[rows, columns]
    box = (max(round(part.shape[1] * scale), 2), max(round(part.shape[0] * scale), 2))
    part = cv2.resize(part, box, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, box, interpolation=cv2.INTER_AREA)
    part, mask = np.rot90(part, turn), np.rot90(mask, turn)
    x = round(across * rgb.shape[1] - part.shape[1] / 2)
    y = round(down * rgb.shape[0] - part.shape[0] / 2)
    return pasted(rgb, part, mask, x, y)


def second_sideways(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Somebody lying on their side."""
    side = 0.14 if dice.random() < 0.5 else 0.86
    cut = _second(half, talent, dice)
    turn = 1 if dice.random() < 0.5 else 3
    return _at(rgb, cut, float(dice.uniform(75, 130)), side, float(dice.uniform(0.15, 0.5)), turn)


def second_small(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """A face of 32 pixels in the background."""
    side = float(dice.choice([0.07, 0.1, 0.9, 0.93]))
    return _at(rgb, _second(half, talent, dice), 32.0, side, float(dice.uniform(0.1, 0.45)))


def second_mirror(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Somebody in a mirror: framed, flipped, paler."""
    cut = _second(half, talent, dice)
    flipped = replace(
        cut,
        rgb=np.ascontiguousarray(cut.rgb[:, ::-1]),
        mask=np.ascontiguousarray(cut.mask[:, ::-1]),
        face=_flipped(cut.face, cut.rgb.shape[1]),
    )
    side = 0.13 if dice.random() < 0.5 else 0.87
    down = float(dice.uniform(0.18, 0.4))
    made = rgb.copy()
    x, y = round(side * WIDTH), round(down * HEIGHT)
    cv2.rectangle(made, (x - 112, y - 150), (x + 112, y + 165), (90, 60, 30), -1)
    cv2.rectangle(made, (x - 100, y - 138), (x + 100, y + 153), (150, 160, 165), -1)
    shown = _at(made, flipped, float(dice.uniform(65, 90)), side, down)
    glass = np.s_[max(y - 138, 0) : y + 153, max(x - 100, 0) : x + 100]
    made[glass] = (shown[glass] * 0.8 + 40).clip(0, 255).astype(np.uint8)
    return made


def second_half_cut(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Somebody whose face the picture's edge cuts in half."""
    cut = _second(half, talent, dice)
    side = 0.0 if dice.random() < 0.5 else 1.0
    return _at(rgb, cut, float(dice.uniform(95, 150)), side, float(dice.uniform(0.15, 0.45)))


def stranger_instead(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Somebody else in her place."""
    cut = dressed(_second(half, talent, dice), (half.seed, int(dice.integers(10**6))))
    return lit(set_into(half.place(int(dice.integers(SET)), dice), cut, dice), dice)


def near_duplicate(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """The same picture once more: cut by up to 8 % a side, another light, another size, JPEG."""
    height, width = rgb.shape[:2]
    cuts = dice.uniform(0, 0.08, 4)
    rows = slice(int(cuts[0] * height), height - int(cuts[1] * height))
    columns = slice(int(cuts[2] * width), width - int(cuts[3] * width))
    made = rgb[rows, columns] * dice.uniform(0.88, 1.1)
    made = np.asarray(made.clip(0, 255).astype(np.uint8))
    scale = float(dice.uniform(0.7, 1.0))
    made = np.asarray(cv2.resize(made, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    out = io.BytesIO()
    Image.fromarray(made).save(out, "JPEG", quality=int(dice.integers(60, 95)))
    return people.decoded(out.getvalue())


def near_mirrored(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """And mirrored."""
    again = near_duplicate(half, talent, rgb, face, dice)
    return np.ascontiguousarray(again[:, ::-1])


def grainy(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Grain of high sensitivity."""
    noise = dice.normal(0, float(dice.uniform(11, 22)), rgb.shape)
    return np.asarray((rgb + noise).clip(0, 255).astype(np.uint8))


def smooth(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Skin smoothed as beauty programs do: a bilateral filter, several times, on the face."""
    made = rgb
    for _ in range(int(dice.integers(3, 6))):
        made = np.asarray(cv2.bilateralFilter(made, 9, float(dice.uniform(35, 60)), 9))
    return _on_the_face(rgb, made, face, 1.0)


def white(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Skin whitened: lighter, and with less colour."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] = np.minimum(lab[..., 0] * dice.uniform(1.1, 1.2) + dice.uniform(8, 18), 250)
    lab[..., 1:] = (lab[..., 1:] - 128) * dice.uniform(0.4, 0.6) + 128
    pale = np.asarray(cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB))
    return _on_the_face(rgb, pale, face, 1.0)


def enlarged(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Made small and enlarged again, three to four times."""
    scale = 1 / float(dice.uniform(3.0, 4.0))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    size = (rgb.shape[1], rgb.shape[0])
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))


def mole(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """A mole painted on a cheek or the chin."""
    eyes, mouth = face.keypoints[:2], face.keypoints[3:]
    side = int(dice.integers(2))
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    share = float(dice.uniform(0.45, 0.7))
    spot = eyes[side] * (1 - share) + mouth[side] * share
    outward = (eyes[side] - eyes[1 - side]) / apart
    spot = spot + outward * apart * float(dice.uniform(0.0, 0.1))
    if dice.random() < 0.3:  # the chin, beside the middle
        spot = mouth.mean(axis=0) + (mouth.mean(axis=0) - eyes.mean(axis=0)) * 0.42
    made = rgb.copy()
    radius = max(apart * float(dice.uniform(0.028, 0.045)), 1.5)
    layer = np.zeros(rgb.shape[:2], np.float32)
    cv2.circle(
        layer, (round(float(spot[0])), round(float(spot[1]))), max(round(radius), 1), 1.0, -1
    )
    layer = cv2.GaussianBlur(layer, (0, 0), max(radius * 0.3, 0.6))[..., None] * 0.9
    x, y = round(float(spot[0])), round(float(spot[1]))
    reach = max(round(2.5 * radius), 3)
    around = rgb[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    dark = np.median(around.reshape(-1, 3), axis=0) * 0.35  # as dark on dark skin as on fair skin
    return np.asarray((made * (1 - layer) + dark * layer).clip(0, 255).astype(np.uint8))


def squeezed(half: Half, talent: str, rgb: Rgb, face: Face, dice: Dice) -> Rgb:
    """Damaged by compression."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=int(dice.integers(8, 22)))
    return people.decoded(out.getvalue())


# class: (fault, the findings that are right)
FAULTS: Final[dict[str, tuple[Fault, frozenset[str]]]] = {
    name: (fault, frozenset(codes))
    for name, fault, codes in (
        ("second person, upright", second_upright, ("unknown_face", "possible_face")),
        ("second person, sideways", second_sideways, ("unknown_face", "possible_face")),
        ("second person, 32 px", second_small, ("unknown_face", "possible_face")),
        ("second person, mirror", second_mirror, ("unknown_face", "possible_face")),
        ("second person, half cut", second_half_cut, ("unknown_face", "possible_face")),
        ("stranger in her place", stranger_instead, ("unknown_face", "unlike_face")),
        ("near duplicate", near_duplicate, ("near_duplicate", "duplicate")),
        ("near duplicate, mirrored", near_mirrored, ("near_duplicate", "duplicate")),
        ("grain", grainy, ("grain",)),
        ("smoothing", smooth, ("over_retouched", "too_soft")),
        ("whitening", white, ("skin_tone",)),
        ("upscaling", enlarged, ("too_soft",)),
        ("painted mole", mole, ("mole_added",)),
        ("compression", squeezed, ("jpeg_damage",)),
    )
}
BARS: Final = {
    **{name: 1.0 for name in FAULTS if name.startswith("second")},
    "stranger in her place": 0.98,
    "near duplicate": 0.98,
    "near duplicate, mirrored": 0.98,
    "third of one background": 0.95,
    "fourth of one background": 0.95,
}
LEAST: Final = 0.85


def _on_the_face(rgb: Rgb, changed: Rgb, face: Face, strength: float) -> Rgb:
    """A change on the face and a little around it alone."""
    left, top, right, bottom = face.box
    layer = np.zeros(rgb.shape[:2], np.float32)
    middle = (round((left + right) / 2), round((top + bottom) / 2))
    axes = (round((right - left) * 0.62), round((bottom - top) * 0.62))
    cv2.ellipse(layer, middle, axes, 0, 0, 360, 1.0, -1)
    weight = cv2.GaussianBlur(layer, (0, 0), 6)[..., None] * strength
    return np.asarray((rgb * (1 - weight) + changed * weight).clip(0, 255).astype(np.uint8))


def _flipped(face: Face, width: int) -> Face:
    left, top, right, bottom = face.box
    points = face.keypoints.copy()
    points[:, 0] = width - 1 - points[:, 0]
    return replace(
        face, box=(width - right, top, width - left, bottom), keypoints=points[[1, 0, 2, 4, 3]]
    )


def groups(half: Half, talent: str, count: int, size: int, respect: str) -> Iterator[list[Shot]]:
    """Shots of which `size` share a place, or clothes; the rest of the set is untouched."""
    untouched = half.shots(talent)
    for number in range(count):
        first = (number * 3) % SET
        shared = untouched[first]
        made = []
        for n in range(size):
            shot = untouched[(first + n) % SET]
            seed = 50_000 + 1000 * number + 10 * n + size
            same = {"place": shared.place} if respect == "background" else {"outfit": shared.outfit}
            made.append(replace(shot, seed=seed, **same))
        yield made
