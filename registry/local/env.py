"""Settings from the environment: each reader names the variable that is wrong.

Not a stage. Trusts whoever started the process, and the file `.env` beside `manage.py` (which
never overrides what is already set). A value that cannot be understood stops the start with
`ImproperlyConfigured`; nothing is guessed and nothing falls back silently.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
SCHEMES = frozenset({"postgres", "postgresql"})


def refuse(name: str, why: str) -> ImproperlyConfigured:
    """The error for the variable `name`, worded the same everywhere."""
    return ImproperlyConfigured(f"{name}: {why} (see .env.example)")


def read_dotenv(text: str) -> dict[str, str]:
    """`KEY=value` lines; blank lines and lines that start with # are skipped.

    One pair of quotes around a value is taken off. Raises ImproperlyConfigured on anything else.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise refuse(".env", f"line {number} is not KEY=value")
        found[name.strip()] = _unquoted(value.strip())
    return found


def load_dotenv(path: Path) -> None:
    """Put the file's values where the environment has none. A missing file is no error."""
    if not path.is_file() or os.environ.get("KYODAKU_DOTENV") == "none":
        return
    for name, value in read_dotenv(path.read_text(encoding="utf-8")).items():
        os.environ.setdefault(name, value)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def text(name: str, default: str | None = None) -> str:
    """The variable's text, or `default`. Raises when it is unset (or empty) without a default."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise refuse(name, "must be set")
    return default


def choice(name: str, allowed: Collection[str], default: str | None = None) -> str:
    """One of `allowed`, spelt exactly."""
    value = text(name, default)
    if value not in allowed:
        raise refuse(name, f"is {value!r}, must be one of {', '.join(sorted(allowed))}")
    return value


def flag(name: str, *, default: bool) -> bool:
    """1/true/yes/on or 0/false/no/off, in any case."""
    value = text(name, "on" if default else "off").lower()
    if value not in TRUE | FALSE:
        raise refuse(name, f"is {value!r}, must be 1 or 0")
    return value in TRUE


def integer(name: str, default: int, *, least: int, most: int) -> int:
    """A whole number between `least` and `most`, both included."""
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise refuse(name, f"is {value!r}, must be a whole number") from None
    if not least <= number <= most:
        raise refuse(name, f"is {number}, must be between {least} and {most}")
    return number


def hours(name: str, default: int, *, least: int, most: int) -> dict[str, int]:
    """Hours by country, `48` or `48,US=72,KR=96`: the number without a name is for all others.

    The result has a member `default`. No number is below `least` or above `most`.
    """
    found = {"default": default}
    for item in words(name, ()):
        land, _, number = item.rpartition("=")
        land = land.strip().upper()
        if not number.strip().isdecimal() or (land and not (len(land) == 2 and land.isalpha())):
            raise refuse(name, f"holds {item!r}, must look like 48,US=72")
        found[land or "default"] = int(number)
    for value in found.values():
        if not least <= value <= most:
            raise refuse(name, f"is {value}, must be between {least} and {most}")
    return found


def path(name: str, default: Path) -> Path:
    """An absolute path; `~` is expanded. A relative one is refused: it moves with the folder."""
    value = Path(text(name, str(default))).expanduser()
    if not value.is_absolute():
        raise refuse(name, f"is {str(value)!r}, must be an absolute path")
    return value


def optional_path(name: str, default: Path) -> Path | None:
    """Like `path`; the word `none` means that there is none."""
    return None if os.environ.get(name, "").strip().lower() == "none" else path(name, default)


def file(name: str) -> Path | None:
    """An absolute path of a file that exists; None when the variable is unset."""
    if not os.environ.get(name, "").strip():
        return None
    found = path(name, Path())
    if not found.is_file():
        raise refuse(name, f"is {str(found)!r}, which is no file")
    return found


def paths(name: str, default: Collection[Path]) -> list[Path]:
    """Several absolute paths, separated like PATH."""
    value = text(name, os.pathsep.join(str(item) for item in default))
    found = [Path(item).expanduser() for item in value.split(os.pathsep) if item]
    for item in found:
        if not item.is_absolute():
            raise refuse(name, f"holds {str(item)!r}, must be absolute paths")
    return found


def words(name: str, default: Collection[str]) -> list[str]:
    """Words separated by commas."""
    value = text(name, ",".join(default))
    return [item.strip() for item in value.split(",") if item.strip()]


def web_address(name: str, default: str | None = None) -> str:
    """An http(s) origin without path, query or user: `https://registry.example`."""
    value = text(name, default).rstrip("/")
    parts = urlsplit(value)
    extra = parts.path or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra:
        raise refuse(name, f"is {value!r}, must look like https://registry.example")
    return value


def database(url: str, *, name: str = "DATABASE_URL") -> dict[str, Any]:
    """Django's settings for `postgresql://user:password@host:port/base?host=/socket/folder`.

    The query's `host` and `port` stand in for those of the address, as in libpq; every other
    query item becomes a connection option. Only PostgreSQL is accepted: the promises rest on it.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise refuse(name, f"starts with {parts.scheme or '?'}:, must start with postgresql:")
    if not parts.path.strip("/"):
        raise refuse(name, "names no database")
    options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": options.pop("port", None) or _port(parts.netloc, name),
        "OPTIONS": options,
    }


def _port(netloc: str, name: str) -> str:
    try:
        port = urlsplit(f"//{netloc}").port
    except ValueError:
        raise refuse(name, "has a port that is no number") from None
    return "" if port is None else str(port)


def mail(url: str, *, name: str = "KYODAKU_EMAIL_URL") -> dict[str, Any]:
    """Django's settings for `smtp://user:password@host:port` (STARTTLS) or `smtps://…` (TLS)."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise refuse(name, "must look like smtp://user:password@host:587")
    secure = parts.scheme == "smtps"
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if secure else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": secure,
        "EMAIL_USE_TLS": not secure,
        "EMAIL_TIMEOUT": 20,
    }


def conninfo(settings: Mapping[str, Any]) -> dict[str, Any]:
    """psycopg's keyword arguments for a database of Django's settings."""
    named = {
        "dbname": settings["NAME"],
        "user": settings["USER"],
        "password": settings["PASSWORD"],
        "host": settings["HOST"],
        "port": settings["PORT"],
        **settings.get("OPTIONS", {}),
    }
    return {key: value for key, value in named.items() if value}
