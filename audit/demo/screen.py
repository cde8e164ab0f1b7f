"""What the demonstration prints: stages, refusals, progress, in Japanese and English."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from registry.core.refusals import explain

STAGES = (
    ("学習申請", "training request"),
    ("承認", "clearance"),
    ("許諾とトークン", "grant and consent token"),
    ("ゲート", "gate"),
    ("選別と封印", "curation and sealing"),
    ("学習", "training"),
    ("電子透かし", "watermark"),
    ("納品", "delivery"),
    ("監査", "audit"),
)


class Screen:
    """A terminal, and what has been shown, for the summary at the end."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.refused: list[tuple[str, str]] = []

    def title(self, ja: str, en: str) -> None:
        """The heading of the whole run or of a part."""
        self.console.rule(f"[bold]{ja}[/]  {en}")

    def stage(self, number: int) -> None:
        """A stage begins."""
        ja, en = STAGES[number - 1]
        self.console.print(f"\n[bold blue]{number}. {ja}[/]  {en}")

    def say(self, ja: str, en: str) -> None:
        """One thing that happened."""
        self.console.print(f"   {ja}\n   [dim]{en}[/]")

    def refusal(self, code: str, where: str) -> None:
        """A planted "no" that was answered as it must be."""
        ja, en = explain(code, "ja"), explain(code, "en")
        self.refused.append((code, where))
        self.console.print(f"   [bold red]✗ {code}[/]  {where}")
        self.console.print(f"     {ja.what} {ja.next}")
        self.console.print(f"     [dim]{en.what} {en.next}[/]")

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A progress bar with the rate and the time left."""
        columns = (
            TextColumn("   " + label),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as bar:
            yield bar

    def table(self, title: str, heads: list[str], rows: list[list[str]]) -> None:
        """A table of facts."""
        table = Table(title=title, title_justify="left", box=None, show_header=any(heads))
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print()
        self.console.print(table)
