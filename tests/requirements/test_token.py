"""Requirements about what a requester may see of likeness, through pages and API (study, 1.2)."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from django.test import Client

from registry.services import parties
from tests.services.studio import StandIn, Studio
from tests.web import pages
from training.engines.base import Face
from training.services import curation

REFERENCES = 3


class Alike(StandIn):
    """Sees alice in every picture, as much like herself as `cosine` says, with noise of its own."""

    def __init__(self, cosine: float) -> None:
        self._cosine, self._seen = cosine, 0

    def faces(self, rgb: Any, near: Any = None) -> list[Face]:
        (face,) = super().faces(rgb)
        vector = np.zeros(128, np.float32)
        # The references come first and are she herself; each picture differs in its own direction.
        cosine = 1.0 if self._seen < REFERENCES else self._cosine
        self._seen += 1
        vector[0], vector[self._seen] = cosine, math.sqrt(1 - cosine**2)
        return [Face(face.box, face.score, vector, face.keypoints, face.turn)]


@pytest.fixture
def studio(world, tmp_path, settings):
    settings.STORAGE_DIR = tmp_path / "storage"
    return Studio(world, tmp_path)


def seen_by_charlie(studio: Studio) -> dict[str, str]:
    """Everything about the case that its requester can open: pages in both languages, and API."""
    world, request = studio.world, studio.request.pk
    _, key = parties.api_key_create(person=world.charlie.person, organisation=world.studio)
    api = Client(headers={"authorization": f"Bearer {key}"})
    browsers = {language: pages.as_(world.charlie, language) for language in ("ja", "en")}
    found = {}
    for language, browser in browsers.items():
        for address in (f"/requests/{request}", "/requests", "/"):
            found[f"{language} {address}"] = pages.text(browser.get(address))
    for name in ("", "/curation"):
        address = f"/api/v1/requests/{request}{name}"
        found[address] = api.get(address).content.decode()
    # What differs between any two looks: moments.
    moment = r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+[\d:]+|Z)?|\d+:\d\d"
    return {name: re.sub(moment, "", text) for name, text in found.items()}


def surveyed(studio: Studio, dataset: Any, cosine: float) -> dict[str, str]:
    report = curation.dataset_survey(dataset=dataset, engine=Alike(cosine))
    assert not hasattr(report, "code"), report
    return seen_by_charlie(studio)


def test_r40_a_requester_sees_bands_and_never_how_near_a_face_is(studio):
    """R40: similarity numbers near a threshold are banded, not exact, to requesters."""
    dataset = studio.filled()
    likest = surveyed(studio, dataset, 0.99)
    assert any(likest.values())
    # Within a band nothing that the requester can open changes by a single character.
    assert surveyed(studio, dataset, 0.93) == likest
    assert surveyed(studio, dataset, 0.90) == likest
    assert surveyed(studio, dataset, 0.61) == likest
    # In another band it does: the comparison above can fail.
    weaker = surveyed(studio, dataset, 0.59)
    assert surveyed(studio, dataset, 0.51) == weaker
    assert weaker != likest
    names = {name for name in weaker if weaker[name] != likest[name]}
    assert any(name.startswith("/api/") for name in names)
    assert any(name.startswith("ja ") for name in names)


def test_r40_no_number_of_likeness_is_in_any_answer(studio):
    """R40: API for requesters returns bands."""
    dataset = studio.filled()
    found = surveyed(studio, dataset, 0.9)
    for answer in found.values():
        assert not re.search(r"(likeness|similarity|score|cosine)\W{1,4}\d", answer)
