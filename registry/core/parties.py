"""People and organisations: what a role may do, how a name is written, who speaks for a talent.

Before stage 1. Pure: a service reads the facts of one day from the database, `speakers` decides.
Authority is a fact with dates (R01): nothing here is true without the day it is asked for.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from registry.core.refusals import Refusal
from registry.core.terms import Problem

# kind: (Japanese, English). Requirement R21; glossary of the field study.
ORGANISATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "agency": ("所属事務所", "agency"),
    "studio": ("撮影スタジオ", "studio"),
    "production": ("制作会社", "production company"),
    "publisher": ("出版社", "publisher"),
    "rights_holder": ("権利者", "rights holder"),
    "committee": ("製作委員会", "production committee"),
    "client": ("クライアント", "client"),
    "licensee": ("ライセンシー", "licensee"),
}

# power: what it opens. `sign`: approve for the organisation; `ask`: file requests, send pictures;
# `answer`: refuse or return; `pictures`: look at them; `money`: fees and statements; `seats`: give
# and take roles; `people`: talents' files; `view`: the cases themselves.
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "officer": frozenset({"sign", "ask", "answer", "pictures", "money", "seats", "view", "people"}),
    "manager": frozenset({"ask", "answer", "pictures", "money", "seats", "view", "people"}),
    "legal": frozenset({"answer", "pictures", "money", "view", "people"}),
    "accounting": frozenset({"money", "view"}),
    "viewer": frozenset({"view"}),
    "photographer": frozenset({"ask", "pictures", "view"}),
}
ROLE_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "officer": ("承認者", "approver"),
    "manager": ("マネージャー", "manager"),
    "legal": ("法務", "legal"),
    "accounting": ("経理", "accounting"),
    "viewer": ("閲覧", "viewer"),
    "photographer": ("撮影者", "photographer"),
}

# What a contract between talent and agency may cover. Without `replica_approve` the agency's word
# on a replica means nothing (New York Fashion Workers Act: no power of attorney includes it).
REPRESENTATION_POWERS: Final = ("replica_approve", "negotiate", "view")
APPROVE: Final = "replica_approve"

# Kind of identity proof: how far it goes. From `DOCUMENT` on, a birth date is proven (A24).
IDENTITY_LEVELS: Final[Mapping[str, int]] = {
    "self_declared": 0,
    "contact": 1,
    "id_document": 2,
    "company_register": 2,
    "in_person": 3,
    "mynumber_jpki": 3,
}
DOCUMENT: Final = 2
GUARDIAN_PROOFS: Final = ("family_register", "residence_record", "court_order")
ESTATE_CHAINS: Final = ("will", "law", "court_order")

ADULT_AT: Final = 18
BIRTHDAY_NOTICES: Final = (60, 14)  # days before the 18th birthday

MAX_NAME: Final = 120
_JOINERS: Final = frozenset("\u200c\u200d")  # ZWNJ, ZWJ: inside emoji and some scripts
_TAGS: Final = range(0xE0020, 0xE0080)  # the tail of flag emoji


@dataclass(frozen=True)
class LegalName:
    """The name on an identity document, encrypted wherever it is stored. Texts in NFC."""

    family: str
    given: str
    family_kana: str = ""
    given_kana: str = ""
    romaji: str = ""

    def to_payload(self) -> dict[str, str]:
        """What is sealed."""
        return asdict(self)

    @classmethod
    def from_payload(cls, payload: Any) -> LegalName:
        """The reverse of `to_payload`. Raises `TypeError` for anything else."""
        return cls(**payload)

    def words(self) -> list[str]:
        """The name as people write it, for the check that no signed statement names somebody."""
        whole = [f"{self.family}{self.given}", f"{self.family_kana}{self.given_kana}", self.romaji]
        whole.append(" ".join(reversed(self.romaji.split())))
        # A part alone is a name only when it is not one letter or a syllable of ordinary English.
        parts = [self.family, self.given, self.family_kana, self.given_kana]
        return [w for w in whole if w] + [p for p in parts if len(p) > (3 if p.isascii() else 1)]


def may(role: str, power: str) -> bool:
    """Whether a role has a power; an unknown role has none."""
    return power in ROLES.get(role, frozenset())


def roles_with(power: str) -> list[str]:
    """The roles that have a power."""
    return [role for role, powers in ROLES.items() if power in powers]


def tidy_name(text: str, field: str, *, needed: bool = True) -> str | Problem:
    """A name as it is stored: trimmed, NFC, its width left alone; or what is wrong with it.

    Emoji, half and full width and combining characters are names. Control characters, line breaks
    and marks that reverse the reading direction are not: they make one name look like another.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        problem = Problem(field, "名前を入力してください。", "Enter a name.")
        return problem if needed else ""
    if any(_unseen(char) for char in name):
        return Problem(
            field,
            "改行や制御文字など、目に見えない文字は名前に使えません。消してから、もう一度入力してください。",
            "A name cannot hold line breaks, control or other invisible characters. "
            "Remove them and try again.",
        )
    if not any(unicodedata.category(char)[0] in "LNS" for char in name):
        return Problem(
            field, "文字を一つ以上入力してください。", "Enter at least one letter or sign."
        )
    if len(name) > MAX_NAME:
        return Problem(
            field,
            f"名前は{MAX_NAME}文字までにしてください(今は{len(name)}文字)。",
            f"A name has at most {MAX_NAME} characters; this one has {len(name)}.",
        )
    return name


def _unseen(char: str) -> bool:
    if char in _JOINERS or ord(char) in _TAGS:
        return False
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def birthday(born: date, age: int) -> date:
    """The day on which somebody reaches an age; 29 February counts as 1 March in other years.

    Japanese law (Act on Calculation of Ages) reaches the age at the end of the day before; consent
    of a guardian is asked for one day longer here, which is the careful side.
    """
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def is_minor(born: date | None, on: date) -> bool:
    """Under 18 on that day; an unknown birth date counts as minor (fail closed)."""
    return born is None or on < birthday(born, ADULT_AT)


@dataclass(frozen=True)
class Represents:
    """A representation that is active on the day."""

    id: str
    agency_id: str
    powers: frozenset[str]


@dataclass(frozen=True)
class Guards:
    """A guardianship whose proof was checked. `custodians`: how many the proof names."""

    id: str
    person_id: str
    custodians: int = 1


@dataclass(frozen=True)
class Heir:
    """An estate record that is active on the day."""

    id: str
    person_id: str


@dataclass(frozen=True)
class Standing:
    """Everything that decides who speaks for a talent on one day: ids and facts, no names."""

    talent_id: str
    person_id: str
    minor: bool
    representations: tuple[Represents, ...] = ()
    guardians: tuple[Guards, ...] = ()
    heirs: tuple[Heir, ...] = ()
    died: bool = False
    retired: bool = False
    erased: bool = False
    disputed: bool = False
    age_alarm: bool = False


@dataclass(frozen=True)
class Speaker:
    """Who must sign. For an agency `person_id` is empty: one of its approvers is chosen."""

    by: str
    authority: str
    person_id: str = ""
    agency_id: str = ""


def barred(standing: Standing) -> list[Refusal]:
    """Why nobody can approve, train or resume anything that shows this talent on the day."""
    found = []
    if standing.erased:
        found.append(Refusal("person_erased", standing.talent_id))
    if standing.disputed:
        found.append(Refusal("representation_disputed", standing.talent_id))
    if standing.age_alarm:
        found.append(Refusal("age_unproven", standing.talent_id))
    if standing.died and not standing.heirs:
        found.append(Refusal("estate_missing", standing.talent_id))
    if standing.retired and not standing.died:
        found.append(Refusal("talent_retired", standing.talent_id))
    return found


def speakers(standing: Standing) -> list[Speaker | Refusal]:
    """Everybody who must sign for a talent on the day, or why it cannot be asked.

    (1) nothing bars her; (2) she signs herself, or the estate in her place; (3) for a minor every
    custodian that the proof names signs too; (4) every agency whose contract covers replicas signs.
    """
    # (1)
    found: list[Speaker | Refusal] = list(barred(standing))
    if found:
        return found
    agencies = [r for r in standing.representations if APPROVE in r.powers]
    own = "" if standing.representations else "self"
    # (2)
    if standing.died:
        found += [Speaker("estate", own or heir.id, heir.person_id) for heir in standing.heirs]
    else:
        found.append(Speaker("talent", own, standing.person_id))
    # (3)
    if standing.minor and not standing.died:
        found += [Speaker("guardian", g.id, g.person_id) for g in standing.guardians]
        if len(standing.guardians) < max((g.custodians for g in standing.guardians), default=1):
            found.append(Refusal("approval_missing:guardian", standing.talent_id))
    # (4) A contract that leaves replicas out gives nobody the agency's word: it must be settled.
    if standing.representations and not agencies:
        found.append(Refusal("representation_powerless", standing.talent_id))
    found += [Speaker("agency_officer", r.id, agency_id=r.agency_id) for r in agencies]
    return found


def contact_risks(
    own: Iterable[str], *, agency_domains: Iterable[str], agency_contacts: Iterable[str]
) -> list[str]:
    """`agency_domain`, `agency_contact`: a talent who is reached through her agency (A02).

    Mail addresses and telephone numbers as `tidy_contact` gives them.
    """
    domains, others = set(agency_domains), set(agency_contacts)
    mine = list(own)
    risks = []
    if any("@" in c and _within(c.rpartition("@")[2], domains) for c in mine):
        risks.append("agency_domain")
    if others.intersection(mine):
        risks.append("agency_contact")
    return risks


def _within(domain: str, domains: set[str]) -> bool:
    """The domain itself or one below it."""
    return any(domain == d or domain.endswith("." + d) for d in domains)


def tidy_contact(kind: str, text: str) -> str | Problem:
    """A mail address in lower case, or a telephone number's digits; full width becomes ASCII."""
    value = unicodedata.normalize("NFKC", text).strip().lower()
    if kind == "mail":
        local, at, domain = value.partition("@")
        plain = not any(c.isspace() or _unseen(c) for c in value)
        if at and local and "." in domain and "@" not in domain and plain and len(value) <= 254:
            return value
        return Problem("contact", "メールアドレスの形ではありません。", "Not a mail address.")
    if kind != "phone":
        return Problem("kind", "mail か phone を選んでください。", "Choose mail or phone.")
    digits = "".join(char for char in value if char.isdecimal() and char.isascii())
    rest = set(value) - set("0123456789 -+()‐‑–—−ー")
    if rest or not 8 <= len(digits) <= 15:
        return Problem("contact", "電話番号の形ではありません。", "Not a telephone number.")
    # A domestic number and its international form are one telephone.
    return "+" + digits if value.startswith("+") else "+81" + digits.removeprefix("0")
