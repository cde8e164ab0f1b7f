"""`kyodaku curate` and `kyodaku calibrate`: the gate's own look at a folder, on one's own computer.

Stage 5 without a server. The report written here is the one that people would sign: the same
rules, measures and digest. Nothing is sent anywhere, and no picture is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from registry.core.refusals import Locale, Refusal
from training.core import curation
from training.core.curation import Report, Sealable
from training.core.curation_sheet import Point, Sheet, sheet, word
from training.core.pictures import Picture
from training.desk.arguments import LOCALES
from training.desk.folder import Entry, read_folder
from training.services import curation_print

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.engines.base import FaceEngine

FORMAT: Final = "kyodaku/curation-desk/v1"
READY, OPEN, CANNOT = 0, 1, 2
_FEW: Final = 2
_FIFTH: Final = 5
_STYLES: Final = {"hard": "red", "review": "magenta", "soft": "yellow", "warn": "cyan"}
_SAID: Final = {
    "reading": ("写真を読み込み中", "Reading the pictures"),
    "looking": ("写真を確かめています", "Looking at the pictures"),
    "file": ("ファイル", "File"),
    "faces": ("顔", "Faces"),
    "points": ("指摘", "Points"),
    "written": ("書き出しました", "Written"),
    "bands": (
        "本人: {match} から / 弱い: {weak} から / 本人らしくない: {unlike} から(千分率)",
        "match from {match}, weak from {weak}, unlike from {unlike} (permille)",
    ),
    "rejects": (
        "本人を拒む誤り {errors}/{trials}(95% 区間 {low:.3%}–{high:.3%})",
        "false rejects {errors}/{trials} (95 % interval {low:.3%}–{high:.3%})",
    ),
    "accepts": (
        "他人を通す誤り {errors}/{trials}(95% 区間 {low:.3%}–{high:.3%})",
        "false accepts {errors}/{trials} (95 % interval {low:.3%}–{high:.3%})",
    ),
    "spread": (
        "試行は同じ人と写真を繰り返し使うため、実際の幅はこの区間より広くなります。",
        "Trials share people and pictures, so the truth is wider than these intervals.",
    ),
}


# --- curate ---------------------------------------------------------------------------------------


def curate(options: argparse.Namespace) -> int:
    """Survey a folder, print the table, write JSON, HTML and PDF.

    Exit code 0: every file is in the set, and it can be sealed; 1: something is to be settled; 2:
    the question could not be asked.
    """
    engine = _engine(options)
    if isinstance(engine, Refusal):
        return _cannot(options, engine)
    from training.engines import survey as surveying  # noqa: PLC0415

    try:
        with _bar(options, "reading") as told:
            entries = read_folder(options.folder, told=told)
            references = read_folder(options.references)
    except OSError as error:
        return _cannot(options, Refusal("folder_unreadable", str(error)))
    template = surveying.enrol(_pictures(references), engine)
    if isinstance(template, Refusal):
        return _cannot(options, template, _left(references))
    pictures = _pictures(entries)
    with _bar(options, "looking") as told:
        report = surveying.survey(pictures, template, engine, progress=told)
    names = dict(zip((item.id for item in report.pictures), _names(entries), strict=True))
    left = _left(entries) + [(f"references/{name}", why) for name, why in _left(references)]
    folder = options.out or Path(f"{options.folder.resolve().name}-curation")
    payload = _payload(report, names, left)
    drawn = {
        record.id: curation_print.miniature(picture.data, record)
        for picture, record in zip(pictures, report.pictures, strict=True)
    }
    _write(folder, report, names, left, payload, drawn)
    page = sheet(report, names, left, options.lang)
    if options.json:
        sys.stdout.write(json.dumps(payload, ensure_ascii=False) + "\n")
    else:
        _table(page, folder)
    return READY if payload["sealable"] and not left else OPEN


def _pictures(entries: Sequence[Entry]) -> list[Picture]:
    return [entry.made for entry in entries if isinstance(entry.made, Picture)]


def _names(entries: Sequence[Entry]) -> list[str]:
    return [entry.name for entry in entries if isinstance(entry.made, Picture)]


def _left(entries: Sequence[Entry]) -> list[tuple[str, Refusal]]:
    return [(entry.name, entry.made) for entry in entries if isinstance(entry.made, Refusal)]


def _payload(
    report: Report, names: Mapping[str, str], left: Sequence[tuple[str, Refusal]]
) -> dict[str, Any]:
    decided = curation.decide(report, report.acceptances)
    open_ = [] if isinstance(decided, Sealable) else decided
    return {
        "format": FORMAT,
        "sealable": isinstance(decided, Sealable),
        "digest": curation.report_digest(report).hex(),
        "files": dict(names),
        "refused": [{"file": name, **_said(why)} for name, why in left],
        "open": [_said(item) for item in open_],
        "report": curation.to_json(report),
    }


def _said(refusal: Refusal) -> dict[str, Any]:
    return {
        "code": refusal.code,
        "detail": refusal.detail,
        "sentence": {locale: refusal.sentence(locale) for locale in LOCALES},
        "next": {locale: refusal.next_step(locale) for locale in LOCALES},
    }


def _write(
    folder: Path,
    report: Report,
    names: Mapping[str, str],
    left: Sequence[tuple[str, Refusal]],
    payload: Mapping[str, Any],
    drawn: Mapping[str, bytes],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    machine = (json.dumps(payload, ensure_ascii=False, indent=1) + "\n").encode()
    (folder / "curation.json").write_bytes(machine)
    for locale in LOCALES:
        page = sheet(report, names, left, locale)
        html = curation_print.html(page, drawn)
        (folder / f"curation.{locale}.html").write_text(html, "utf-8")
        paper = curation_print.pdf(page, drawn, machine, datetime.now(UTC))
        (folder / f"curation.{locale}.pdf").write_bytes(paper)


def _table(page: Sheet, folder: Path) -> None:
    console = Console()
    table = Table(title=page.title, title_justify="left")
    for name in ("file", "faces", "points"):
        table.add_column(_word(name, page.locale), overflow="fold")
    for item in page.used:
        # What many pictures share is said once, below.
        own = [point for point in item.points if len(point.pictures) <= _FEW]
        marks = [f"[{_STYLES[p.kind]}]{p.label}[/] {p.text}" for p in own]
        faces = " / ".join(text for _, text in item.faces)
        table.add_row(_plain(item.name), faces, "\n".join(marks))
    for left in page.unused:
        table.add_row(_plain(left.name), "-", f"[red]{left.code}[/] {left.text} {left.next}")
    console.print(table)
    for meter in page.meters:
        console.print(f"  {meter.label}: {meter.value} ({meter.target})", highlight=False)
    for point, names in _together(page):
        where = f" ({_plain(', '.join(names))})" if names else ""
        line = f"  [{_STYLES[point.kind]}]{point.label}[/] {point.text}{where} {point.next}"
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"[{'green' if page.ready else 'red'}]{page.verdict}[/]", highlight=False)
    console.print(f"{_word('written', page.locale)}: {_plain(str(folder))}", highlight=False)


def _together(page: Sheet) -> list[tuple[Point, list[str]]]:
    """Each point once, with all the files that it is about."""
    found: dict[tuple[str, str], tuple[Point, list[str]]] = {}
    for point in page.points:
        names = found.setdefault((point.code, point.kind), (point, []))[1]
        names += [name for name in point.pictures if name not in names]
    return list(found.values())


def _plain(text: str) -> str:
    """A name as it is: no markup."""
    return _shown(text).replace("[", "\\[")


def _shown(text: str) -> str:
    """No control characters for the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


# --- calibrate ------------------------------------------------------------------------------------


def calibrate(options: argparse.Namespace) -> int:
    """Measure a pack's bands on labelled pictures and write the calibration file."""
    engine = _engine(options)
    if isinstance(engine, Refusal):
        return _cannot(options, engine)
    from training.engines import calibrate as calibration  # noqa: PLC0415

    try:
        folders = sorted(p for p in options.folder.iterdir() if p.is_dir() and not p.is_symlink())
        entries = {folder.name: read_folder(folder) for folder in folders}
    except OSError as error:
        return _cannot(options, Refusal("folder_unreadable", str(error)))
    people = {name: _pictures(some) for name, some in entries.items()}
    _say_left(
        options, [(f"{name}/{file}", why) for name in entries for file, why in _left(entries[name])]
    )
    with _bar(options, "looking") as told:
        made = calibration.calibrate(people, engine, told)
    if isinstance(made, Refusal):
        return _cannot(options, made)
    options.out.write_bytes(made.dump())
    if options.json:
        sys.stdout.write(made.dump().decode())
        return READY
    bands = {"match": made.match, "weak": made.weak, "unlike": made.unlike}
    lines = [_word("bands", options.lang).format(**bands)]
    for name, rate in (("rejects", made.false_rejects), ("accepts", made.false_accepts)):
        low, high = rate.low_ppm / 1e6, rate.high_ppm / 1e6
        line = _word(name, options.lang)
        lines.append(line.format(errors=rate.errors, trials=rate.trials, low=low, high=high))
    lines += [_word("spread", options.lang), f"{_word('written', options.lang)}: {options.out}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return READY


# --- small things ---------------------------------------------------------------------------------


def _engine(options: argparse.Namespace) -> FaceEngine | Refusal:
    """Loaded on first use: ONNX Runtime is large, and nobody who verifies a pack needs it."""
    try:
        from training.engines import insightface, pack  # noqa: PLC0415
    except ImportError as error:
        return Refusal("engine_missing", str(error))
    digest = options.pack_sha256 or pack.PACK_SHA256
    given = {"digest": digest, "scenery": options.scenery}
    if options.command == "calibrate":
        return insightface.open_uncalibrated(options.pack, **given)
    return insightface.open_engine(options.pack, calibration=options.calibration, **given)


@contextmanager
def _bar(options: argparse.Namespace, name: str) -> Iterator[Callable[[int, int], None]]:
    """How far it is, on standard error: the table and the JSON stay clean."""
    said = _word(name, options.lang)
    if not sys.stderr.isatty():  # a file or a pipe: a line every fifth picture
        yield lambda done, total: _line(said, done, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(said, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _line(said: str, done: int, total: int) -> None:
    if done % _FIFTH == 0 or done == total:
        sys.stderr.write(f"{said} {done}/{total}\n")
        sys.stderr.flush()


def _cannot(
    options: argparse.Namespace, why: Refusal, left: Sequence[tuple[str, Refusal]] = ()
) -> int:
    lang: Locale = options.lang
    if options.json:
        refused = [{"file": name, **_said(item)} for name, item in left]
        answer = {"format": FORMAT, "sealable": False, "open": [_said(why)], "refused": refused}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    _say_left(options, left)
    detail = f" ({why.detail})" if why.detail else ""
    sys.stderr.write(f"kyodaku: {why.code}{detail}: {why.sentence(lang)} {why.next_step(lang)}\n")
    return CANNOT


def _say_left(options: argparse.Namespace, left: Sequence[tuple[str, Refusal]]) -> None:
    """Files that could not be taken in, on standard error."""
    for name, item in left:
        said = f"{item.code} {item.sentence(options.lang)} {item.next_step(options.lang)}"
        sys.stderr.write(f"kyodaku: {_shown(name)}: {said}\n")


def _word(name: str, locale: Locale) -> str:
    return _SAID[name][0 if locale == "ja" else 1] if name in _SAID else word(name, locale)
