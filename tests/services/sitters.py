"""Pictures that say who is in them, and an engine that reads it: for sets of several people.

Each face is a place in the picture with a small coded block in its middle. Painting the place over
takes the code away, and with it the face. Person 0 is alice; everybody else is nobody she knows.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from tests.services.studio import photograph
from training.core.curation import Profile
from training.engines.base import Face, Scene

# left, top, right, bottom: one large place, a small one behind it, and one as large as the first.
PLACES = ((40, 60, 140, 160), (170, 60, 230, 120), (150, 130, 250, 230))
_STEP = 24


def sitting(seed: int, *people: int | None, **saved: Any) -> bytes:
    """A photograph with these people in `PLACES`, None for an empty place."""
    with Image.open(io.BytesIO(photograph(seed))) as image:
        picture = image.convert("RGB")
    for place, person in zip(PLACES, people, strict=False):
        if person is not None:
            x, y = (place[0] + place[2]) // 2, (place[1] + place[3]) // 2
            picture.paste((16 + _STEP * person, 255, 0), (x - 8, y - 8, x + 8, y + 8))
    out = io.BytesIO()
    picture.save(out, "PNG" if not saved else "JPEG", **({"quality": 97} | saved if saved else {}))
    return out.getvalue()


class Sitters:
    """An engine that finds exactly the faces that `sitting` put into a picture."""

    id = "sitters"
    digest = "dd" * 32
    settings: ClassVar[dict[str, Any]] = {}
    profile = Profile()
    scenery = "5c" * 32

    def age(self, rgb: Any, face: Face) -> float:
        return 27.0

    def scene(self, rgb: Any) -> Scene:
        """Nobody and nothing: the colours of the regions say it all."""
        return Scene(np.zeros((16, 16), np.float32), np.ones((1, 2, 2), np.float32))

    def faces(self, rgb: Any, near: Any = None) -> list[Face]:
        """Every coded place, in their order."""
        return [face for place in PLACES if (face := self._face(rgb, place)) is not None]

    def _face(self, rgb: Any, place: tuple[int, int, int, int]) -> Face | None:
        left, top, right, bottom = place
        x, y = (left + right) // 2, (top + bottom) // 2
        red, green, blue = rgb[y - 5 : y + 5, x - 5 : x + 5].reshape(-1, 3).mean(axis=0)
        if green < 235 or blue > 25:
            return None
        vector = np.zeros(128, np.float32)
        vector[round((red - 16) / _STEP)] = 1
        width, height = right - left, bottom - top
        at = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75)])
        points = (at * (width, height) + (left, top)).astype(np.float32)
        return Face(tuple(map(float, place)), 0.95, vector, points, 0)  # type: ignore[arg-type]
