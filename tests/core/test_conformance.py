"""The examples of the C2SP texts, and notes that other people's software signed."""

import pytest

from tests.conformance import c2sp, jws, vectors


@pytest.mark.parametrize("suite", [c2sp.notes, c2sp.proofs, c2sp.tile_paths])
def test_every_example_of_the_texts_gets_its_verdict(suite):
    result = suite()
    assert result.passed == result.total > 4
    assert not result.failures


@pytest.mark.parametrize(
    ("suite", "cases"), [(jws.wycheproof_jws, 401), (jws.wycheproof_jws_spelling, 20)]
)
def test_no_case_of_wycheproofs_jws_is_taken_and_every_deviation_is_explained(suite, cases):
    absent = vectors.missing("wycheproof", jws.FILE)
    if absent:
        pytest.skip(absent)
    result = suite()
    assert result.total == cases
    assert not result.failures
    assert result.passed + len(result.deviations) == cases
