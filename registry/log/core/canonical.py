"""Canonical JSON (RFC 8785), strict parsing, tagged digests and base64url.

Ground floor, pure. Everything that is signed or hashed passes through here, so that one value has
exactly one spelling. Trusts nothing: `loads` is made for bytes from strangers.
"""

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import rfc8785

from registry.log.core.errors import VerificationError

MAX_BYTES: Final = 4 * 65_536
MAX_DEPTH: Final = 64
MAX_SAFE_INTEGER: Final = 2**53 - 1

_BEYOND_BMP: Final = re.compile(rb"[\xf0-\xf4]")
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'"[]{}'))
_ENDS: Final = {2: "AQgw", 3: "AEIMQUYcgkosw048"}
# "+", "/" and "=" are no letters of base64url: they become one that no alphabet has.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


def dumps(value: Any) -> bytes:
    """Return the RFC 8785 form of `value` as UTF-8 bytes.

    Raises ValueError for what has no such form: NaN, infinities, integers beyond 2**53-1, lone
    surrogates, keys that are not strings, unknown types.
    """
    if _plain(value):
        # A lone surrogate raises UnicodeEncodeError here, which is a ValueError.
        return _ENCODER.encode(value).encode()
    return rfc8785.dumps(value)


def _plain(value: Any) -> bool:
    """Whether the standard library's encoder writes `value` exactly as RFC 8785 does.

    Its escapes are those of section 3.2.2.2 and its order is that of code points, which is the
    order of UTF-16 code units (3.2.3) as long as no name leaves the Basic Multilingual Plane. Exact
    types only: a float, a great integer, a subclass or a name that is no string goes the long way.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER)
    if kind is dict:
        for name, member in value.items():
            if type(name) is not str or (not name.isascii() and max(name) > "\ud7ff"):
                return False
            if type(member) is not str and not _plain(member):
                return False
        return True
    if kind is list:
        for member in value:  # noqa: SIM110  (a generator costs more than the rest together)
            if type(member) is not str and not _plain(member):
                return False
        return True
    return False


def loads(data: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """Parse JSON that a stranger may have written; the same bytes mean the same to everybody.

    Refuses what parsers disagree about: bytes that are not UTF-8, a byte order mark, duplicate
    members, NaN and infinities (also by overflow), integers beyond 2**53-1 that are not exactly a
    double in its canonical spelling, lone surrogates, trailing data, nesting deeper than 64.
    Raises VerificationError: `too_large` or `bad_json`.
    """
    if len(data) > max_bytes:
        raise VerificationError("too_large", f"{len(data)} bytes, at most {max_bytes} are read")
    _check_depth(data)
    try:
        text = data.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises on a lone surrogate
    except ValueError as error:
        raise VerificationError("bad_json", str(error)) from error
    return value


def loads_canonical(data: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """Parse bytes that must be RFC 8785's own spelling of what they say; anything else is refused.

    Stricter than `loads` and twice as fast: what is written out again to the very same bytes had no
    duplicate member, no other number, no other escape. Raises VerificationError: `too_large`,
    `bad_json` or `not_canonical`.
    """
    if len(data) > max_bytes:
        raise VerificationError("too_large", f"{len(data)} bytes, at most {max_bytes} are read")
    try:
        text = data.decode("utf-8")
        try:
            value = _COMMON_DECODER.decode(text)
            common = data.isascii() or not _BEYOND_BMP.search(data)
        except _UncommonNumber:
            value, common = _PLAIN_DECODER.decode(text), False
        # A parser makes exact types only, so that what `_plain` asks for is known already.
        if not _is_shallow(value, MAX_DEPTH):
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        same = (_ENCODER.encode(value).encode() if common else dumps(value)) == data
    except (ValueError, RecursionError) as error:
        raise VerificationError("bad_json", str(error)) from error
    if not same:
        raise VerificationError("not_canonical", "not RFC 8785")
    return value


def _is_shallow(value: Any, depth: int) -> bool:
    """Whether containers are nested no deeper than this. The parser itself stops at Python's limit,
    by an error and not by a crash."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return True
    for member in value.values() if kind is dict else value:
        inner = type(member)
        if (inner is dict or inner is list) and not (depth > 1 and _is_shallow(member, depth - 1)):
            return False
    return True


def digest(context: str, value: Any) -> bytes:
    """Return SHA-256(context || 0x00 || JCS(value)): 32 bytes.

    The context is domain separation: the same JSON hashed as a grant and as a token gives two
    unrelated digests, so a signature over one can never be shown as a signature over the other.
    A context ends at its NUL, so no context is a prefix of another.
    """
    if not context or "\0" in context:
        raise ValueError("a digest context is a non-empty string without NUL")
    return hashlib.sha256(context.encode() + b"\0" + dumps(value)).digest()


def b64u(data: bytes) -> str:
    """Return base64url without padding (RFC 7515, section 2)."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def unb64u(text: str) -> bytes:
    """Decode base64url without padding; every byte string has exactly one accepted spelling.

    Raises VerificationError `bad_base64` on padding, other characters, and unused bits that are
    not zero.
    """
    if not isinstance(text, str):
        raise TypeError("base64url is text")
    rest = len(text) % 4
    padded = text.encode(errors="replace").translate(_TO_STANDARD) + b"=" * (-rest % 4)
    try:
        data = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error as error:
        raise VerificationError("bad_base64", "not unpadded base64url") from error
    # 12 or 18 bits for 8 or 16: the last character may only be one whose other bits are zero.
    if rest and text[-1] not in _ENDS[rest]:
        raise VerificationError("bad_base64", "unused bits are not zero")
    return data


def b64(data: bytes) -> str:
    """Return standard padded base64 (RFC 4648, section 4), as signed notes and DSSE use it."""
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """Decode standard padded base64 in its one canonical spelling; VerificationError otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError("bad_base64", str(error)) from error
    if b64(data) != text:
        raise VerificationError("bad_base64", "not the canonical spelling")
    return data


def _check_depth(data: bytes) -> None:
    """Count brackets outside strings, before a recursive parser sees them.

    With escaped backslashes and quotes gone, every second piece between quotes lies outside. What
    this misreads is no JSON up to that place, so the parser never gets any deeper there.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    escaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = 0
    for octet in b"".join(escaped.translate(None, _NOT_STRUCTURE).split(b'"')[::2]):
        if octet in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise VerificationError("bad_json", f"nested deeper than {MAX_DEPTH}")
        else:
            depth -= 1


def _unique_members(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"duplicate member {name!r}")
        members[name] = value
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


def _exact_integer(text: str) -> int | float:
    """Beyond 2**53-1 a literal is the double that RFC 8785 writes this way, or nothing."""
    if len(text) <= 17 and abs(int(text)) <= MAX_SAFE_INTEGER:
        return int(text)
    value = _finite_float(text)
    if dumps(value) != text.encode():
        raise ValueError("integer beyond 2**53-1 that no double holds exactly")
    return value


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_exact_integer,
)


class _UncommonNumber(Exception):
    """A number that the standard library may write otherwise than RFC 8785."""


def _uncommon(text: str) -> NoReturn:
    raise _UncommonNumber(text)


def _short_integer(text: str) -> int:
    if len(text) > 15:
        raise _UncommonNumber(text)
    return int(text)


_COMMON_DECODER: Final = json.JSONDecoder(
    parse_float=_uncommon, parse_constant=_refuse_constant, parse_int=_short_integer
)
_PLAIN_DECODER: Final = json.JSONDecoder()
