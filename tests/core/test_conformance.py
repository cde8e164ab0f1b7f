"""The examples of the C2SP texts, and notes that other people's software signed."""

import pytest

from tests.conformance import c2sp


@pytest.mark.parametrize("suite", [c2sp.notes, c2sp.proofs, c2sp.tile_paths])
def test_every_example_of_the_texts_gets_its_verdict(suite):
    result = suite()
    assert result.passed == result.total > 4
    assert not result.failures
