"""A grant as an ODRL 2.2 Agreement, for partners' rights systems.

An export beside stage 3, never read back: the grant is the truth. ODRL's own rule fits ours, "what
is not permitted is prohibited" when the policy says so (`odrl:conflict` is `prohibit`). Sources:
W3C ODRL Information Model 2.2 and Vocabulary 2.2; our own words live under `kyo:`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from registry.core import vocabulary as words
from registry.core.grants import Grant
from registry.core.vocabulary import WORLDWIDE

CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"
PROFILE: Final = "urn:kyodaku:odrl:1"
# Members of DUTIES that ODRL's own vocabulary knows; the others are said in ours.
_ODRL_DUTIES: Final = {"credit": "attribute", "pay": "compensate", "destroy_at_end": "delete"}


def agreement(grant: Grant, *, issuer: str, state: str) -> dict[str, Any]:
    """The policy as JSON-LD. `state` is the grant's state as of now, e.g. `active`."""
    uid = f"{issuer}/grants/{grant.grant_id}"
    target = f"urn:kyodaku:dataset:{grant.dataset_root}"
    return {
        "@context": [CONTEXT, {"kyo": f"{PROFILE}#"}],
        "@type": "Agreement",
        "uid": uid,
        "profile": PROFILE,
        "conflict": "prohibit",
        "kyo:grantDigest": grant.digest().hex(),
        "kyo:state": state,
        "assigner": [
            {"@type": "Party", "uid": f"urn:kyodaku:{p.party_id}", "kyo:capacity": p.by}
            for p in grant.parties
        ],
        "assignee": {"@type": "Party", "uid": f"urn:kyodaku:{grant.licensee}"},
        "permission": [_training(grant, target), _use(grant, target)],
        "prohibition": _prohibitions(grant, target),
        "obligation": [_duty(word) for word in grant.terms.duties],
    }


def _training(grant: Grant, target: str) -> dict[str, Any]:
    limits = grant.recipe_limits
    return {
        "target": target,
        "action": "kyo:trainLora",
        "constraint": [
            *_term(grant),
            _constraint("count", "lteq", grant.max_runs),
            _constraint("kyo:baseModel", "isAnyOf", [b.sha256 for b in grant.base_models]),
            _constraint("kyo:rank", "lteq", limits.max_rank),
            _constraint("kyo:steps", "lteq", limits.max_steps),
            _constraint("kyo:resolution", "lteq", limits.max_resolution),
        ],
    }


def _use(grant: Grant, target: str) -> dict[str, Any]:
    terms = grant.terms
    place = [_constraint("spatial", "isAnyOf", [f"iso3166:{c}" for c in terms.territory])]
    if WORLDWIDE in terms.territory:
        place = []
    units = [_constraint("kyo:units", "lteq", terms.quantity)] if terms.quantity else []
    return {
        "target": target,
        "action": "kyo:useLikeness",
        "constraint": [
            *_term(grant),
            _constraint("purpose", "eq", terms.purpose),
            _constraint("media", "isAnyOf", _ours(terms.media)),
            _constraint("product", "eq", terms.product),
            *place,
            *units,
            _constraint("kyo:exposure", "lteq", f"kyo:{terms.exposure}"),
            _constraint(
                "kyo:transformation", "isAnyOf", [f"kyo:{w}" for w in terms.transformations]
            ),
            _constraint("kyo:likenessPart", "isAnyOf", [f"kyo:{w}" for w in terms.likeness_parts]),
        ],
    }


def _term(grant: Grant) -> list[dict[str, Any]]:
    terms = grant.terms
    return [
        _constraint("dateTime", "gteq", terms.starts_at().isoformat()),
        _constraint("dateTime", "lt", terms.ends_at().isoformat()),
    ]


def _constraint(left: str, operator: str, right: object) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def _prohibitions(grant: Grant, target: str) -> list[dict[str, Any]]:
    barred = [word for word in words.CATEGORIES if word not in grant.terms.categories]
    return [
        {"target": target, "action": "grantUse"},
        {
            "target": target,
            "action": "kyo:useLikeness",
            "constraint": [_constraint("kyo:category", "isAnyOf", _ours(barred))],
        },
    ]


def _ours(names: Iterable[str]) -> list[str]:
    return [f"kyo:{name}" for name in names]


def _duty(word: str) -> dict[str, Any]:
    return {"action": _ODRL_DUTIES.get(word, f"kyo:{word}")}
