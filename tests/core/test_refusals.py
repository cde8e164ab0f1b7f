"""Every "no" has a stable code, a sentence and a next step, in two languages."""

from __future__ import annotations

import pytest

from registry.core.grants import CAPACITIES
from registry.core.refusals import CODES, Refusal, explain, party_label


@pytest.mark.parametrize("code", sorted(CODES))
@pytest.mark.parametrize("locale", ["ja", "en"])
def test_every_code_says_what_happened_and_what_to_do(code, locale):
    refusal = Refusal(code)
    end = "。" if locale == "ja" else "."
    assert refusal.sentence(locale).endswith(end)
    assert refusal.next_step(locale).endswith(end)
    assert "{" not in refusal.sentence(locale) + refusal.next_step(locale)


@pytest.mark.parametrize("by", CAPACITIES)
def test_a_code_names_its_party(by):
    refusal = Refusal(f"approval_missing:{by}")
    assert refusal.kind == "approval_missing"
    for locale in ("ja", "en"):
        assert party_label(by, locale) in refusal.sentence(locale)


def test_an_unknown_code_is_a_defect():
    with pytest.raises(KeyError):
        explain("no_such_code")


@pytest.mark.parametrize(
    "code",
    [
        "no_token",
        "dataset_mismatch",
        "unknown_face",
        "approval_missing",
        "bad_signature",
        "base_licence",
        "replayed",
        "withdrawn",
    ],
)
def test_the_eight_refusals_have_their_codes(code):
    assert code in CODES
