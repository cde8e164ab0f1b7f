"""A4 pages with an embedded Japanese font, for what people print: receipts and reports.

Draws what it is given and decides nothing. The font is embedded, so a page looks the same
everywhere, and the same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import pylopdf_fonts_jp
from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos
from fpdf.fonts import TTFFont

from registry.core.refusals import Locale

FONT: Final = Path(pylopdf_fonts_jp.__file__).parent / "NotoSansJP-Regular.otf"
MISSING: Final = "〓"
_FAMILY: Final = "page"
_MARGIN: Final = 20
_LABEL: Final = 38
_LINE: Final = 6.2


class Paper(FPDF):
    """A4 with one embedded family and a footer with the page's number."""

    def __init__(self, locale: Locale, at: datetime, title: str) -> None:
        super().__init__(format="A4")
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=_MARGIN)
        self.add_font(_FAMILY, fname=str(FONT))
        font = self.fonts[_FAMILY]
        if not isinstance(font, TTFFont):
            raise TypeError(f"{FONT.name} was not read as an outline font")
        self._known = frozenset(font.cmap)
        self.set_title(title)
        self.set_lang("ja" if locale == "ja" else "en")
        self.set_creation_date(at)
        self.set_producer("kyodaku")
        self.set_font(_FAMILY, size=10)
        self.add_page()

    def footer(self) -> None:
        """fpdf2's hook."""
        self.set_y(-14)
        self.set_font(_FAMILY, size=8)
        self.cell(0, 6, f"{self.page_no()} / {{nb}}", align="R")

    def put_title(self, text: str, number: str) -> None:
        self.set_font(_FAMILY, size=20)
        self.put_line(text, 11)
        self.set_font(_FAMILY, size=8)
        self.put_line(number, 6)
        self.ln(2)

    def put_note(self, text: str) -> None:
        self.set_font(_FAMILY, size=10)
        self.set_draw_color(170, 90, 0)
        self.put_line(text, 9, border=1)
        self.ln(3)

    def put_heading(self, text: str) -> None:
        self.ln(3)
        self.set_font(_FAMILY, size=12)
        self.put_line(text, 8)
        self.set_draw_color(120, 120, 120)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self.ln(1.5)

    def put_fact(self, name: str, value: str) -> None:
        self.set_font(_FAMILY, size=9)
        self.set_text_color(90, 90, 90)
        self.cell(_LABEL, _LINE, name, new_x=XPos.RIGHT, new_y=YPos.TOP)
        self.set_text_color(0, 0, 0)
        self.set_font(_FAMILY, size=10)
        self.put_line(value, _LINE)

    def put_text(self, text: str) -> None:
        self.set_font(_FAMILY, size=10)
        for line in text.splitlines():
            self.put_line(line, _LINE)

    def put_line(self, text: str, height: float, border: Literal[0, 1] = 0) -> None:
        """Lines of text across the page, as many as it takes."""
        shown, align = self._printable(text), Align.L
        self.multi_cell(0, height, shown, border, align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def put_small(self, text: str) -> None:
        """What explains the line above it."""
        self.set_font(_FAMILY, size=8)
        self.set_text_color(90, 90, 90)
        self.put_line(text, 4.6)
        self.set_text_color(0, 0, 0)
        self.ln(1)

    def put_pictures(self, cards: Sequence[tuple[bytes, Sequence[str]]], side: float) -> None:
        """Pictures side by side, `side` millimetres wide and high, lines of text under each."""
        across = max(int(self.epw // (side + 3)), 1)
        height = side + 4 * max((len(lines) for _, lines in cards), default=0) + 3
        for start in range(0, len(cards), across):
            if self.will_page_break(height):
                self.add_page()
            top = self.get_y()
            for place, (picture, lines) in enumerate(cards[start : start + across]):
                left = self.l_margin + place * (side + 3)
                if picture:
                    self.image(BytesIO(picture), left, top, side, side, keep_aspect_ratio=True)
                self.set_font(_FAMILY, size=7)
                for number, line in enumerate(lines):
                    self.set_xy(left, top + side + 1 + 4 * number)
                    self.cell(side, 4, self._fitted(self._printable(line), side))
            self.set_xy(self.l_margin, top + height)

    def _fitted(self, text: str, width: float) -> str:
        """As much of a line as there is room for."""
        while text and self.get_string_width(text) > width:
            text = f"{text[:-2]}…" if len(text) > 2 else ""
        return text

    def _printable(self, text: str) -> str:
        # A character that no font on paper has (an emoji in a name) shows as the printers' mark
        # for one; the attached file holds the text as it is.
        return "".join(c if ord(c) in self._known else MISSING for c in text)
