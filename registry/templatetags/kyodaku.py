"""Template words: names in the reader's language, state chips, digests that people can compare."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from registry.core import cases, holds, refusals
from registry.core.parties import ROLE_NAMES
from registry.models import GrantHold, Representation
from registry.views import words
from registry.views.base import locale

register = template.Library()
_GROUP: Final = 4


@register.filter
def named(row: Any) -> str:
    """A person's or a company's name; the English one where there is one and English is read."""
    kind = "display_name" if hasattr(row, "display_name") else "name"
    english = getattr(row, f"{kind}_en", "")
    return str(english if english and locale() == "en" else getattr(row, kind))


@register.filter
def called(row: dict[str, str]) -> str:
    """The name in `{name, name_en}` for the reader's language."""
    return row["name_en"] if row["name_en"] and locale() == "en" else row["name"]


@register.filter
def party(capacity: str) -> str:
    """`talent` -> 本人."""
    name = refusals.party_label(capacity, locale())
    return name.removeprefix("the ").capitalize() if locale() == "en" else name


@register.filter
def held_for(grant: Any) -> list[str]:
    """Why a grant is paused, a sentence a cause; none for a grant that is not held."""
    rows = GrantHold.objects.filter(grant=grant, lifted_at=None) if grant else ()
    return [holds.sentence(row.reason, locale()) for row in rows]


@register.filter
def remark_field(name: str) -> str:
    """What a remark is about, in the reader's language."""
    texts = cases.REMARK_FIELDS.get(name, (name, name))
    return texts[0 if locale() == "ja" else 1]


@register.filter
def role(name: str) -> str:
    """`officer` -> 承認者."""
    return ROLE_NAMES[name][0 if locale() == "ja" else 1]


@register.filter
def last_day(row: Representation) -> date:
    """The last day of a representation that has an end: ranges stop before their upper bound."""
    last: date = row.period.upper - timedelta(days=1)
    return last


@register.simple_tag
def chip(kind: str, state: str) -> SafeString:
    """A state as a coloured word."""
    word, colour = words.KINDS[kind].get(state, (state, ""))
    return format_html('<span class="chip {}">{}</span>', colour, word)


@register.simple_tag
def finding_chip(kind: str) -> SafeString:
    """How a curation finding counts, as a coloured word."""
    word, colour = words.FINDING[kind]
    return format_html('<span class="chip {}">{}</span>', colour, word)


@register.filter
def start_of(digest: str) -> str:
    """The first 16 hex digits in groups of four, to be compared by eye."""
    return " ".join(digest[i : i + _GROUP] for i in range(0, 16, _GROUP))


@register.filter
def said_in(row: dict[str, str], name: str) -> str:
    """`{{ finding|said_in:"why" }}`: the member in the reader's language."""
    key = locale() if name == "text" else f"{name}_{locale()}"
    return str(row.get(key, ""))


@register.filter
def duration(value: timedelta) -> str:
    """A rough time for people: seconds under two minutes, else minutes."""
    seconds = int(value.total_seconds())
    if seconds < 120:
        return _("%(n)s seconds") % {"n": seconds}
    return _("%(n)s minutes") % {"n": round(seconds / 60)}


@register.filter
def yen(amount: int) -> str:
    """`300000` -> 300,000円."""
    return _("%(yen)s yen") % {"yen": f"{amount:,}"}


@register.filter
def places(names: Iterable[str]) -> str:
    """The pictures of a report by their place in the set, as the pages number them: p001 -> 1."""
    return ", ".join(name.removeprefix("p").lstrip("0") for name in names)


@register.filter
def unlocalized(value: float) -> str:
    """A coordinate as SVG wants it, whatever the language's decimal sign."""
    return f"{value:g}"
