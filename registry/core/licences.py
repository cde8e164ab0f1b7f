"""What the licences of a base model and of everything inside it allow together.

Stages 1 to 4 ask it. Pure. A model's licence is a set of dated facts; the parts of a base (VAE,
text encoders, training adapter, merge parents) have facts of their own, and the whole allows what
every one of them allows: adding a part never widens, and the order of the parts means nothing.
Unknown is not yes. What is known second-hand, or without the text's hash, counts for commercial use
only after a person has reviewed it.

The combined facts stand in the grant (`Conditions`), so that worker, trainer and offline verifier
decide again without a catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from registry.core.payload import Payload
from registry.core.refusals import Refusal
from registry.core.terms import Terms
from registry.core.vocabulary import WORLDWIDE
from registry.log.core import canonical

FORMAT: Final = "kyodaku/licence-facts/v1"

KINDS: Final = (
    "base",
    "vae",
    "text_encoder",
    "training_adapter",
    "merge_parent",
    "face_pack",
    "segmentation",
    "watermark",
    "other",
)
ROLES: Final = ("vae", "text_encoder", "training_adapter", "merge_parent", "other")
# In rising order of strictness: the strictest word of all parts is the word of the whole.
COMMERCIAL: Final = ("yes", "threshold", "unknown", "no")
OUTPUTS: Final = ("yes", "conditional", "unknown", "no")
DERIVATIVE_TERMS: Final = ("pass_on", "state_changes", "share_alike", "no_derivatives")
FIELD_OF_USE: Final = ("use_policy", "content_filtering", "no_competing_model", "biometric_ban")
MEASURES: Final = ("revenue", "monthly_users")
SCOPES: Final = ("licensee", "company_group")
PERIODS: Final = ("year", "trailing_12_months", "month")
# T: the licence's text was read; R: it is stated in the repository or model card; S: second-hand.
CONFIDENCE: Final = ("T", "R", "S")

# Every code that `refusals` gives.
CODES: Final = frozenset(
    {
        "base_licence",
        "base_licence_unreviewed",
        "base_licence_threshold",
        "base_licence_registration",
        "base_licence_territory",
        "base_licence_field",
        "base_licence_exclusivity",
        "base_licence_share_alike",
    }
)

_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, order=True)
class Limit(Payload):
    """A licence's threshold: free below `amount` of `measure`, counted over `scope` and `period`.

    `currency` is ISO 4217 for revenue and empty for users.
    """

    measure: str
    amount: int
    currency: str = ""
    scope: str = "company_group"
    period: str = "year"


@dataclass(frozen=True, order=True)
class Amount(Payload):
    """What a licensee declared on a day: that `measure` stays below a round figure."""

    measure: str
    below: int
    currency: str = ""
    on: str = ""


@dataclass(frozen=True)
class Declared(Payload):
    """What the licensee declared for the licences' sake: bands, and licences registered for."""

    amounts: tuple[Amount, ...] = ()
    registrations: tuple[str, ...] = ()


NOTHING_DECLARED: Final = Declared()


@dataclass(frozen=True)
class Facts(Payload):
    """One model's licence as somebody read it on a day. New members go last, with a default.

    `licence_id` is an SPDX identifier or a LicenseRef; `licence_sha256` the text's SHA-256, empty
    when nobody kept the text. `territory_excluded` holds ISO 3166-1 codes. `naming` is the prefix
    that a derivative's name must have, `notice` the wording that must travel with it. `note` says
    what is uncertain. `reviewed_by` is the id of the person who confirmed a second-hand record.
    """

    licence_id: str
    licence_sha256: str
    read_on: str
    commercial: str
    outputs: str
    confidence: str
    source: str
    limits: tuple[Limit, ...] = ()
    registration_required: bool = False
    derivative_terms: tuple[str, ...] = ()
    naming: str = ""
    notice: str = ""
    territory_excluded: tuple[str, ...] = ()
    field_of_use: tuple[str, ...] = ()
    attribution: str = ""
    no_exclusivity: bool = False
    reviewed_by: str = ""
    note: str = ""

    @property
    def reviewed(self) -> bool:
        """Whether commercial use may rest on it: read by us with the text's hash, or confirmed."""
        first_hand = self.confidence in ("T", "R") and bool(self.licence_sha256)
        return first_hand or bool(self.reviewed_by)

    def digest(self) -> str:
        """SHA-256 of the facts, in hex, as the log and the grant name them."""
        return canonical.digest(FORMAT, self.to_payload()).hex()

    def problems(self) -> list[str]:
        """What is wrong with the facts as such, one English sentence each, for an operator."""
        found = [
            f"{name}: “{word}” is none of {', '.join(words)}"
            for name, words, used in (
                ("commercial", COMMERCIAL, (self.commercial,)),
                ("outputs", OUTPUTS, (self.outputs,)),
                ("confidence", CONFIDENCE, (self.confidence,)),
                ("derivative_terms", DERIVATIVE_TERMS, self.derivative_terms),
                ("field_of_use", FIELD_OF_USE, self.field_of_use),
                ("limits.measure", MEASURES, tuple(limit.measure for limit in self.limits)),
                ("limits.scope", SCOPES, tuple(limit.scope for limit in self.limits)),
                ("limits.period", PERIODS, tuple(limit.period for limit in self.limits)),
            )
            for word in used
            if word not in words
        ]
        if not self.licence_id or not self.source:
            found.append("licence_id and source are needed: say what was read, and where")
        if self.licence_sha256 and not _HEX64.fullmatch(self.licence_sha256):
            found.append("licence_sha256: 64 lower-case hex digits, or nothing")
        try:
            date.fromisoformat(self.read_on)
        except ValueError:
            found.append("read_on: a date is written YYYY-MM-DD")
        if not all(_COUNTRY.fullmatch(code) for code in self.territory_excluded):
            found.append("territory_excluded: ISO 3166-1 codes of two letters")
        return found + self._limit_problems()

    def _limit_problems(self) -> list[str]:
        found = []
        if (self.commercial == "threshold") != bool(self.limits) and self.commercial != "no":
            found.append("limits: needed for commercial “threshold”, and for nothing but that")
        for limit in self.limits:
            paid = limit.measure == "revenue"
            if limit.amount < 1 or paid != bool(_CURRENCY.fullmatch(limit.currency)):
                found.append("limits: an amount above 0; a currency for revenue and only for that")
        return found


@dataclass(frozen=True)
class Part:
    """One model that takes part: its name, the revision of its facts that is meant, its role."""

    name: str
    revision: str
    facts: Facts
    role: str = "base"


@dataclass(frozen=True)
class Conditions(Payload):
    """Everything that a base and its parts ask, combined; it stands in the grant.

    Tuples are sorted and without doubles. `unreviewed` names parts on whose facts commercial use
    may not rest yet. The default is a base that asks nothing. New members go last, with a default.
    """

    outputs: str = "yes"
    limits: tuple[Limit, ...] = ()
    registration: tuple[str, ...] = ()
    derivative_terms: tuple[str, ...] = ()
    naming: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    territory_excluded: tuple[str, ...] = ()
    field_of_use: tuple[str, ...] = ()
    no_exclusivity: bool = False
    unreviewed: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


NOTHING_ASKED: Final = Conditions()


@dataclass(frozen=True)
class Effective:
    """The most restrictive reading of some parts: one word for commercial use, and the rest."""

    commercial: str
    conditions: Conditions
    parts_sha256: str

    @property
    def may_be_commercial(self) -> bool:
        """Whether commercial use is possible at all, under whatever conditions."""
        return self.commercial in ("yes", "threshold")


def combine(parts: Sequence[Part]) -> Effective:
    """The whole of some parts. Raises `ValueError` without any: nothing known allows nothing."""
    if not parts:
        raise ValueError("a base model consists of one part at least")
    facts = [part.facts for part in parts]
    named = {f.licence_id for f in facts if f.derivative_terms or f.naming or f.notice}
    conditions = Conditions(
        outputs=_strictest(OUTPUTS, (f.outputs for f in facts)),
        limits=_all(limit for f in facts for limit in f.limits),
        registration=_all(f.licence_id for f in facts if f.registration_required),
        derivative_terms=_all(word for f in facts for word in f.derivative_terms),
        naming=_all(f.naming for f in facts if f.naming),
        notices=_all(text for f in facts for text in (f.notice, f.attribution) if text),
        territory_excluded=_all(code for f in facts for code in f.territory_excluded),
        field_of_use=_all(word for f in facts for word in f.field_of_use),
        no_exclusivity=any(f.no_exclusivity for f in facts),
        unreviewed=_all(part.name for part in parts if not part.facts.reviewed),
        licences=_all(named | {f.licence_id for f in facts if f.field_of_use or f.limits}),
    )
    digest = canonical.digest(
        "kyodaku/licence-parts/v1",
        sorted([part.revision, part.role, part.facts.digest()] for part in parts),
    )
    return Effective(
        commercial=_strictest(COMMERCIAL, map(_commercial, facts)),
        conditions=conditions,
        parts_sha256=digest.hex(),
    )


def _commercial(facts: Facts) -> str:
    """A threshold that nobody wrote down is unknown."""
    bare = facts.commercial == "threshold" and not facts.limits
    return "unknown" if bare else facts.commercial


def _strictest(words: Sequence[str], used: Iterable[str]) -> str:
    """The strictest word. One that is no word of ours, from a later version, is the strictest."""
    places = [words.index(word) if word in words else len(words) - 1 for word in used]
    return words[max(places)]


def _all(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(values)))


def refusals(
    conditions: Conditions, *, name: str, commercial: bool, terms: Terms, declared: Declared
) -> list[Refusal]:
    """Why these terms may not rest on this base; empty when they may.

    A portfolio or a trial asks no commercial permission; a ban on biometrics, an excluded territory
    or a duty to share binds them like everybody.
    """
    found = _for_every_use(conditions, name, terms)
    if terms.commercial:
        found += _for_commercial_use(conditions, name, commercial, declared)
    return found


def _for_every_use(conditions: Conditions, name: str, terms: Terms) -> list[Refusal]:
    found = []
    if "no_derivatives" in conditions.derivative_terms:
        found.append(Refusal("base_licence", f"{name}: no derivatives"))
    # Whoever shares alike lets strangers pass on the LoRA; no consent of a person says that.
    if "share_alike" in conditions.derivative_terms:
        found.append(Refusal("base_licence_share_alike", name))
    # What is trained here is always a real person's likeness.
    if "biometric_ban" in conditions.field_of_use:
        found.append(Refusal("base_licence_field", f"{name}: biometric_ban"))
    barred = set(conditions.territory_excluded)
    hit = barred if WORLDWIDE in terms.territory else barred & set(terms.territory)
    if hit:
        found.append(Refusal("base_licence_territory", f"{name}: {', '.join(sorted(hit))}"))
    if conditions.no_exclusivity and terms.exclusivity != "none":
        found.append(Refusal("base_licence_exclusivity", f"{name}: {terms.exclusivity}"))
    return found


def _for_commercial_use(
    conditions: Conditions, name: str, commercial: bool, declared: Declared
) -> list[Refusal]:
    found = []
    if commercial is not True:
        found.append(Refusal("base_licence", name))
    if conditions.outputs not in ("yes", "conditional"):
        found.append(Refusal("base_licence", f"{name}: outputs {conditions.outputs}"))
    found += [Refusal("base_licence_unreviewed", part) for part in conditions.unreviewed]
    found += [
        Refusal("base_licence_threshold", f"{name}: {_limit_text(limit)}")
        for limit in conditions.limits
        if not _is_below(limit, declared)
    ]
    found += [
        Refusal("base_licence_registration", f"{name}: {licence}")
        for licence in conditions.registration
        if licence not in declared.registrations
    ]
    return found


def _is_below(limit: Limit, declared: Declared) -> bool:
    """Amounts in another currency say nothing: no exchange rate is guessed."""
    return any(
        (said.measure, said.currency) == (limit.measure, limit.currency)
        and 0 < said.below <= limit.amount
        for said in declared.amounts
    )


def _limit_text(limit: Limit) -> str:
    return f"{limit.measure} {limit.currency} {limit.amount:,} {limit.period}".replace("  ", " ")


@dataclass(frozen=True)
class Reason:
    """A refusal, and the part whose facts gave it."""

    part: Part
    refusal: Refusal


def reasons(parts: Sequence[Part], terms: Terms, declared: Declared) -> list[Reason]:
    """The refusals of the whole, each with the part that it comes from."""
    found = []
    for part in parts:
        alone = combine([part])
        found += [
            Reason(part, refusal)
            for refusal in refusals(
                alone.conditions,
                name=part.name,
                commercial=alone.may_be_commercial,
                terms=terms,
                declared=declared,
            )
        ]
    return found


def duties(conditions: Conditions) -> list[str]:
    """What whoever has the file must do or leave, as words: for the header of a delivered file."""
    words = [*conditions.derivative_terms, *conditions.field_of_use]
    words += [f"licence:{licence}" for licence in conditions.licences]
    words += [f"name_begins:{prefix}" for prefix in conditions.naming]
    if conditions.outputs != "yes":
        words.append(f"outputs:{conditions.outputs}")
    return [word.replace(" ", "_") for word in words]


def asked(conditions: Conditions, declared: Declared) -> Declared:
    """Of what a licensee declared, only what these conditions ask: the rest is nobody's business
    and does not enter the grant."""
    measures = {(limit.measure, limit.currency) for limit in conditions.limits}
    return Declared(
        amounts=_all(a for a in declared.amounts if (a.measure, a.currency) in measures),
        registrations=_all(set(declared.registrations) & set(conditions.registration)),
    )
