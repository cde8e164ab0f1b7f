"""Requests, grants, lanes, approvals, tokens and key shares, as the log tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from registry.core import approvals, cases, grants, status_list
from registry.log.core import canonical
from registry.log.replay import Event, Row, Rule, derived
from registry.models import Approval, Confirmation, Grant, KeyShare, Lane, Token, TrainingRequest
from registry.services.grants import TOKEN_STATUS

# What an answer makes of a lane.
_ANSWERS: Final = {
    "approval.opened": "opened",
    "approval.undelivered": "unreachable",
    "approval.signed": "signed",
    "approval.refused": "refused",
    "approval.returned": "returned",
    "approval.countered": "countered",
    "approval.withdrawn": "withdrawn",
}


class Requests(Rule):
    """Who asked for what: the parties of a request. Its state follows from its grants."""

    table = "registry_trainingrequest"
    reads = frozenset({"request.submitted"})

    def tell(self, event: Event) -> None:
        """Submitted once, and never changed."""
        data = event.data
        self.say(
            event,
            data["request_id"],
            requester=data["requester"],
            licensee=data["licensee"],
            talents=tuple(data["talents"]),
            max_runs=data["max_runs"],
        )

    def rows(self) -> Iterator[Row]:
        """Every request that was submitted."""
        asked = TrainingRequest.objects.exclude(state="draft").prefetch_related("talents")
        for row in asked.order_by("pk"):
            yield Row(
                row.pk,
                row.pk,
                {
                    "requester": row.requester_id,
                    "licensee": row.licensee_id,
                    "talents": tuple(sorted(talent.pk for talent in row.talents.all())),
                    "max_runs": row.max_runs,
                },
            )


class Grants(Rule):
    """What people signed, its state, and how many runs were taken."""

    table = "registry_grant"
    reads = frozenset(
        {
            "grant.asked",
            "grant.made",
            "grant.paused",
            "grant.resumed",
            "grant.superseded",
            "grant.ended",
            "approval.returned",
            "approval.countered",
            "request.recalled",
            "token.redeemed",
        }
    )

    def tell(self, event: Event) -> None:
        """Its bytes are fixed when it is asked for; every change of its state is an event."""
        key, data = event.data["grant_id"], event.data
        if event.kind == "grant.asked":
            self._asked(event)
        elif event.kind == "token.redeemed":
            self.say(event, key, runs_used=data["run"])
        elif event.kind == "grant.made":
            self.say(event, key, state="active", made_event=event.id)
        elif event.kind in ("approval.returned", "approval.countered", "request.recalled"):
            self.say(event, key, state="returned")
        else:
            self.say(event, key, state=data.get("state") or event.kind.partition(".")[2])

    def _asked(self, event: Event) -> None:
        digest = event.data["grant_digest"]
        self.say(
            event,
            event.data["grant_id"],
            request=event.data["request_id"],
            digest=digest,
            canonical=digest,
            payload=digest,
            state="asking",
            made_event="",
            runs_used=0,
        )

    def rows(self) -> Iterator[Row]:
        """Every grant."""
        for row in Grant.objects.order_by("pk").iterator():
            yield Row(
                row.pk,
                row.pk,
                {
                    "request": row.request_id,
                    "digest": row.digest,
                    "canonical": derived(partial(_digest_of_bytes, bytes(row.canonical))),
                    "payload": derived(partial(_digest, grants.FORMAT, row.payload)),
                    "state": row.state,
                    "made_event": row.made_event,
                    "runs_used": row.runs_used,
                },
            )


class Lanes(Rule):
    """Who was asked, and what they said, along the state machine of `registry.core.cases`.

    One answer stands for every subject of a capacity, so a lane is known by grant, party, capacity.
    """

    table = "registry_lane"
    reads = frozenset({"grant.asked", "grant.superseded", "grant.ended", *_ANSWERS})

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[str, list[str]] = {}
        self._state: dict[str, str] = {}

    def tell(self, event: Event) -> None:
        """Asked, answered, and overtaken by what became of the grant."""
        data = event.data
        if event.kind == "grant.asked":
            keys = {_lane(data["grant_id"], row["party_id"], row["by"]) for row in data["parties"]}
            self._of[data["grant_id"]] = sorted(keys)
            for key in keys:
                self._set(event, key, "asked")
        elif event.kind in _ANSWERS:
            for key in self._answered(event):
                self._move(event, key, _ANSWERS[event.kind])
        else:
            self._overtaken(event)

    def _answered(self, event: Event) -> list[str]:
        """A withdrawal is of the person, in whichever capacity they may withdraw."""
        data, withdrawn = event.data, event.kind == "approval.withdrawn"
        capacities = cases.MAY_WITHDRAW if withdrawn else {data["by"]}
        return [_lane(data["grant_id"], data["party_id"], by) for by in sorted(capacities)]

    def _overtaken(self, event: Event) -> None:
        superseded = event.kind == "grant.superseded"
        state = "expired" if event.data.get("state") == "expired" else "dismissed"
        for key in self._of.get(event.data["grant_id"], ()):
            if superseded or self._state[key] in cases.PENDING:
                self._move(event, key, state)

    def _move(self, event: Event, key: str, state: str) -> None:
        if key in self._state and cases.may_move(cases.LANE_STATES, self._state[key], state):
            self._set(event, key, state)

    def _set(self, event: Event, key: str, state: str) -> None:
        """A message that did not arrive was about one of the lanes of this party."""
        before = self._state.get(key, state)
        self._state[key] = state
        either = frozenset({before, state}) if state == "unreachable" else state
        self.say(event, key, state=either)

    def rows(self) -> Iterator[Row]:
        """Every lane that was asked."""
        for row in Lane.objects.exclude(state=Lane.State.OPEN).order_by("pk").iterator():
            key = _lane(row.grant_id, row.person_id, row.by)
            yield Row(key, f"{row.pk} ({key})", {"state": row.state})


class Approvals(Rule):
    """Signatures, by the event that told of them: one may stand for several lanes."""

    table = "registry_approval"
    reads = frozenset({"approval.signed"})

    def tell(self, event: Event) -> None:
        """Stored whole, for ever."""
        data = event.data
        self.say(
            event,
            event.id,
            payload=data["approval_digest"],
            lane=_lane(data["grant_id"], data["party_id"], data["by"]),
            credential=data["key"],
        )

    def rows(self) -> Iterator[Row]:
        """Every signature."""
        signed = Approval.objects.select_related("lane", "credential").order_by("pk")
        for row in signed.iterator():
            yield Row(
                row.event,
                row.pk,
                {
                    "payload": derived(partial(_digest, approvals.FORMAT, row.payload)),
                    "lane": _lane(row.lane.grant_id, row.lane.person_id, row.lane.by),
                    "credential": row.credential.thumbprint,
                },
            )


class Confirmations(Rule):
    """Signatures that let a paused grant go on, by the event that told of them."""

    table = "registry_confirmation"
    reads = frozenset({"grant.confirmed"})

    def tell(self, event: Event) -> None:
        """Stored whole, for ever."""
        data = event.data
        self.say(
            event,
            event.id,
            payload=data["assertion_sha256"],
            lane=_lane(data["grant_id"], data["party_id"], data["by"]),
            subject=data["talent_id"],
        )

    def rows(self) -> Iterator[Row]:
        """Every confirmation."""
        for row in Confirmation.objects.order_by("pk").iterator():
            yield Row(
                row.event,
                row.pk,
                {
                    "payload": derived(partial(_digest, approvals.FORMAT, row.payload)),
                    "lane": _lane(row.grant_id, row.person_id, row.by),
                    "subject": row.subject,
                },
            )


class Tokens(Rule):
    """Consent tokens: for which job and key, used or not, and what the status list says."""

    table = "registry_token"
    reads = frozenset(
        {
            "token.minted",
            "token.redeemed",
            "token.revoked",
            "grant.paused",
            "grant.resumed",
            "grant.superseded",
            "grant.ended",
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[str, list[str]] = {}

    def tell(self, event: Event) -> None:
        """A grant's tokens follow it, as `registry.services.grants` has them follow."""
        data = event.data
        if event.kind == "token.minted":
            self._of.setdefault(data["grant_id"], []).append(data["jti"])
            self.say(
                event,
                data["jti"],
                grant=data["grant_id"],
                job=data["job_id"],
                jkt=data["jkt"],
                text=data["jti"],
                redeemed=False,
                status=status_list.VALID,
            )
        elif event.kind == "token.redeemed":
            self.say(event, data["jti"], redeemed=True)
        elif event.kind == "token.revoked":
            self.say(event, data["jti"], status=status_list.REVOKED)
        else:
            self._follow(event)

    def _follow(self, event: Event) -> None:
        state = event.data.get("state") or event.kind.partition(".")[2]
        final = {status_list.WITHDRAWN}
        if state in ("active", "paused"):
            final.add(status_list.REVOKED)
        for jti in self._of.get(event.data["grant_id"], ()):
            if self.said(jti, "status") not in final:
                self.say(event, jti, status=TOKEN_STATUS[state])

    def rows(self) -> Iterator[Row]:
        """Every token. Of its text only the id is held against the log; its signature is its own
        proof."""
        for row in Token.objects.order_by("pk").iterator():
            yield Row(
                row.pk,
                row.pk,
                {
                    "grant": row.grant_id,
                    "job": row.job_id,
                    "jkt": row.jkt,
                    "text": derived(partial(_jti, row.text)),
                    "redeemed": row.redeemed_at is not None,
                    "status": row.status,
                },
            )


class KeyShares(Rule):
    """Destroyed shares stay destroyed. Of the whole ones no event speaks."""

    table = "registry_keyshare"
    reads = frozenset({"keyshare.shredded"})

    def tell(self, event: Event) -> None:
        """Destroyed."""
        self.say(event, f"{event.data['talent_id']} {event.data['request_id']}", shredded=True)

    def rows(self) -> Iterator[Row]:
        """The destroyed ones, and those of which the log says that they were destroyed."""
        for row in KeyShare.objects.order_by("pk").iterator():
            key = f"{row.talent_id} {row.request_id}"
            if row.wrapped is None or key in self.told:
                yield Row(key, f"{row.pk} ({key})", {"shredded": row.wrapped is None})


def _lane(grant_id: str, party_id: str, by: str) -> str:
    return f"{grant_id} {party_id} {by}"


def _digest(context: str, value: object) -> str:
    return canonical.digest(context, value).hex()


def _digest_of_bytes(data: bytes) -> str:
    value = canonical.loads(data)
    # Another spelling of the same JSON is not what was hashed and signed.
    return _digest(grants.FORMAT, value) if canonical.dumps(value) == data else "other bytes"


def _jti(text: str) -> object:
    """The id in a token's claims, unverified: the token's signature is its own proof."""
    return canonical.loads(canonical.unb64u(text.split(".")[1]))["jti"]
