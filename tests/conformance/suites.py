"""The vector families as functions, each returning a Result. Others register theirs in SUITES.

A deviation is a case where our verdict differs from the vector's. Each has a written reason here;
one without a reason is a failure.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from registry.log.core import canonical, keys, merkle
from registry.log.core.errors import VerificationError
from tests.conformance import vectors


@dataclass(frozen=True)
class Result:
    """What a family came to. `deviations` maps a case to its reason, `failures` names the rest."""

    name: str
    passed: int
    total: int
    deviations: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    # Cases whose input was changed before it was judged, each with its reason.
    adapted: Mapping[str, str] = field(default_factory=dict)


def judged(
    name: str, verdicts: Iterable[tuple[str, bool]], reasons: Mapping[str, str] | None = None
) -> Result:
    """Sum up (case, agrees with the vector); `reasons` explains the cases that may differ.

    A reason for a case that agrees, or that does not exist, is a failure as well: it is stale.
    """
    reasons = reasons or {}
    outcomes = dict(verdicts)
    differing = [case for case, agrees in outcomes.items() if not agrees]
    stale = [f"stale reason: {case}" for case in reasons if case not in differing]
    return Result(
        name=name,
        passed=len(outcomes) - len(differing),
        total=len(outcomes),
        deviations={case: reasons[case] for case in differing if case in reasons},
        failures=tuple([case for case in differing if case not in reasons] + stale),
    )


def accepts(check: Callable[..., object], *arguments: object) -> bool:
    """Return whether a `verify_...` function lets these arguments pass."""
    try:
        check(*arguments)
    except VerificationError:
        return False
    return True


# The vector is about equal sizes and an empty proof; its roots are a text of 12 bytes.
DONT_CARE = "consistency/additional/sizes-are-equal-one-and-proof-is-empty"


def merkle_proofs() -> Result:
    """transparency-dev/merkle: inclusion and consistency proofs, all of them.

    One gives roots that are no hashes. As it stands we refuse it, and that is checked; what it is
    about is then judged with 32-byte roots.
    """
    found = judged("merkle proofs", _merkle_verdicts())
    why = (
        "its roots are 12 bytes of text, which are refused as no SHA-256 hashes;"
        " judged with their SHA-256 in their place"
    )
    return replace(found, adapted={DONT_CARE: why})


def _merkle_verdicts() -> Iterable[tuple[str, bool]]:
    for name, case in vectors.merkle_files():
        proof = [vectors.unb64(item) for item in case["proof"] or []]
        if "leafIdx" in case:
            leaf, root = vectors.unb64(case["leafHash"]), vectors.unb64(case["root"])
            ok = accepts(
                merkle.verify_inclusion, case["leafIdx"], case["treeSize"], leaf, proof, root
            )
        else:
            ok = _consistent(name, case, proof)
        yield name, ok != case["wantErr"]


def _consistent(name: str, case: Mapping[str, Any], proof: list[bytes]) -> bool:
    sizes = case["size1"], case["size2"]
    roots = vectors.unb64(case["root1"]), vectors.unb64(case["root2"])
    if name == DONT_CARE:
        if accepts(merkle.verify_consistency, *sizes, *roots, proof):
            raise AssertionError("roots that are no hashes were taken")
        roots = sha256(roots[0]).digest(), sha256(roots[1]).digest()
    return accepts(merkle.verify_consistency, *sizes, *roots, proof)


def jcs() -> Result:
    """RFC 8785: read strictly, written canonically."""
    cases = vectors.jcs_cases()
    verdicts = (
        (name, canonical.dumps(canonical.loads(given)) == expected)
        for name, given, expected in cases
    )
    return judged("jcs", verdicts)


def wycheproof_ed25519() -> Result:
    """Wycheproof: Ed25519 verification through our own key loading."""
    verdicts = (
        (
            str(case["tcId"]),
            accepts(
                keys.verify_ed25519,
                bytes.fromhex(group["publicKey"]["pk"]),
                bytes.fromhex(case["sig"]),
                bytes.fromhex(case["msg"]),
            )
            == (case["result"] == "valid"),
        )
        for group, case in vectors.wycheproof("ed25519_test.json")
    )
    return judged("wycheproof ed25519", verdicts)


def wycheproof_mldsa44() -> Result:
    """Wycheproof: ML-DSA-44 verification; cases with a context string are not ours to take."""
    cases = list(vectors.wycheproof("mldsa_44_verify_test.json"))
    verdicts = (
        (
            str(case["tcId"]),
            accepts(
                keys.verify_mldsa44,
                bytes.fromhex(group["publicKey"]),
                bytes.fromhex(case["sig"]),
                bytes.fromhex(case["msg"]),
            )
            == (case["result"] == "valid"),
        )
        for group, case in cases
    )
    reasons = {
        str(case["tcId"]): "signed under a context string; the log's is always empty"
        for _group, case in cases
        if case.get("ctx") and case["result"] == "valid"
    }
    return judged("wycheproof ml-dsa-44", verdicts, reasons)


# Each suite with the vector path it needs. Floors above add theirs here, as functions of no
# arguments that return a Result.
SUITES: list[tuple[str, Callable[[], Result]]] = [
    ("merkle", merkle_proofs),
    ("jcs", jcs),
    ("wycheproof/ed25519_test.json", wycheproof_ed25519),
    ("wycheproof/mldsa_44_verify_test.json", wycheproof_mldsa44),
]
