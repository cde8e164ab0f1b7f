"""Keys, powers of people over time, and a talent's stop, as the log tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from registry.core import approvals
from registry.log.replay import Event, Row, Rule
from registry.models import (
    Credential,
    EmergencyStop,
    Estate,
    Guardianship,
    Membership,
    Representation,
    RepresentationClaim,
    Talent,
)


class Credentials(Rule):
    """Keys with which people approve. `key` in the log is the COSE key's thumbprint."""

    table = "registry_credential"
    reads = frozenset({"credential.enrolled", "credential.retired"})

    def tell(self, event: Event) -> None:
        """Enrolled with an owner and a strength; retired once and for good."""
        key = event.data["credential_id"]
        if event.kind == "credential.retired":
            self.say(event, key, retired=True)
            return
        self.say(
            event,
            key,
            person=event.data["party_id"],
            thumbprint=event.data["key"],
            cose_key=event.data["key"],
            assurance=event.data["assurance"],
            enrolment_event=event.id,
            retired=False,
        )

    def rows(self) -> Iterator[Row]:
        """Every credential."""
        for row in Credential.objects.order_by("pk").iterator():
            yield Row(
                row.pk,
                row.pk,
                {
                    "person": row.person_id,
                    "thumbprint": row.thumbprint,
                    "cose_key": approvals.thumbprint(bytes(row.cose_key)),
                    "assurance": row.assurance,
                    "enrolment_event": row.enrolment_event,
                    "retired": row.retired_at is not None,
                },
            )


class Stops(Rule):
    """That a talent stopped everything of hers, and lifted it."""

    table = "registry_emergencystop"
    reads = frozenset({"talent.stopped", "talent.resumed"})

    def tell(self, event: Event) -> None:
        """Placed by her, open until she lifts all of hers."""
        talent = event.data["talent_id"]
        if event.kind == "talent.stopped":
            self.say(event, event.data["stop_id"], talent=talent, lifted=False)
            return
        for key, columns in self.told.items():
            if columns["talent"] == talent:
                self.say(event, key, lifted=True)

    def rows(self) -> Iterator[Row]:
        """Every stop."""
        for row in EmergencyStop.objects.order_by("pk").iterator():
            columns = {"talent": row.talent_id, "lifted": row.lifted_at is not None}
            yield Row(row.pk, row.pk, columns)


class Careers(Rule):
    """That a talent retired, came back or died, and on which day."""

    table = "registry_talent"
    reads = frozenset({"talent.retired", "talent.returned", "talent.died"})

    def tell(self, event: Event) -> None:
        """Retired from a day until she returns; a death stays."""
        key = event.data["talent_id"]
        if event.kind == "talent.died":
            self.say(event, key, died_on=event.data["day"])
        else:
            self.say(event, key, retired_from=event.data.get("day"))

    def rows(self) -> Iterator[Row]:
        """Those who retired or died, and those of whom the log says so."""
        for row in Talent.objects.order_by("pk").iterator():
            if row.retired_from or row.died_on or row.pk in self.told:
                columns = {
                    "retired_from": row.retired_from and row.retired_from.isoformat(),
                    "died_on": row.died_on and row.died_on.isoformat(),
                }
                yield Row(row.pk, row.pk, columns)


class Members(Rule):
    """Who acts for an organisation, in which role."""

    table = "registry_membership"
    reads = frozenset({"member.joined"})

    def tell(self, event: Event) -> None:
        """Joined; joining again changes nothing of these."""
        data = event.data
        self.say(
            event,
            data["member_id"],
            person=data["party_id"],
            organisation=data["organisation"],
            role=data["role"],
        )

    def rows(self) -> Iterator[Row]:
        """Every membership."""
        for row in Membership.objects.order_by("pk").iterator():
            columns = {
                "person": row.person_id,
                "organisation": row.organisation_id,
                "role": row.role,
            }
            yield Row(row.pk, row.pk, columns)


class Representations(Rule):
    """Which agency speaks for a talent, from and until which day."""

    table = "registry_representation"
    reads = frozenset({"representation.begun", "representation.ended"})

    def tell(self, event: Event) -> None:
        """Begun on a day; a last day is told when it is set later on."""
        data = event.data
        key, day = data["representation_id"], data["day"]
        if event.kind == "representation.ended":
            self.say(event, key, last_day=day)
            return
        self.say(event, key, talent=data["talent_id"], agency=data["agency"], first_day=day)

    def rows(self) -> Iterator[Row]:
        """Every representation."""
        for row in Representation.objects.order_by("pk").iterator():
            upper = row.period.upper
            last = None if upper is None else (upper - timedelta(days=1)).isoformat()
            columns = {
                "talent": row.talent_id,
                "agency": row.agency_id,
                "first_day": row.period.lower.isoformat(),
                "last_day": last,
            }
            yield Row(row.pk, row.pk, columns)


class Claims(Rule):
    """That a second agency claimed a talent, and how it was settled."""

    table = "registry_representationclaim"
    reads = frozenset({"representation.claimed", "representation.settled"})

    def tell(self, event: Event) -> None:
        """Filed once, settled once."""
        data = event.data
        names = ("talent_id", "agency", "against", "state")
        self.say(
            event, data["claim_id"], **{name.removesuffix("_id"): data[name] for name in names}
        )

    def rows(self) -> Iterator[Row]:
        """Every claim."""
        for row in RepresentationClaim.objects.order_by("pk").iterator():
            columns = {
                "talent": row.talent_id,
                "agency": row.agency_id,
                "against": row.against_id,
                "state": row.state,
            }
            yield Row(row.pk, row.pk, columns)


class Guardians(Rule):
    """Who speaks for a minor, by the hash of the proof."""

    table = "registry_guardianship"
    reads = frozenset({"guardian.appointed", "guardian.ended"})

    def tell(self, event: Event) -> None:
        """Appointed; ended once."""
        data = event.data
        if event.kind == "guardian.ended":
            self.say(event, data["guardian_id"], ended=True)
            return
        self.say(
            event,
            data["guardian_id"],
            talent=data["talent_id"],
            person=data["party_id"],
            proof_sha256=data["proof_sha256"],
            ended=False,
        )

    def rows(self) -> Iterator[Row]:
        """Every guardianship."""
        for row in Guardianship.objects.order_by("pk").iterator():
            columns = {
                "talent": row.talent_id,
                "person": row.person_id,
                "proof_sha256": row.proof_sha256,
                "ended": row.ended_on is not None,
            }
            yield Row(row.pk, row.pk, columns)


class Estates(Rule):
    """Who speaks for a talent who has died, by the hash of the proof."""

    table = "registry_estate"
    reads = frozenset({"estate.opened", "estate.closed"})

    def tell(self, event: Event) -> None:
        """Opened; closed once."""
        data = event.data
        if event.kind == "estate.closed":
            self.say(event, data["estate_id"], ended=True)
            return
        self.say(
            event,
            data["estate_id"],
            talent=data["talent_id"],
            person=data["party_id"],
            proof_sha256=data["proof_sha256"],
            ended=False,
        )

    def rows(self) -> Iterator[Row]:
        """Every estate's authority."""
        for row in Estate.objects.order_by("pk").iterator():
            columns = {
                "talent": row.talent_id,
                "person": row.person_id,
                "proof_sha256": row.proof_sha256,
                "ended": row.ended_on is not None,
            }
            yield Row(row.pk, row.pk, columns)
