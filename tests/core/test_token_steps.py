"""Every numbered step of the verification is held by the corpus: without it, something passes.

Each function below numbers its steps in its docstring and marks them `# (n)` in its code. Here the
step's statements are taken out of the function, in memory, and the corpus is shown to what is left:
at least one refusal must no longer come, or come with another code. A value that later steps need
is then read without being verified.
"""

from __future__ import annotations

import ast
import base64
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import pytest

from registry.core import approvals, assertion, dpop, jose, tokens
from registry.core.grants import Grant, Party
from registry.log.core import checkpoint
from registry.log.core.errors import VerificationError
from tests.core import token_corpus
from tests.core.test_token_corpus import outcome
from tests.core.token_world import TRUST

MARK: Final = re.compile(r"^(\s*)#((?:\s*\(\d+\))+)")
NUMBER: Final = re.compile(r"\((\d+)\)")


def payload_of(token: str, *_: Any, **__: Any) -> dict[str, Any]:
    """A JWS's claims, unverified."""
    claims: dict[str, Any] = json.loads(_segment(token, 1))
    return claims


def header_of(token: str, **_: Any) -> dict[str, Any]:
    """A JWS's header, read as a careless reader would."""
    header: dict[str, Any] = json.loads(_segment(token, 0))
    return header


def _segment(token: str, number: int) -> bytes:
    text = token.split(".")[number]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def head_of(note: str, *_: Any) -> checkpoint.Checkpoint:
    """A checkpoint, its signatures not looked at."""
    return checkpoint.parse_body(checkpoint.parse_note(note)[0])


def any_party(approval: approvals.Approval, grant: Grant) -> Party:
    """Some party of the grant, whatever the approval says."""
    by_id = [p for p in grant.parties if p.party_id == approval.party_id]
    return (by_id or list(grant.parties))[0]


def show_approvals(case: token_corpus.Case) -> object:
    """A case's approvals alone, held against its grant."""
    shown = case.make()
    claims = tokens.Claims.from_payload(payload_of(shown["token"]))
    return approvals.verify_all(claims.approvals, claims.grant, shown.get("trust", TRUST))


@dataclass(frozen=True)
class Numbered:
    """A function whose steps are taken out; `readers` stand in for calls that verify and bind.

    `show` takes a case to the gate, or only to the part of it where nothing else stands behind the
    step: the log's enrolments hold some of what the approvals' own steps hold.
    """

    module: ModuleType
    name: str
    families: Mapping[int, tuple[str, ...]]
    readers: Mapping[str, Callable[..., Any]]
    show: Callable[[token_corpus.Case], object] = token_corpus.Case.show


FUNCTIONS: Final = (
    Numbered(
        tokens,
        "verify",
        {
            1: ("changed after signing", "signed by another key"),
            2: ("mode",),
            3: ("issuer", "audience", "job"),
            4: ("token expired", "token lives too long"),
            5: ("worker", "proof by another key"),
            6: ("grant changed, text kept", "grant: base licence"),
            7: ("approval by another's key", "approval client data"),
            8: ("status revoked", "status withdrawn"),
            9: ("checkpoint", "leaf"),
            10: ("enrolment", "enrolment too new"),
            11: ("run above the limits",),
        },
        {"jose.read": payload_of, "_head": head_of},
    ),
    Numbered(
        jose,
        "read",
        {
            1: ("segments",),
            2: ("header member extra", "header alg or typ", "header kid unknown"),
            3: ("changed after signing", "base64 spelling"),
            4: ("members reordered", "not canonical"),
        },
        {
            "signer_of": lambda token, **_: header_of(token)["kid"],
            "_verified": lambda token, _raw: _segment(token, 1),
            "_object": lambda data, *_: json.loads(data),
        },
    ),
    Numbered(
        approvals,
        "_verify",
        {
            1: ("approval of another grant",),
            2: ("approval in another's name",),
            3: ("approval by another's key",),
            4: ("test key in live mode",),
            5: ("approval client data",),
            6: ("approval authenticator data", "approval changed"),
            7: ("approval: no tick for name_use",),
        },
        {"_party": any_party},
        show_approvals,
    ),
    Numbered(
        approvals,
        "verify_all",
        {
            1: ("approval by another's key", "approval client data"),
            2: ("approval: one person twice",),
            3: ("approval missing: talent",),
        },
        {"_verify": lambda a, grant, _trust: (any_party(a, grant), a.approval_id)},
        show_approvals,
    ),
    Numbered(
        assertion,
        "verify",
        {
            1: ("approval authenticator data",),
            2: ("approval authenticator data",),
            3: ("approval authenticator data",),
            4: ("approval authenticator data",),
            5: ("approval changed", "approval key"),
        },
        {},
    ),
    Numbered(
        dpop,
        "verify",
        {
            1: ("proof form",),
            2: ("proof signature",),
            3: ("proof of another request",),
            4: ("proof old or early",),
            5: ("proof of another request",),
        },
        {"jose.verified_claims": payload_of},
    ),
)


class Without(ast.NodeTransformer):
    """Takes the statements of one step out of a function."""

    def __init__(self, number: int, source: str, readers: Mapping[str, Any]) -> None:
        self._number, self._readers = number, readers
        self._marks = [
            (place, len(found[1]), {int(n) for n in NUMBER.findall(found[2])})
            for place, line in enumerate(source.splitlines(), 1)
            if (found := MARK.match(line))
        ]
        self.taken = 0

    def visit(self, node: ast.AST) -> Any:
        """Leave a statement, drop it, or let it bind its value unverified."""
        if not isinstance(node, ast.stmt) or self._number not in self._steps_of(node):
            return self.generic_visit(node)
        if isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if called in self._readers:
                self.taken += 1
                node.value.func = ast.Name(f"_free_{called.replace('.', '_')}", ast.Load())
            return node
        if isinstance(node, ast.If | ast.For | ast.Expr) or (
            isinstance(node, ast.Try) and not _binds(node)
        ):
            self.taken += 1
            return ast.Pass()
        return node

    def _steps_of(self, node: ast.stmt) -> set[int]:
        """The numbers of the last mark above a statement, in the statement's own block."""
        above = [m for m in self._marks if m[0] < node.lineno]
        last = above[-1] if above else (0, -1, set())
        return last[2] if last[1] == node.col_offset else set()


def _binds(node: ast.stmt) -> bool:
    return any(isinstance(n, ast.Assign) for n in ast.walk(node))


def source_of(function: Numbered) -> str:
    """The function's source, as it stands in its file."""
    return textwrap.dedent(inspect.getsource(getattr(function.module, function.name)))


def without(function: Numbered, number: int) -> tuple[Callable[..., Any], int]:
    """The function without one step, and how many statements were taken out."""
    source = source_of(function)
    taker = Without(number, source, function.readers)
    tree = ast.fix_missing_locations(taker.visit(ast.parse(source)))
    free = {f"_free_{name.replace('.', '_')}": f for name, f in function.readers.items()}
    names = {**vars(function.module), **free}
    exec(compile(tree, f"<{function.name} without ({number})>", "exec"), names)  # noqa: S102
    return names[function.name], taker.taken


def steps() -> Iterator[Any]:
    """Every step of every function."""
    for function in FUNCTIONS:
        module = function.module.__name__.rpartition(".")[2]
        for number in function.families:
            yield pytest.param(function, number, id=f"{module}.{function.name} ({number})")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_the_steps_in_the_words_are_the_steps_in_the_code(function):
    source = source_of(function)
    marked = [
        n for line in source.splitlines() if (m := MARK.match(line)) for n in NUMBER.findall(m[2])
    ]
    assert {int(n) for n in marked} == set(function.families)
    words = inspect.getdoc(getattr(function.module, function.name)) or ""
    if function.name != "_verify":  # its words stand at `verify`
        assert [int(n) for n in NUMBER.findall(words)] == list(function.families)


@pytest.mark.parametrize(("function", "number"), list(steps()))
def test_without_a_step_the_corpus_finds_a_hole(function, number, monkeypatch):
    cases = [c for c in token_corpus.corpus() if c.family in function.families[number]]
    assert not [case.name for case in cases[:20] if passes(case, function)]
    weaker, taken = without(function, number)
    assert taken, "nothing of the step was found in the code"
    monkeypatch.setattr(function.module, function.name, weaker)
    assert any(passes(case, function) for case in cases), "no test would notice"


def passes(case: token_corpus.Case, function: Numbered) -> bool:
    """Whether a case gets through, or only fails later and for another reason."""
    try:
        function.show(case)
        return True
    except VerificationError as error:
        return error.code != case.code
    except Exception:  # noqa: BLE001  (what a later step trips over was let through by this one)
        return True


def test_with_every_step_in_place_the_same_machinery_changes_nothing(monkeypatch):
    """The control: a step number that no function has takes nothing out."""
    weaker, taken = without(FUNCTIONS[0], 99)
    monkeypatch.setattr(tokens, "verify", weaker)
    assert not taken
    sample = token_corpus.corpus()[::25]
    assert not [case.name for case in sample if outcome(case) != case.code]
