"""The test world: alice is a talent, bob signs for her agency, charlie asks, mallory may nothing.

Each has a software authenticator and goes through the real services. The fixtures `world` and
`live` in `tests/services/conftest.py` make it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone

from registry import selectors
from registry.core.authenticator import SoftAuthenticator
from registry.core.licences import Facts
from registry.core.refusals import Refusal
from registry.core.rights import PictureRights, Sheet
from registry.core.terms import Terms, explicit_items
from registry.core.tokens import RunRequest
from registry.log import sequencer
from registry.log.models import Entry, Outbox
from registry.models import (
    Approval,
    Grant,
    Guardianship,
    ModelRecord,
    Organisation,
    Person,
    Talent,
    TrainingRequest,
)
from registry.services import (
    approvals,
    authority,
    catalogue,
    identity,
    parties,
    requests,
    resume,
    rights,
    tokens,
)
from registry.services.authority import Proof

ORIGIN = settings.PUBLIC_URL
RUN = RunRequest(method="lora", rank=8, steps=160, resolution=32, max_runtime_s=3600)
RECIPE = {"method": "lora", "rank": 8, "steps": 160, "resolution": 32}
AUDIENCE = "pool:default"
JOB = "job_0123456789abcdef0123"
JKT = "k" * 43


@dataclass
class Human:
    """A person, their authenticator, and their login-free self."""

    person: Person
    soft: SoftAuthenticator

    def enrol(self) -> Any:
        """Enrol their key as their own device would."""
        begun = parties.credential_enrol_begin(person=self.person)
        answer = self.soft.register(begun["options"], ORIGIN)
        return parties.credential_enrol_finish(
            person=self.person, challenge_id=begun["challenge_id"], response=answer
        )

    def approve(
        self, grant: Grant, by: str, *, soft: SoftAuthenticator | None = None, **how: Any
    ) -> Any:
        """Approve, with every tick set that the terms need; `soft` lets somebody else's device
        answer in this person's place, `how` goes to `approval_begin`."""
        ticks = explicit_items(selectors.core_grant(grant).terms)
        begun = approvals.approval_begin(
            person=self.person, grant=grant, by=by, **({"ticks": ticks} | how)
        )
        if isinstance(begun, Refusal):
            return begun
        options = begun["options"] | ({"allowCredentials": []} if soft else {})
        answer = (soft or self.soft).approve(options, ORIGIN)
        return approvals.approval_finish(
            person=self.person,
            challenge_id=begun["challenge_id"],
            response=answer,
            **({"at": how["at"]} if "at" in how else {}),
        )

    def confirm(self, grant: Grant, *, soft: SoftAuthenticator | None = None, **how: Any) -> Any:
        """Let a paused grant go on, with this person's key or somebody else's device."""
        begun = resume.confirm_begin(person=self.person, grant=grant, **how)
        if isinstance(begun, Refusal):
            return begun
        options = begun["options"] | ({"allowCredentials": []} if soft else {})
        answer = (soft or self.soft).approve(options, ORIGIN)
        return resume.confirm_finish(
            person=self.person, challenge_id=begun["challenge_id"], response=answer, **how
        )


def human(name: str) -> Human:
    """A new person; the seed is their name."""
    person = parties.person_create(display_name=name)
    assert isinstance(person, Person), person
    return Human(person, SoftAuthenticator(name.encode() * 8))


def organisation(kind: str, name: str, **changes: Any) -> Organisation:
    """An organisation whose identity was checked: it may file requests."""
    row = parties.organisation_create(kind=kind, name=name, **changes)
    assert isinstance(row, Organisation), row
    identity.organisation_check(organisation=row, kind="company_register", checked_by="operator")
    return row


def proof(kind: str) -> Proof:
    """A document that an operator looked at, long ago."""
    return Proof(kind, hashlib.sha256(kind.encode()).hexdigest(), "operator", date(2020, 1, 1))


def guard(talent: Talent, person: Person, **changes: Any) -> Guardianship:
    """Make somebody the guardian of a talent, with a proof that was checked."""
    values: dict[str, Any] = {"begun_on": date(2020, 1, 1), "proof": proof("family_register")}
    return authority.guardian_begin(talent=talent, person=person, **(values | changes))


@dataclass
class World:
    """Everybody and everything that a request needs."""

    alice: Human
    bob: Human
    charlie: Human
    mallory: Human
    talent: Talent
    agency: Organisation
    studio: Organisation
    client: Organisation
    base: ModelRecord

    def terms(self, **changes: Any) -> Terms:
        """Terms that nobody objects to."""
        today = timezone.localdate()
        values: dict[str, Any] = {
            "media": ("photobook_ebook",),
            "client": "Kadoma Press",
            "product": "spring photobook",
            "territory": ("JP",),
            "start": today,
            "end": today + timedelta(days=90),
            "purpose": "pictures for one e-photobook",
            "fee_jpy": 0,
            "replaces_booked_shoot": False,
        }
        return Terms(**(values | changes))

    def submit(self, **changes: Any) -> Any:
        """File charlie's request."""
        values: dict[str, Any] = {
            "by": self.charlie.person,
            "requester": self.studio,
            "licensee": self.client,
            "talents": [self.talent],
            "copyright_holder": self.charlie.person,
            "base_model": self.base,
            "terms": self.terms(),
            "recipe": RECIPE,
            "max_runs": 1,
            "sign_by": timezone.now() + timedelta(days=7),
        }
        return requests.request_submit(**(values | changes))

    def request(self, **changes: Any) -> TrainingRequest:
        """A request that was accepted."""
        request = self.submit(**changes)
        assert isinstance(request, TrainingRequest), request
        return request

    def sheet(self, request: TrainingRequest, **changes: Any) -> Sheet:
        """The rights of 15 photographs: charlie's own, each showing every talent of the request."""
        rights.holder_of(person=self.charlie.person)
        values: dict[str, Any] = {
            "talents": tuple(sorted(request.talents.values_list("id", flat=True))),
            "holder": self.charlie.person.id,
            "basis": "owner",
            "moral_rights": True,
            "shoot": "sht_1",
        }
        rows = [
            PictureRights(id=f"p{n:03d}", file_sha256=f"{n:064x}", **(values | changes))
            for n in range(1, 16)
        ]
        return Sheet(tuple(rows))

    def seal(
        self, request: TrainingRequest, root: str = "ab" * 32, sheet: Sheet | None = None
    ) -> Any:
        """What training calls once the pictures are sealed."""
        return requests.request_seal_dataset(
            request=request,
            dataset_root=root,
            count=15,
            bytes=10_000,
            curation_digest="cd" * 32,
            rights=sheet or self.sheet(request),
        )

    def asked(self, **changes: Any) -> Grant:
        """A grant that waits for signatures."""
        grant = self.seal(self.request(**changes))
        assert isinstance(grant, Grant), grant
        return grant

    def signers(self) -> list[tuple[Human, str]]:
        """Who must sign, in which capacity."""
        return [
            (self.alice, "talent"),
            (self.bob, "agency_officer"),
            (self.charlie, "photo_copyright"),
        ]

    def made(self, **changes: Any) -> Grant:
        """A grant that everybody signed."""
        grant = self.asked(**changes)
        for who, by in self.signers():
            given = who.approve(grant, by)
            assert isinstance(given, Approval), given
        grant.refresh_from_db()
        return grant

    def mint(self, grant: Grant, **changes: Any) -> Any:
        """Ask for a token, with everything so far under a signed checkpoint."""
        sequence()
        values: dict[str, Any] = {"job_id": JOB, "jkt": JKT, "run": RUN, "audience": AUDIENCE}
        return tokens.token_mint(grant=grant, **(values | changes))


def sequence() -> None:
    """Put everything appended so far under a signed checkpoint."""
    while sequencer.sequence_once(sequencer.load_signers()):
        continue


def make_world() -> World:
    """alice, bob, charlie and mallory, with an agency, a studio, a client and a base model."""
    alice, bob, charlie, mallory = map(human, ("alice", "bob", "charlie", "mallory"))
    for who in (alice, bob, charlie, mallory):
        assert not isinstance(who.enrol(), Refusal)
    agency = organisation("agency", "Hoshi Agency")
    studio = organisation("studio", "Charlie Studio")
    client = organisation("client", "Kadoma Press")
    parties.membership_add(person=bob.person, organisation=agency, role="officer")
    parties.membership_add(person=charlie.person, organisation=studio, role="photographer")
    elsewhere = organisation("studio", "Mallory Works")
    parties.membership_add(person=mallory.person, organisation=elsewhere, role="officer")
    talent = parties.talent_create(person=alice.person, birth_date=date(1998, 4, 1))
    assert isinstance(talent, Talent), talent
    parties.representation_begin(talent=talent, agency=agency, begun_on=date(2020, 4, 1))
    base = catalogue.model_record(name="tiny-portraits", sha256="12" * 32, facts=free())
    return World(alice, bob, charlie, mallory, talent, agency, studio, client, base)


def free(**changes: Any) -> Facts:
    """Licence facts that ask nothing of anybody, but for the changes."""
    values: dict[str, Any] = {
        "licence_id": "CC0-1.0",
        "licence_sha256": catalogue.text_sha256("CC0 1.0 Universal"),
        "read_on": "2026-11-01",
        "commercial": "yes",
        "outputs": "yes",
        "confidence": "T",
        "source": "made by the project",
    }
    return Facts(**(values | changes))


def at_once(work: Callable[[], Any], times: int) -> list[Any]:
    """Run `work` in many threads released together; their results."""
    barrier, results = threading.Barrier(times), [None] * times

    def one(place: int) -> None:
        try:
            barrier.wait()
            results[place] = work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def log_types() -> list[str]:
    """The types of everything appended so far, sequenced or not."""
    rows = [bytes(row.payload) for row in Entry.objects.order_by("index")]
    rows += [bytes(row.payload) for row in Outbox.objects.order_by("seq")]
    return [json.loads(row)["type"] for row in rows]


def state(grant: Grant) -> str:
    """The grant's state in the database."""
    grant.refresh_from_db()
    return grant.state


def request_state(grant: Grant) -> str:
    """The request's state in the database."""
    return selectors.state_of(grant.request)


def at(days: int) -> datetime:
    """A moment that many days from now."""
    return timezone.now() + timedelta(days=days)
