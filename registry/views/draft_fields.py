"""The fields of the request form as templates draw them: label, help, choices, what was typed.

Stage 1, display only. What the fields mean is in `registry.core.request_form`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from registry import selectors
from registry.core import vocabulary as words
from registry.core.request_form import FIXED_DUTIES, STEPS
from registry.core.requests import jst_day
from registry.core.terms import Problem
from registry.models import Organisation, Person, RequestDraft
from registry.services import catalogue
from registry.services.drafts import presets
from registry.views.base import locale

Text = str | Promise
Options = list[tuple[str, str]]
# Countries with a box of their own; every other is written.
NEAR: Final = ("JP", "US", "KR", "TW", "CN", "GB", "FR", "DE")
LISTED: Final = 200


@dataclass(frozen=True)
class Field:
    """One field. `kind`: text, long, number, day, radio, boxes, select."""

    name: str
    kind: str
    label: Text
    help: Text = ""
    needed: bool = False
    options: Callable[[Person], Options] | None = None


def _of(labels: words.Labels, *, without: Sequence[str] = ()) -> Callable[[Person], Options]:
    def options(person: Person) -> Options:
        return [(w, words.names(labels, (w,), locale())) for w in labels if w not in without]

    return options


def _yes_no(person: Person) -> Options:
    return [("yes", _("Yes")), ("no", _("No"))]


def _kinds(person: Person) -> Options:
    return [("person", _("A real person")), ("style", _("A style or an illustration"))]


def _own(person: Person) -> Options:
    return [
        (row.id, _named(row)) for row in selectors.organisations_of(person, "ask").order_by("name")
    ]


def _named(row: Organisation) -> str:
    return row.name_en if row.name_en and locale() == "en" else row.name


def _talents(person: Person) -> Options:
    found = []
    for row in selectors.talents()[:LISTED]:
        who = row.person
        english = locale() == "en" and who.display_name_en
        found.append((row.id, who.display_name_en if english else who.display_name))
    return found


def _holders(person: Person) -> Options:
    own = selectors.organisations_of(person, "ask")
    seats = selectors.seats_on(jst_day(timezone.now())).filter(organisation__in=own)
    others = Person.objects.filter(id__in=seats.values("person"))
    found = [("", _("Me"))]
    rows = others.exclude(id=person.id).distinct().order_by("display_name")
    return found + [(row.id, row.display_name) for row in rows]


def _bases(person: Person) -> Options:
    return catalogue.base_choices(locale())


def _recipes(person: Person) -> Options:
    known = {
        "tiny_cpu": _("Trial: small pictures, about a minute on any machine"),
        "sd15": _("Standard: 512 pixels, about half an hour on a GPU"),
        "sdxl": _("Large: 1024 pixels, on a GPU of 24 GB"),
    }
    return [(name, known.get(name, name)) for name in presets()]


def _near(person: Person) -> Options:
    chosen = {code: words.TERRITORY[code] for code in (*NEAR, words.WORLDWIDE)}
    return _of(chosen)(person)


_DAY: Final = gettext_lazy("For example 2027-03-31. Full-width digits and 年月日 are fine.")
_HERSELF: Final = gettext_lazy(
    "Only what the talent has opened on her own page can be asked for, and she ticks it again."
)
FIELDS: Final[Mapping[str, tuple[tuple[Text, tuple[Field, ...]], ...]]] = {
    "who": (
        (
            gettext_lazy("Who is asked"),
            (
                Field("talents", "boxes", gettext_lazy("Talents"), needed=True, options=_talents),
                Field(
                    "copyright_holder",
                    "select",
                    gettext_lazy("Who holds the copyright of the photographs"),
                    options=_holders,
                ),
            ),
        ),
        (
            gettext_lazy("Who asks, and who uses it"),
            (
                Field("requester", "select", gettext_lazy("Asking company"), options=_own),
                Field(
                    "licensee",
                    "text",
                    gettext_lazy("Company that will use it"),
                    gettext_lazy("Its whole name, or its number (org_…)."),
                    needed=True,
                ),
            ),
        ),
        (
            gettext_lazy("How it is trained"),
            (
                Field(
                    "base_model",
                    "select",
                    gettext_lazy("Base model"),
                    needed=True,
                    options=_bases,
                ),
                Field("recipe", "radio", gettext_lazy("Size"), needed=True, options=_recipes),
            ),
        ),
    ),
    "use": (
        (
            gettext_lazy("What is made"),
            (
                Field("kind", "radio", gettext_lazy("Whom or what it shows"), options=_kinds),
                Field("client", "text", gettext_lazy("Client"), needed=True),
                Field("product", "text", gettext_lazy("Product or work"), needed=True),
                Field(
                    "purpose",
                    "long",
                    gettext_lazy("What exactly is made, and for what"),
                    gettext_lazy("At least 10 characters. “General purpose” is no purpose."),
                    needed=True,
                ),
                Field(
                    "likeness_goal",
                    "radio",
                    gettext_lazy("Shall the pictures look like the person?"),
                    gettext_lazy("The talent is asked in either case."),
                    needed=True,
                    options=_yes_no,
                ),
            ),
        ),
        (
            gettext_lazy("Where it is shown"),
            (
                Field(
                    "stage",
                    "radio",
                    gettext_lazy("Stage"),
                    needed=True,
                    options=_of(words.STAGES),
                ),
                Field(
                    "media", "boxes", gettext_lazy("Media"), needed=True, options=_of(words.MEDIA)
                ),
            ),
        ),
    ),
    "terms": (
        (
            gettext_lazy("How long, where, how many"),
            (
                Field("start", "day", gettext_lazy("First day"), _DAY, needed=True),
                Field("end", "day", gettext_lazy("Last day"), _DAY, needed=True),
                Field(
                    "territory",
                    "boxes",
                    gettext_lazy("Territory"),
                    _HERSELF,
                    needed=True,
                    options=_near,
                ),
                Field(
                    "countries",
                    "text",
                    gettext_lazy("Other countries"),
                    gettext_lazy("Names or codes, with commas between them."),
                ),
                Field("quantity", "number", gettext_lazy("Number of units, at most")),
                Field("impressions", "number", gettext_lazy("Number of showings, at most")),
                Field("price_min_jpy", "number", gettext_lazy("Lowest price of one, in yen")),
                Field("price_max_jpy", "number", gettext_lazy("Highest price of one, in yen")),
            ),
        ),
        (
            gettext_lazy("What of the person, and what may be changed"),
            (
                Field(
                    "likeness_parts",
                    "boxes",
                    gettext_lazy("Parts of the likeness"),
                    needed=True,
                    options=_of(words.LIKENESS_PARTS),
                ),
                Field(
                    "transformations",
                    "boxes",
                    gettext_lazy("May be changed"),
                    gettext_lazy("Nothing ticked: nothing may be changed."),
                    options=_of(words.TRANSFORMATIONS, without=("none",)),
                ),
                Field(
                    "exposure",
                    "radio",
                    gettext_lazy("Exposure at most"),
                    options=_of(words.EXPOSURE),
                ),
                Field("name_use", "radio", gettext_lazy("Name"), options=_of(words.NAME_USE)),
                Field(
                    "categories",
                    "boxes",
                    gettext_lazy("Fields that are otherwise barred"),
                    _HERSELF,
                    options=_of(words.CATEGORIES),
                ),
            ),
        ),
        (
            gettext_lazy("What is paid"),
            (
                Field("fee_jpy", "number", gettext_lazy("Whole fee in yen"), needed=True),
                Field(
                    "replaces_booked_shoot",
                    "radio",
                    gettext_lazy("Does this replace a booked shoot?"),
                    needed=True,
                    options=_yes_no,
                ),
                Field("share_permille", "text", gettext_lazy("Share of sales, like 12.5%")),
                Field("guarantee_jpy", "number", gettext_lazy("Minimum guarantee in yen")),
                Field("paid_by", "radio", gettext_lazy("Paid by"), options=_of(words.PAID_BY)),
                Field("pay_by", "day", gettext_lazy("Payable by"), _DAY),
            ),
        ),
        (
            gettext_lazy("Exclusivity"),
            (
                Field(
                    "exclusivity",
                    "radio",
                    gettext_lazy("Exclusivity"),
                    options=_of(words.EXCLUSIVITY),
                ),
                Field("exclusivity_category", "text", gettext_lazy("Exclusive category")),
                Field(
                    "competitors",
                    "text",
                    gettext_lazy("Competitors"),
                    gettext_lazy("Names, with commas between them."),
                ),
            ),
        ),
        (
            gettext_lazy("Duties, and what follows a withdrawal"),
            (
                Field(
                    "duties",
                    "boxes",
                    gettext_lazy("Further duties"),
                    gettext_lazy("Reporting, marking as AI and destroying at the end always hold."),
                    options=_of(words.DUTIES, without=FIXED_DUTIES),
                ),
                Field("report_months", "number", gettext_lazy("A report every so many months")),
                Field("destroy_by", "day", gettext_lazy("Destroyed by"), _DAY),
                Field("sell_off_days", "number", gettext_lazy("Days to sell stock after the term")),
                Field(
                    "new_generation",
                    "radio",
                    gettext_lazy("New pictures after a withdrawal"),
                    options=_of(words.NEW_GENERATION),
                ),
                Field("new_generation_days", "number", gettext_lazy("After how many days")),
                Field(
                    "published",
                    "radio",
                    gettext_lazy("What is published when she withdraws"),
                    options=_of(words.PUBLISHED),
                ),
                Field("withdrawal_sell_off_days", "number", gettext_lazy("For how many days")),
                Field("attest_days", "number", gettext_lazy("Days to attest the destruction")),
                Field(
                    "advised_by",
                    "radio",
                    gettext_lazy("Who advised the talent"),
                    options=_of(words.ADVISED_BY),
                ),
            ),
        ),
        (
            gettext_lazy("The request itself"),
            (
                Field("max_runs", "number", gettext_lazy("Number of trainings, at most")),
                Field("sign_by", "day", gettext_lazy("Answers until"), _DAY, needed=True),
            ),
        ),
    ),
}
if {f.name for groups in FIELDS.values() for _g, fields in groups for f in fields} != {
    name for names in STEPS.values() for name in names
}:
    raise RuntimeError("every field of the form has a place on a page")

# What a radio means that nobody has touched: the narrowest choice, shown as chosen.
UNTOUCHED: Final = {
    "kind": "person",
    "exposure": "full_clothed",
    "name_use": "none",
    "exclusivity": "none",
    "paid_by": "client",
    "new_generation": "stop_now",
    "published": "recall",
    "advised_by": "none",
}


def drawn(
    step: str, draft: RequestDraft, person: Person, problems: Sequence[Problem]
) -> list[dict[str, Any]]:
    """The groups of a step: each field with its choices, what was typed and its problems.

    A group in which nothing is needed is folded until something stands or is wrong in it.
    """
    wrong = {problem.field for problem in problems}
    return [
        {
            "label": label,
            "fields": [_drawn(f, draft, person, problems) for f in fields],
            "needed": any(f.needed for f in fields),
            "open": any(f.name in wrong or _touched(f, draft) for f in fields),
        }
        for label, fields in FIELDS[step]
    ]


def _touched(field: Field, draft: RequestDraft) -> bool:
    typed = [value for value in draft.data.get(field.name, []) if value]
    return bool(typed) and typed != [UNTOUCHED.get(field.name)]


def _drawn(
    field: Field, draft: RequestDraft, person: Person, problems: Sequence[Problem]
) -> dict[str, Any]:
    typed = draft.data.get(field.name, [])
    shown = typed or ([UNTOUCHED[field.name]] if field.name in UNTOUCHED else [])
    options = field.options(person) if field.options else []
    if field.name == "requester" and not typed and len(options) == 1:
        shown = [options[0][0]]
    ja = locale() == "ja"
    return {
        "name": field.name,
        "kind": field.kind,
        "label": field.label,
        "help": field.help,
        "needed": field.needed,
        "value": shown[-1] if shown else "",
        "options": [
            {"value": value, "label": label, "on": value in shown} for value, label in options
        ],
        "errors": list(
            dict.fromkeys(p.ja if ja else p.en for p in problems if p.field == field.name)
        ),
    }
