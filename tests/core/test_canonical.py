"""RFC 8785, strict parsing, tagged digests, base64url."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from tests.conformance import vectors

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-canonical.MAX_SAFE_INTEGER, canonical.MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def code(data: bytes, **options: int) -> str:
    with pytest.raises(VerificationError) as caught:
        canonical.loads(data, **options)
    return caught.value.code


@pytest.mark.skipif(bool(vectors.missing("jcs")), reason=vectors.missing("jcs"))
def test_the_rfc_8785_vectors_come_out_byte_for_byte():
    cases = list(vectors.jcs_cases())
    assert len(cases) == 6
    for name, given_bytes, expected in cases:
        assert canonical.dumps(canonical.loads(given_bytes)) == expected, name


@given(JSON)
def test_what_is_dumped_loads_and_dumps_to_the_same_bytes(value):
    data = canonical.dumps(value)
    assert canonical.dumps(canonical.loads(data)) == data


@given(st.binary(max_size=200))
def test_any_bytes_either_load_or_are_refused_by_name(data):
    try:
        value = canonical.loads(data)
    except VerificationError as error:
        value, refused = None, error.code
    else:
        refused = ""
    assert refused == "bad_json" or value == json.loads(data)


def test_a_duplicate_member_is_refused_even_deep_inside():
    assert canonical.loads(b'{"grant":{"max_runs":1}}') == {"grant": {"max_runs": 1}}
    assert code(b'{"grant":{"max_runs":1,"max_runs":999}}') == "bad_json"
    assert code(b'{"a":1,"\\u0061":2}') == "bad_json"


@pytest.mark.parametrize(
    "data",
    [
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"9007199254740993",
        b"-9007199254740993",
        b"1" * 5000,
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"{} {}",
        b"{},",
        b"",
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"{'a':1}",
        b'"a\nb"',
        b"[1,]",
        b"01",
    ],
)
def test_what_parsers_disagree_about_is_refused(data):
    assert code(data) == "bad_json"


def test_a_large_double_is_read_back_as_the_double_it_was():
    assert canonical.dumps(1e17) == b"100000000000000000"
    assert isinstance(canonical.loads(b"100000000000000000"), float)
    assert isinstance(canonical.loads(b"9007199254740991"), int)


def test_nesting_is_counted_outside_strings_and_ends_at_64():
    assert canonical.loads(b"[" * 64 + b"]" * 64)
    assert canonical.loads(b'"' + b"[" * 1000 + b'\\"[["') == "[" * 1000 + '"[['
    assert code(b"[" * 65 + b"]" * 65) == "bad_json"
    assert code(b'{"a":' * 65 + b"1" + b"}" * 65) == "bad_json"
    assert code(b"[" * 200_000) == "bad_json"


def test_more_bytes_than_allowed_are_not_parsed():
    assert canonical.loads(b'"abc"', max_bytes=5) == "abc"
    assert code(b'"abcd"', max_bytes=5) == "too_large"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", {1: 2}, object()])
def test_what_has_no_canonical_form_cannot_be_dumped(value):
    with pytest.raises(ValueError):  # noqa: PT011 - rfc8785 raises several subclasses
        canonical.dumps(value)


def test_a_digest_is_sha256_over_context_nul_and_canonical_form():
    expected = hashlib.sha256(b'kyodaku/grant/v1\0{"a":1,"b":2}').digest()
    assert canonical.digest("kyodaku/grant/v1", {"b": 2, "a": 1}) == expected
    assert canonical.digest("kyodaku/token/v1", {"b": 2, "a": 1}) != expected


@pytest.mark.parametrize("context", ["", "a\0b"])
def test_a_context_that_separates_nothing_is_refused(context):
    with pytest.raises(ValueError, match="context"):
        canonical.digest(context, {})


@given(st.binary(max_size=70))
def test_base64_has_one_spelling_for_each_byte_string(data):
    assert canonical.unb64u(canonical.b64u(data)) == data
    assert canonical.unb64(canonical.b64(data)) == data


@pytest.mark.parametrize("text", ["AA==", "AB", "AAB", "A", "+/+/", "AA\n", " AAA", "AA=A", "ＡＡ"])
def test_another_spelling_of_base64url_is_refused(text):
    with pytest.raises(VerificationError, match="bad_base64"):
        canonical.unb64u(text)


@pytest.mark.parametrize("text", ["AA", "AB==", "AAB=", "-_-_", "AA==\n", "AA= =", "A===", "ＡＡ="])
def test_another_spelling_of_base64_is_refused(text):
    with pytest.raises(VerificationError, match="bad_base64"):
        canonical.unb64(text)
