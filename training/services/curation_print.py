"""The curation report on paper: one HTML file that needs nothing else, or A4 pages.

Stage 5. Draws a `training.core.curation_sheet.Sheet` and the pictures' miniatures, with a frame
around every face in the colour of its band. Decides nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Final

from django.template import Context, Engine
from PIL import Image, ImageDraw

from registry.core.refusals import Locale
from registry.services.paper import Paper
from training.core.curation import PictureRecord
from training.core.curation_sheet import Sheet, face_word, main_of, word

SIDE: Final = 320
TEMPLATES: Final = Path(__file__).parents[2] / "templates"
_INKS: Final = {
    "match": (30, 122, 70),
    "weak": (180, 120, 0),
    "unlike": (190, 70, 0),
    "possible": (180, 120, 0),
    "bystander": (70, 100, 160),
    "other": (186, 26, 26),
}
_WORDS: Final = ("meters", "points", "none", "used", "unused", "why", "next", "taken_on", "notice")
_CARD: Final = 38  # millimetres


def miniature(data: bytes, record: PictureRecord) -> bytes:
    """A JPEG of at most 320 pixels with a frame around every face."""
    with Image.open(BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    scale = min(SIDE / max(picture.size), 1.0)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    small = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    pen, main = ImageDraw.Draw(small), main_of(record)
    for face in record.faces:
        box = tuple(value * scale for value in face.box)
        pen.rectangle(box, outline=_INKS[face_word(face, face is main)], width=3)
    out = BytesIO()
    small.save(out, "JPEG", quality=82)
    return out.getvalue()


def html(sheet: Sheet, miniatures: Mapping[str, bytes]) -> str:
    """The page as one file, pictures inside. `miniatures` by picture id."""
    # A file on somebody's desk has no server that translates: the words come from the sheet.
    engine = Engine(dirs=[str(TEMPLATES)], autoescape=True)
    drawn = {name: base64.b64encode(data).decode() for name, data in miniatures.items()}
    pictures = [(item, drawn.get(item.id, "")) for item in sheet.used]
    words = {name: word(name, sheet.locale) for name in _WORDS}
    context = Context({"sheet": sheet, "pictures": pictures, "words": words}, use_l10n=False)
    return str(engine.get_template("training/curation_report.html").render(context))


def pdf(sheet: Sheet, miniatures: Mapping[str, bytes], machine: bytes, at: datetime) -> bytes:
    """The page as A4 sheets; `machine` is attached unless empty, `at` is the file's date."""
    locale: Locale = sheet.locale
    page = Paper(locale, at, sheet.title)
    page.put_title(sheet.title, sheet.facts[0][1])
    page.put_note(sheet.verdict)
    for name, value in sheet.facts[1:]:
        page.put_fact(name, value)
    page.put_heading(word("meters", locale))
    for meter in sheet.meters:
        page.put_fact(meter.label, f"{meter.value}  ({meter.target})")
    page.put_heading(word("points", locale))
    for point in sheet.points:
        where = f"  [{', '.join(point.pictures)}]" if point.pictures else ""
        page.put_text(f"{point.label}: {point.text}{where}")
        page.put_small(f"{point.why} {point.next}")
        for reason in point.taken_on:
            page.put_small(f"{word('taken_on', locale)}: {reason}")
    if not sheet.points:
        page.put_text(word("none", locale))
    page.put_heading(word("used", locale))
    page.put_pictures(
        [
            (miniatures.get(item.id, b""), [item.name, " / ".join(text for _, text in item.faces)])
            for item in sheet.used
        ],
        _CARD,
    )
    if sheet.unused:
        page.put_heading(word("unused", locale))
        for left in sheet.unused:
            page.put_text(f"{left.name}: {left.text}")
            page.put_small(left.next)
    page.put_small(word("notice", locale))
    if machine:
        page.embed_file(basename="curation.json", bytes=machine, mime_type="application/json")
    return bytes(page.output())
