"""What an event can be looked up by."""

import pytest

from registry.log.core.subjects import is_word, words_of


@pytest.mark.parametrize(
    "word",
    ["grt_" + "0" * 20, "ab" * 32, "x" * 16, "x" * 128, "2026-04-grt-0123456789", "a/b+c=" * 4],
)
def test_ids_and_digests_are_words(word):
    assert is_word(word)
    assert words_of({"data": {"a": word}}) == [word]


@pytest.mark.parametrize(
    "other",
    ["", "talent", "x" * 15, "x" * 129, "2026-04-01T00:30:00.123Z", "a sentence of some length",
     "許諾" * 10, "grt_" + "0" * 20 + "\n", 7, None, True],
)  # fmt: skip
def test_times_sentences_and_short_words_are_not(other):
    assert not is_word(other)
    assert words_of({"data": {"a": other}}) == []


def test_words_are_found_at_any_depth_and_told_once():
    one, two = "grt_" + "1" * 20, "grt_" + "2" * 20
    data = {"a": [{"b": two}, [one]], "c": one, one: "short"}
    assert words_of({"id": "evt_" + "0" * 32, "data": data}) == [one, two]
    assert words_of({"data": {}}) == []
