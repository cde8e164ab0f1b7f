"""The grant: the one object that every party signs.

Stage 3 of the flow. Its digest is the challenge of each approval, so talent, agency and copyright
holder sign the same bytes, and those bytes name the pictures (Merkle root), the base model, the
scope and the text that was read.

`grant_digest = SHA-256("kyodaku/grant/v1\\0" || JCS(grant))`. The context string separates a grant
from every other thing that could be hashed; RFC 8785 makes the bytes unique.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from registry.core import clearance as clearance_rules
from registry.core import clearance_words, licence_words, licences, wording
from registry.core.clearance import Clearances
from registry.core.licences import Conditions, Declared
from registry.core.payload import Payload
from registry.core.refusals import Refusal
from registry.core.terms import Terms
from registry.core.vocabulary import TEXT_LOCALES, TextLocale
from registry.log.core import canonical

FORMAT: Final = "kyodaku/grant/v1"
CAPACITIES: Final = (
    "talent",
    "guardian",
    "agency_officer",
    "photo_copyright",
    "work_rights",
    "bystander",
    "estate",
)


_WORDS: Final = (
    "grant_id",
    "request_id",
    "mode",
    "nonce",
    "created_at",
    "sign_by",
    "dataset_root",
    "curation_digest",
    "licensee",
    "fee_commitment",
)


@dataclass(frozen=True)
class Party(Payload):
    """Somebody whose approval is needed, in one capacity, with the keys they enrolled themselves.

    `subject` is the talent for whom an officer, guardian or estate speaks, or the party itself.
    `keys` are SHA-256 thumbprints (hex) of COSE public keys. `authority` is the id of the record
    that gives the power (a representation), empty for people who speak for themselves.
    """

    party_id: str
    by: str
    subject: str
    keys: tuple[str, ...]
    assurance: str
    authority: str = ""


@dataclass(frozen=True)
class BaseModel(Payload):
    """A base model as the grant names it: by digest, with the licence text's own digest.

    `revision` is the catalogue's record of the licence as it was read, `parts_sha256` commits to
    the facts of everything inside, `conditions` is what they ask together and `declared` what the
    licensee said for their sake. `commercial`: whether commercial use is possible at all.
    """

    sha256: str
    name: str
    licence_id: str
    licence_sha256: str
    commercial: bool
    revision: str = ""
    parts_sha256: str = ""
    conditions: Conditions = licences.NOTHING_ASKED
    declared: Declared = licences.NOTHING_DECLARED


@dataclass(frozen=True)
class RecipeLimits(Payload):
    """The most a run may do under the grant."""

    method: str = "lora"
    max_rank: int = 32
    max_steps: int = 4000
    max_resolution: int = 1024


# Members may only be appended; anything else needs "kyodaku/grant/v2". Every member is part of the
# bytes that were signed, so a grant without one of them is none.
@dataclass(frozen=True)
class Grant:
    """What people sign. All digests are lower-case hex, all times ISO 8601 in UTC."""

    grant_id: str
    request_id: str
    mode: str
    nonce: str
    created_at: str
    sign_by: str
    parties: tuple[Party, ...]
    dataset_root: str
    dataset_count: int
    dataset_bytes: int
    curation_digest: str
    base_models: tuple[BaseModel, ...]
    terms: Terms
    recipe_limits: RecipeLimits
    max_runs: int
    licensee: str
    fee_commitment: str
    text_sha256: Mapping[str, str]
    clearances: Clearances = field(default_factory=Clearances)

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that is canonicalised, hashed and signed."""
        return {
            "format": FORMAT,
            "grant_id": self.grant_id,
            "request_id": self.request_id,
            "mode": self.mode,
            "nonce": self.nonce,
            "created_at": self.created_at,
            "sign_by": self.sign_by,
            "parties": [{**vars(p), "keys": list(p.keys)} for p in self.parties],
            "dataset": {
                "alg": "rfc6962-sha256",
                "root": self.dataset_root,
                "count": self.dataset_count,
                "bytes": self.dataset_bytes,
            },
            "curation_digest": self.curation_digest,
            "base_models": [base.to_payload() for base in self.base_models],
            "terms": self.terms.to_payload(),
            "recipe_limits": dict(vars(self.recipe_limits)),
            "max_runs": self.max_runs,
            "licensee": self.licensee,
            "fee_commitment": self.fee_commitment,
            "text_sha256": dict(self.text_sha256),
            "clearances": self.clearances.to_payload(),
        }

    @classmethod
    def from_payload(cls, payload: Any) -> Grant:
        """Parse strictly. Raises `ValueError`: a member missing, unknown or of the wrong type."""
        if not isinstance(payload, dict) or payload.get("format") != FORMAT:
            raise ValueError("not a grant of format " + FORMAT)
        try:
            dataset = payload["dataset"]
            grant = cls(
                grant_id=payload["grant_id"],
                request_id=payload["request_id"],
                mode=payload["mode"],
                nonce=payload["nonce"],
                created_at=payload["created_at"],
                sign_by=payload["sign_by"],
                parties=tuple(Party.from_payload(party) for party in payload["parties"]),
                dataset_root=dataset["root"],
                dataset_count=dataset["count"],
                dataset_bytes=dataset["bytes"],
                curation_digest=payload["curation_digest"],
                base_models=tuple(BaseModel.from_payload(b) for b in payload["base_models"]),
                terms=Terms.from_payload(payload["terms"]),
                recipe_limits=RecipeLimits.from_payload(payload["recipe_limits"]),
                max_runs=payload["max_runs"],
                licensee=payload["licensee"],
                fee_commitment=payload["fee_commitment"],
                text_sha256=dict(payload["text_sha256"]),
                clearances=Clearances.from_payload(payload["clearances"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a grant: {error}") from error
        numbers = (grant.dataset_count, grant.dataset_bytes, grant.max_runs)
        words = [vars(grant)[name] for name in _WORDS]
        words += [word for pair in grant.text_sha256.items() for word in pair]
        typed = all(type(n) is int for n in numbers) and all(type(w) is str for w in words)
        # A member that the parser dropped would be signed but not enforced; `true` equals 1 here.
        if not typed or grant.to_payload() != payload:
            raise ValueError("not a grant: unknown or ill-typed member")
        # The digest of what was just found to be the same, so that it is not written out again.
        vars(grant)["_digest"] = canonical.digest(FORMAT, payload)
        return grant

    def canonical(self) -> bytes:
        """RFC 8785 bytes of the payload."""
        return canonical.dumps(self.to_payload())

    def digest(self) -> bytes:
        """The 32 bytes that every approval signs."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        # Every step of a verification asks for it, and a grant never changes.
        return canonical.digest(FORMAT, self.to_payload())

    def text(self, locale: TextLocale) -> str:
        """The human text, rendered again: the terms, the photographs' rights, the base's duties."""
        text = wording.render(
            self.terms, locale, pictures=self.dataset_count, max_runs=self.max_runs
        )
        rights = clearance_words.text(self.clearances, locale)
        return text + rights + _base_lines(self.base_models, locale)


def text_digests(
    grant_terms: Terms,
    *,
    pictures: int,
    max_runs: int,
    bases: tuple[BaseModel, ...] = (),
    clearances: Clearances,
) -> dict[str, str]:
    """`text_sha256` of a new grant: one digest per locale."""
    return {
        locale: wording.text_digest(
            wording.render(grant_terms, locale, pictures=pictures, max_runs=max_runs)
            + clearance_words.text(clearances, locale)
            + _base_lines(bases, locale)
        )
        for locale in TEXT_LOCALES
    }


def _base_lines(bases: tuple[BaseModel, ...], locale: str) -> str:
    """The duties that come from base models, under the terms; empty when there are none."""
    return "".join(
        f"{line}\n"
        for base in bases
        for line in licence_words.lines(base.name, base.conditions, locale)
    )


def check(grant: Grant, *, at: datetime) -> list[Refusal]:
    """What is wrong with a grant as such, whoever signed it; empty when it may be relied on.

    Checks the text digests, the term, the licence of every base model against the media asked for,
    that the parties needed for every grant are named, and that everybody whom the clearances of its
    photographs name is one of them.
    """
    refusals = []
    if set(grant.text_sha256) != set(TEXT_LOCALES):
        refusals.append(Refusal("approval_text_mismatch", "languages"))
    try:
        texts = {locale: wording.text_digest(grant.text(locale)) for locale in TEXT_LOCALES}
    except KeyError as error:
        return [*refusals, Refusal("approval_text_mismatch", f"{error} is no word of the terms")]
    refusals += [
        Refusal("approval_text_mismatch", locale)
        for locale, digest in texts.items()
        if grant.text_sha256.get(locale) != digest
    ]
    if at >= grant.terms.ends_at():
        refusals.append(Refusal("expired", grant.terms.end.isoformat()))
    refusals += base_licence_refusals(grant.base_models, grant.terms)
    capacities = {party.by for party in grant.parties}
    refusals += [
        Refusal(f"approval_missing:{wanted[0]}", "no such party in the grant")
        for wanted in (("talent", "estate"),)
        if not capacities.intersection(wanted)
    ]
    refusals += [
        Refusal("approval_missing:agency_officer", talent) for talent in _without_agency(grant)
    ]
    refusals += clearance_rules.check(grant.clearances, grant.parties, count=grant.dataset_count)
    return refusals


def _without_agency(grant: Grant) -> list[str]:
    """Talents for whom no officer signs. One without an agency says so herself (`self`).

    Talent by talent: that one of them is independent says nothing about the others.
    """
    spoken_for = {p.subject for p in grant.parties if p.by == "agency_officer"}
    return [
        p.subject
        for p in grant.parties
        if p.by in ("talent", "estate") and p.authority != "self" and p.subject not in spoken_for
    ]


def base_licence_refusals(bases: tuple[BaseModel, ...], terms: Terms) -> list[Refusal]:
    """Base models whose licences do not cover the terms; unknown counts as no."""
    if not bases:
        return [Refusal("base_licence", "no base model named")]
    return [
        refusal
        for base in bases
        for refusal in licences.refusals(
            base.conditions,
            name=f"{base.name}: {base.licence_id}",
            commercial=base.commercial,
            terms=terms,
            declared=base.declared,
        )
    ]
