"""`manage.py party …`: an operator sets up people, organisations and their powers.

One subcommand an act, each one service. Prints one JSON object; a no is `{"refusal": …}` or
`{"problem": …}` on standard output and exit status 1. `--stdin` reads further options as a JSON
object from standard input, so that names and birth dates stand in no shell history.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from registry import selectors
from registry.core import parties as rules
from registry.core.parties import LegalName
from registry.core.refusals import CODES, Refusal
from registry.core.requests import jst_day
from registry.core.terms import Problem
from registry.models import (
    ContactPoint,
    Credential,
    Estate,
    Guardianship,
    Membership,
    Organisation,
    Person,
    Representation,
    RepresentationClaim,
    Talent,
)
from registry.services import (
    authority,
    blocks,
    contacts,
    erasure,
    identity,
    parties,
    people,
    seats,
)
from registry.services.authority import Proof

Given = Mapping[str, Any]


def _person(given: Given) -> Any:
    name = None
    if given["family"] or given["given"]:
        parts = ("family", "given", "family_kana", "given_kana", "romaji")
        name = LegalName(**{part: given[part] or "" for part in parts})
    with transaction.atomic():
        user = None
        if given["username"]:
            user = User.objects.create_user(given["username"], password=given["password"])
        row = parties.person_create(
            display_name=given["name"] or "",
            display_name_en=given["name_en"] or "",
            user=user,
            legal_name=name,
        )
        if isinstance(row, Problem):
            transaction.set_rollback(True)
        return row


def _talent(given: Given) -> Any:
    return parties.talent_create(
        person=_get(Person, given["person"]),
        birth_date=_day(given["birth_date"]),
        kana=given["kana"] or "",
        named_since=_day(given["begin"]),
    )


def _organisation(given: Given) -> Any:
    return parties.organisation_create(
        kind=given["kind"],
        name=given["name"] or "",
        name_en=given["name_en"] or "",
        delivery_recipient=given["recipient"] or "",
        domains=given["domain"] or (),
    )


def _delivery_key(given: Given) -> Any:
    return parties.delivery_key_set(
        organisation=_get(Organisation, given["organisation"]), recipient=given["recipient"] or ""
    )


def _member(given: Given) -> Any:
    return parties.membership_add(
        person=_get(Person, given["person"]),
        organisation=_get(Organisation, given["organisation"]),
        role=given["role"],
    )


def _member_end(given: Given) -> Any:
    row = _get(Membership, given["id"])
    return seats.membership_end(membership=row, ended_on=_day(given["end"]))


def _representation(given: Given) -> Any:
    return parties.representation_begin(
        talent=_get(Talent, given["talent"]),
        agency=_get(Organisation, given["organisation"]),
        begun_on=_needed(given, "begin"),
        ended_on=_day(given["end"]),
        powers=given["power"] or rules.REPRESENTATION_POWERS,
        exclusive=not given["beside_others"],
    )


def _representation_end(given: Given) -> Any:
    row = _get(Representation, given["id"])
    return parties.representation_end(representation=row, ended_on=_needed(given, "end"))


def _proof(given: Given) -> Proof:
    return Proof(
        kind=given["proof"] or "",
        sha256=given["sha256"] or "",
        checked_by=given["by"] or "",
        checked_on=jst_day(timezone.now()),
    )


def _guardian(given: Given) -> Any:
    return authority.guardian_begin(
        talent=_get(Talent, given["talent"]),
        person=_get(Person, given["person"]),
        begun_on=_needed(given, "begin"),
        proof=_proof(given),
        custodians=int(given["custodians"] or 1),
        relation=given["relation"] or "",
    )


def _guardian_end(given: Given) -> Any:
    row = _get(Guardianship, given["id"])
    return authority.guardian_end(guardianship=row, ended_on=_needed(given, "end"))


def _estate(given: Given) -> Any:
    return authority.estate_open(
        talent=_get(Talent, given["talent"]),
        person=_get(Person, given["person"]),
        begun_on=_needed(given, "begin"),
        proof=_proof(given),
    )


def _estate_end(given: Given) -> Any:
    row = _get(Estate, given["id"])
    return authority.estate_close(estate=row, ended_on=_needed(given, "end"))


def _claim_prove(given: Given) -> Any:
    return authority.claim_prove(
        claim=_get(RepresentationClaim, given["id"]),
        operator=given["by"] or "",
        proof_sha256=given["sha256"] or "",
    )


def _rename(given: Given) -> Any:
    return people.stage_name_change(
        talent=_get(Talent, given["talent"]),
        name=given["name"] or "",
        kana=given["kana"] or "",
        romaji=given["name_en"] or "",
        begun_on=_needed(given, "begin"),
    )


def _retire(given: Given) -> Any:
    row = _get(Talent, given["talent"])
    return people.talent_retire(talent=row, from_day=_needed(given, "begin"))


def _return(given: Given) -> Any:
    return people.talent_return(talent=_get(Talent, given["talent"]))


def _died(given: Given) -> Any:
    return people.talent_died(
        talent=_get(Talent, given["talent"]),
        died_on=_needed(given, "end"),
        proof_sha256=given["sha256"] or "",
    )


def _verify(given: Given) -> Any:
    common: dict[str, Any] = {
        "kind": given["proof"] or "",
        "checked_by": given["by"] or "",
        "document_sha256": given["sha256"] or "",
    }
    if given["organisation"]:
        row = _get(Organisation, given["organisation"])
        return identity.organisation_check(organisation=row, **common)
    person = _get(Person, given["person"])
    return identity.person_check(person=person, birth_date=_day(given["birth_date"]), **common)


def _age_doubt(given: Given) -> Any:
    return identity.age_doubt(talent=_get(Talent, given["talent"]), source="operator")


def _contact(given: Given) -> Any:
    return contacts.contact_add(
        person=_get(Person, given["person"]), kind=given["kind"], value=given["value"] or ""
    )


def _contact_verify(given: Given) -> Any:
    return contacts.contact_verify(contact=_get(ContactPoint, given["id"]))


def _key_retire(given: Given) -> Any:
    return parties.credential_retire(credential=_get(Credential, given["id"]))


def _erase(given: Given) -> Any:
    if not given["yes"]:
        raise CommandError("erasing cannot be undone: add --yes")
    return erasure.person_erase(person=_get(Person, given["person"]))


def _show(given: Given) -> Any:
    """Ids and states of one person; no birth date and no legal name."""
    person = _get(Person, given["person"])
    day = jst_day(timezone.now())
    shown: dict[str, Any] = {
        "id": person.id,
        "name": person.display_name,
        "erased": person.erased_at is not None,
        "roles": [
            {"id": row.id, "organisation": row.organisation_id, "role": row.role}
            for row in selectors.seats_on(day).filter(person=person).order_by("id")
        ],
        "keys": [row.id for row in selectors.credentials_of(person)],
        "contacts": [
            {"id": row.id, "kind": row.kind, "verified": row.verified_at is not None}
            for row in person.contacts.filter(replaced_at=None).order_by("added_at")
        ],
    }
    talent = Talent.objects.filter(person=person).first()
    if talent is not None:
        found = selectors.speakers_for(talent, day)
        shown["talent"] = {
            "id": talent.id,
            "minor": talent.is_minor(day),
            "age_proven": identity.age_is_proven(talent),
            "contact_risks": selectors.contact_risks_of(talent, day),
            "signs": [item.by for item in found if not isinstance(item, Refusal)],
            "missing": [item.code for item in found if isinstance(item, Refusal)],
            "claims": list(talent.claims.filter(state="open").values_list("id", flat=True)),
        }
    return shown


def _block(given: Given) -> Any:
    return blocks.organisation_block(
        organisation=_get(Organisation, given["organisation"]),
        cause=given["value"] or "",
        by=given["by"] or "",
    )


def _unblock(given: Given) -> Any:
    row = _get(Organisation, given["organisation"])
    if not blocks.organisation_unblock(organisation=row):
        return Refusal("wrong_state", "not blocked")
    return row


_ACTS: Final[Mapping[str, tuple[Callable[[Given], Any], str]]] = {
    "person": (_person, "a person: --name [--family --given …] [--username --password]"),
    "talent": (_talent, "a person as talent: --person --birth-date --kana"),
    "organisation": (_organisation, "an organisation: --kind --name [--recipient --domain]"),
    "delivery-key": (_delivery_key, "--organisation --recipient (what `kyodaku keygen` printed)"),
    "member": (_member, "a role: --person --organisation --role"),
    "member-end": (_member_end, "end a role: --id [--end]"),
    "representation": (_representation, "--talent --organisation --begin [--end --power]"),
    "representation-end": (_representation_end, "the last day: --id --end"),
    "guardian": (_guardian, "--talent --person --begin --proof --by [--sha256 --custodians]"),
    "guardian-end": (_guardian_end, "the last day: --id --end"),
    "estate": (_estate, "--talent --person --begin --proof --sha256 --by"),
    "estate-end": (_estate_end, "the last day: --id --end"),
    "claim-prove": (_claim_prove, "proof that settles a claim: --id --sha256 --by"),
    "rename": (_rename, "another stage name: --talent --name --kana --name-en --begin"),
    "retire": (_retire, "--talent --begin"),
    "return": (_return, "--talent"),
    "died": (_died, "--talent --end --sha256"),
    "verify": (_verify, "identity: --person or --organisation, --proof --by [--birth-date]"),
    "age-doubt": (_age_doubt, "--talent"),
    "block": (_block, "bar an organisation: --organisation --value CAUSE --by"),
    "unblock": (_unblock, "--organisation"),
    "contact": (_contact, "--person --kind mail|phone --value"),
    "contact-verify": (_contact_verify, "--id"),
    "key-retire": (_key_retire, "an approval key: --id"),
    "erase": (_erase, "a person's data, for ever: --person --yes"),
    "show": (_show, "--person"),
}
_OPTIONS: Final = (
    *("person", "talent", "organisation", "id", "name", "name_en", "family", "given"),
    *("family_kana", "given_kana", "romaji", "kana", "birth_date", "username", "password"),
    *("kind", "role", "recipient", "begin", "end", "proof", "sha256", "by", "custodians"),
    *("relation", "value"),
)


class Command(BaseCommand):
    """Everything about people that an operator does, without a shell into the program."""

    help = "Set up people, organisations and their powers; prints JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        """The act, and options by the names that the services use. Days are YYYY-MM-DD."""
        parser.add_argument("act", choices=sorted(_ACTS))
        for name in _OPTIONS:
            parser.add_argument("--" + name.replace("_", "-"))
        parser.add_argument("--domain", action="append")
        parser.add_argument("--power", action="append")
        parser.add_argument("--beside-others", action="store_true", help="not exclusive")
        parser.add_argument("--yes", action="store_true")
        parser.add_argument("--stdin", action="store_true", help="more options as a JSON object")
        parser.epilog = "; ".join(f"{act}: {text}" for act, (_, text) in _ACTS.items())

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, print it. Raises `CommandError` for input that no service takes."""
        if options["stdin"]:
            options |= _more(sys.stdin.read())
        try:
            found = _ACTS[options["act"]][0](options)
        except (ValueError, TypeError) as error:
            raise CommandError(str(error)) from error
        if isinstance(found, (Refusal, Problem)):
            self.stdout.write(_json(_no(found)))
            sys.exit(1)
        self.stdout.write(_json(_shown(found)))


def _more(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise CommandError("standard input is no JSON object") from error
    if not isinstance(given, dict) or not set(given) <= {*_OPTIONS, "domain", "power"}:
        raise CommandError("standard input holds an option that there is not")
    return given


def _no(found: Refusal | Problem) -> dict[str, Any]:
    if isinstance(found, Problem):
        return {"problem": found.field, "ja": found.ja, "en": found.en}
    texts = {lang: found.sentence(lang) for lang in ("ja", "en")} if found.kind in CODES else {}
    return {"refusal": found.code, "detail": found.detail, **texts}


def _shown(found: Any) -> dict[str, Any]:
    if isinstance(found, dict):
        return found
    if isinstance(found, list):
        return {"done": True, "ids": [row if isinstance(row, str) else row.pk for row in found]}
    return {"done": True, **({"id": found.pk} if isinstance(found, Model) else {})}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _get(kind: Any, pk: str | None) -> Any:
    row = kind.objects.filter(pk=pk or "").first()
    if row is None:
        raise CommandError(f"no {kind.__name__} {pk}")
    return row


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _needed(given: Given, name: str) -> date:
    day = _day(given[name])
    if day is None:
        raise CommandError(f"--{name} is needed, YYYY-MM-DD")
    return day
