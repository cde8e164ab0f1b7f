"""`python -m registry.local.messages`: compile every .po file beside its .mo, without gettext.

Not a stage. `compilemessages` needs a program that a bare machine lacks; the .mo files are
committed, and a test holds that they are what their .po files say. Trusts the files it reads.
"""

import ast
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAGIC = 0x950412DE
HEADER = struct.Struct("<7I")
KEYWORDS = ("msgctxt", "msgid_plural", "msgid", "msgstr")


def parse(text: str) -> dict[str, str]:
    """The translations of a .po file: catalogue key to text, fuzzy and empty ones left out.

    A key is `context EOT id NUL plural` as in a .mo file. Raises ValueError naming the line.
    """
    found: dict[str, str] = {}
    for entry in _entries(text):
        forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
        if "msgid" not in entry or "fuzzy" in entry or not all(forms):
            continue
        key = entry["msgid"]
        if "msgctxt" in entry:
            key = f"{entry['msgctxt']}\x04{key}"
        if "msgid_plural" in entry:
            key = f"{key}\0{entry['msgid_plural']}"
        if key in found:
            raise ValueError(f"twice in the catalogue: {entry['msgid']!r}")
        found[key] = "\0".join(forms)
    return found


def _entries(text: str) -> Iterator[dict[str, str]]:
    entry: dict[str, str] = {}
    field = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        word, _, rest = line.partition(" ")
        if line.startswith("#~") or (line.startswith("#") and not line.startswith("#,")):
            continue
        if (
            not line or line.startswith("#,") or word in {"msgctxt", "msgid"}
        ) and "msgstr" in field:
            yield entry
            entry, field = {}, ""
        if line.startswith("#,"):
            entry |= {"fuzzy": ""} if "fuzzy" in line else {}
        elif line.startswith('"') and field:
            entry[field] += _string(line, number)
        elif word.startswith(KEYWORDS):
            field = word
            entry[field] = _string(rest, number)
        elif line:
            raise ValueError(f"line {number}: not understood: {line}")
    if entry:
        yield entry


def _string(text: str, number: int) -> str:
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        value = None
    if not isinstance(value, str):
        raise ValueError(f"line {number}: not a string: {text}")
    return value


def compiled(translations: dict[str, str]) -> bytes:
    """A .mo file (GNU gettext manual, 10.3): two sorted tables of length and offset, no hash."""
    pairs = sorted((key.encode(), value.encode()) for key, value in translations.items())
    count = len(pairs)
    originals, texts = HEADER.size, HEADER.size + 8 * count
    end = HEADER.size + 16 * count
    tables, data = b"", b""
    for side in (0, 1):
        for pair in pairs:
            tables += struct.pack("<2I", len(pair[side]), end + len(data))
            data += pair[side] + b"\0"
    return HEADER.pack(MAGIC, 0, count, originals, texts, 0, end) + tables + data


def catalogues() -> list[Path]:
    """Every .po file of the repository."""
    apps = (ROOT / name for name in ("registry", "training", "audit"))
    return sorted(found for app in apps for found in app.rglob("locale/*/LC_MESSAGES/*.po"))


def main() -> None:
    """Compile all; one line for each."""
    for po in catalogues():
        translations = parse(po.read_text(encoding="utf-8"))
        po.with_suffix(".mo").write_bytes(compiled(translations))
        sys.stdout.write(f"{po.relative_to(ROOT)}: {len(translations)} messages\n")


if __name__ == "__main__":
    main()
