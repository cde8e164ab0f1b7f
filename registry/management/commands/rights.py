"""`manage.py rights`: works, their holders, committees and mandates, for whoever operates."""

from __future__ import annotations

import hashlib
import json
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.core.refusals import Refusal
from registry.models import Organisation, Person, RightsHolder, Work
from registry.services import rights


class Command(BaseCommand):
    """`works` lists what was proposed; `confirm` says who holds a work; `committee`, `mandate`."""

    help = "Record who holds works and who signs for holders."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Four subcommands; ids are those that pages show (`per_…`, `org_…`, `wor_…`)."""
        tasks = parser.add_subparsers(dest="task", required=True)
        tasks.add_parser("works", help="works that nobody has confirmed yet")
        confirm = tasks.add_parser("confirm", help="record who holds a work")
        confirm.add_argument("work")
        confirm.add_argument("holders", nargs="+")
        confirm.add_argument("--by", required=True, help="login name of the operator")
        committee = tasks.add_parser("committee", help="a production committee of companies")
        committee.add_argument("organisation")
        committee.add_argument("members", nargs="+")
        mandate = tasks.add_parser("mandate", help="let one person sign for a holder")
        mandate.add_argument("holder")
        mandate.add_argument("person")
        mandate.add_argument("--proof", type=Path, required=True, help="the signed paper, a file")
        mandate.add_argument("--from", dest="begun_on", type=date.fromisoformat, required=True)
        mandate.add_argument("--until", dest="ended_on", type=date.fromisoformat)

    def handle(self, *_args: Any, **given: Any) -> None:
        """Do one task and print its result as one JSON object."""
        done = getattr(self, f"_{given['task']}")(given)
        if isinstance(done, Refusal):
            raise CommandError(f"{done.code}: {done.sentence('en')} {done.detail}")
        self.stdout.write(json.dumps(done, ensure_ascii=False))

    def _works(self, _given: dict[str, Any]) -> Any:
        rows = Work.objects.filter(confirmed_at__isnull=True).order_by("created_at", "id")
        return {"works": [{"id": w.id, "kind": w.kind, "title": w.title} for w in rows]}

    def _confirm(self, given: dict[str, Any]) -> Any:
        by = Person.objects.filter(user__username=given["by"], user__is_staff=True).first()
        if by is None:
            raise CommandError(f"{given['by']} does not operate the registry")
        holders = [_holder(text) for text in given["holders"]]
        done = rights.work_confirm(work=_row(Work, given["work"]), holders=holders, by=by)
        return done if isinstance(done, Refusal) else {"work": done.id}

    def _committee(self, given: dict[str, Any]) -> Any:
        row = rights.committee_form(
            organisation=_row(Organisation, given["organisation"]),
            members=[_row(Organisation, text) for text in given["members"]],
        )
        return {"holder": row.key}

    def _mandate(self, given: dict[str, Any]) -> Any:
        done = rights.mandate_give(
            holder=_holder(given["holder"]),
            person=_row(Person, given["person"]),
            proof_sha256=hashlib.sha256(given["proof"].read_bytes()).hexdigest(),
            begun_on=given["begun_on"],
            ended_on=given["ended_on"],
        )
        return done if isinstance(done, Refusal) else {"mandate": done.id}


def _row(kind: Any, text: str) -> Any:
    row = kind.objects.filter(pk=text).first()
    if row is None:
        raise CommandError(f"{text}: there is no such {kind.__name__.lower()}")
    return row


def _holder(text: str) -> RightsHolder:
    if text.startswith("org_"):
        return rights.holder_of(organisation=_row(Organisation, text))
    return rights.holder_of(person=_row(Person, text))
