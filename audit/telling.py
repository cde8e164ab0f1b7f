"""How `kyodaku` tells a verdict: steps, reasons, exit codes. Stage 9."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

from audit.verifier.steps import Step, StepError
from registry.core import refusals
from registry.core.refusals import Locale

OK, NO, CANNOT = 0, 1, 2
_BROKEN: Final = {
    "ja": "この手順の証明が成り立ちません。",
    "en": "The proof of this step does not hold.",
}
TEST: Final = {
    "ja": "テスト用の登録です。本番の許諾ではありません。",
    "en": "This is a test registration, not a live grant.",
}


def passed(step: Step, lang: Locale) -> str:
    """One line: a step that holds."""
    return f" {step.number:2} ✓ {step.name}: {step.sentence(lang)}"


def failure_lines(error: StepError, lang: Locale) -> list[str]:
    """What held, what did not, where and why."""
    where = f"     {error.reading}" if error.reading else f"     {', '.join(error.files)}"
    return [
        *(passed(step, lang) for step in error.done),
        f" {error.step:2} ✗ {error.name}: {error.failed.sentence(lang)}",
        f"{where}: {error.detail}",
        f"NOT VERIFIED step {error.step} ({error.name}): {error.code} {reason(error.code, lang)}",
    ]


def failure_payload(error: StepError) -> dict[str, Any]:
    """The same for machines."""
    done = [{"number": s.number, "name": s.name, "ok": True} for s in error.done]
    return {
        "verified": False,
        "step": error.step,
        "name": error.name,
        "code": error.code,
        "detail": error.detail,
        "files": list(error.files),
        "file": error.reading,
        "steps": [*done, {"number": error.step, "name": error.name, "ok": False}],
    }


def reason(code: str, lang: Locale) -> str:
    """The sentence of a code, or that the proof does not hold."""
    known = code.partition(":")[0] in refusals.CODES
    return refusals.explain(code, lang).what if known else _BROKEN[lang]


def tell(options: argparse.Namespace, payload: Mapping[str, Any], lines: Sequence[str]) -> None:
    """One JSON object with `--json`, else lines."""
    say([json.dumps(payload, ensure_ascii=False)] if options.json else lines)


def say(lines: Sequence[str]) -> None:
    """Lines to the standard output, as `shown` in its encoding."""
    _write(sys.stdout, lines)


def cannot(options: argparse.Namespace, why: str) -> int:
    """The question could not be asked; returns the exit code."""
    if options.json:
        tell(options, {"verified": False, "error": why}, [])
    _write(sys.stderr, [f"kyodaku: {why}"])
    return CANNOT


def shown(line: str, encoding: str = "utf-8") -> str:
    """A line as a terminal may have it: what is not printable, or not in the encoding, as JSON
    escapes it.

    Names and texts are a stranger's, who could else move the cursor and write our verdict himself;
    and a Japanese Windows has no tick in its files.
    """
    if _fits(line, encoding):
        return line
    return "".join(c if _fits(c, encoding) else json.dumps(c)[1:-1] for c in line)


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    # The wide space of Japanese text is no printable character to Python.
    return text.replace("\u3000", "").isprintable()


def _write(stream: TextIO, lines: Sequence[str]) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write("".join(f"{shown(line, encoding)}\n" for line in lines))
