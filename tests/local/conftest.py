"""Folders for embedded servers, removed afterwards, also when the tests are run by root."""

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def scratch():
    """A folder that the server's own user can pass through, as pytest's own ones are not."""
    folder = Path(tempfile.mkdtemp(prefix="kyodaku-local-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def home(scratch):
    return scratch / "var"
