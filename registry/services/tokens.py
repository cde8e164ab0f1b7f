"""Stage 3: consent tokens are minted, redeemed once, and listed with their status.

Minting needs the grant and the keys in the signed log; the token carries that proof, and every
approval, so that a worker believes the people and not this server.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from registry import selectors
from registry.core import authority, parties, status_list, tokens
from registry.core.approvals import Approval as CoreApproval
from registry.core.grants import Grant as CoreGrant
from registry.core.ids import new_id
from registry.core.refusals import Refusal
from registry.core.requests import jst_day
from registry.core.terms import check_person
from registry.log import selectors as log
from registry.log.append import append
from registry.log.models import Entry
from registry.models import Approval, Grant, Lane, Token
from registry.services import blocks, drift, keyring, welfare
from registry.services.grants import lock
from registry.services.requests import subject

# What a change of authority says at the gate; the others bar the talent by themselves.
_CAUSES: Final = {
    "representation": "representation_ended",
    "deceased": "approval_missing:estate",
    "guardian": "approval_missing:guardian",
    "came_of_age": "paused",
}
LOG_WAIT_S: Final = 10.0
WATERMARK_PROFILE: Final = "kyodaku-wm-2"
_ENDED: Final = {
    "paused": "paused",
    "withdrawn": "withdrawn",
    "revoked": "revoked",
    "superseded": "approval_replaced",
    "expired": "expired",
    "closed_out": "expired",
}
_STATUS_CODES: Final = {
    status_list.REVOKED: "revoked",
    status_list.PAUSED: "paused",
    status_list.WITHDRAWN: "withdrawn",
}


def status_uri() -> str:
    """The address of the one status list."""
    return f"{settings.PUBLIC_URL}/status/1"


def token_mint(
    *,
    grant: Grant,
    job_id: str,
    jkt: str,
    run: tokens.RunRequest,
    audience: str,
    at: datetime | None = None,
) -> Token | list[Refusal]:
    """Mint a token for one job on one worker key, or give every reason not to.

    (1) the grant holds, everybody signed, the run fits; (2) the grant and the enrolments are under
    a signed checkpoint; (3) nothing has changed meanwhile; (4) what is minted verifies as a worker
    will verify it; (5) the token is stored with its event. Call it outside a transaction: (2) waits
    for the log. Refusals are logged.
    """
    at = at or timezone.now()
    # (1)
    refusals = _reasons(grant.id, run, at)
    if refusals:
        return _refused(grant, job_id, refusals, at)
    # (2)
    approvals = selectors.approvals_of(grant)
    try:
        evidence = _evidence(Grant.objects.get(id=grant.id), approvals)
    except TimeoutError as error:
        return _refused(grant, job_id, [Refusal("registry_unreachable", str(error))], at)
    with transaction.atomic():
        # (3)
        row = lock(grant.id)
        refusals = _reasons(row.id, run, at)
        if not refusals:
            claims = _claims(row, approvals, evidence, run, (job_id, jkt, audience), at)
            return _issue(row, claims, at)
    return _refused(grant, job_id, refusals, at)


def _reasons(grant_id: str, run: tokens.RunRequest, at: datetime) -> list[Refusal]:
    grant = Grant.objects.get(id=grant_id)
    ended = _ended(grant)
    if ended:
        return [ended]
    core = selectors.core_grant(grant)
    given = {
        (row.lane.person_id, row.lane.by): CoreApproval.from_payload(row.payload)
        for row in selectors.approvals_of(grant)
    }
    refusals = tokens.may_mint(core, given, run, runs_used=grant.runs_used, at=at)
    refusals += _standing_refusals(grant, at)
    refusals += _finish_refusals(grant, run, at)
    refusals += _age_refusals(grant, core, at)
    refusals += drift.licence_refusals(grant, at=at)
    refusals += welfare.mint_refusals(grant.request.talents.all())
    barred = blocks.blocked(grant.request.licensee, grant.request.requester)
    refusals += [] if barred is None else [barred]
    refusals += _key_refusals(grant, at)
    if not refusals and grant.state != "active":
        refusals.append(Refusal("wrong_state", grant.state))
    return refusals


def _ended(grant: Grant) -> Refusal | None:
    if grant.state == "refused":
        lane = Lane.objects.filter(grant=grant, state=Lane.State.REFUSED).first()
        return Refusal(f"approval_refused:{lane.by if lane else ''}", grant.id)
    code = _ENDED.get(grant.state)
    return None if code is None else Refusal(code, grant.id)


def _standing_refusals(grant: Grant, at: datetime) -> list[Refusal]:
    """Nothing bars the talents today, and whoever gave their word still speaks for them.

    The sweep pauses such a grant; it is looked at again here because a sweep may be late.
    """
    standings = {row.talent_id: row for row in selectors.standings_of(grant, jst_day(at))}
    found = [item for row in standings.values() for item in parties.barred(row)]
    for reason, ref in authority.causes(selectors.bound_parties(grant), standings):
        code = _CAUSES.get(reason)
        if code is not None:
            found.append(Refusal(code, ref))
    return found


def _finish_refusals(grant: Grant, run: tokens.RunRequest, at: datetime) -> list[Refusal]:
    """Whatever is known to end before the run must: a representation, a guardianship, a licence.

    The term itself is part of the grant, and the worker holds the run to it.
    """
    finish = at + timedelta(seconds=run.max_runtime_s)
    if jst_day(finish) == jst_day(at):
        return []
    today = {*_standing_refusals(grant, at), *drift.licence_refusals(grant, at=at)}
    then = [*_standing_refusals(grant, finish), *drift.licence_refusals(grant, at=finish)]
    return [
        Refusal("ends_before_finish", f"{item.code} {item.detail}")
        for item in then
        if item not in today
    ]


def _age_refusals(grant: Grant, core: CoreGrant, at: datetime) -> list[Refusal]:
    """A minor's rules hold at every run, whoever signed."""
    guarded = {p.subject for p in selectors.bound_parties(grant) if p.by in ("guardian", "estate")}
    refusals = []
    for talent in grant.request.talents.order_by("id"):
        who = subject(talent, at)
        licensee = grant.request.licensee
        refusals += check_person(core.terms, minor=who.minor, adult_rated=licensee.adult_rated)
        if who.minor and not (who.has_guardian and talent.id in guarded):
            refusals.append(Refusal("approval_missing:guardian", talent.id))
    return refusals


def _key_refusals(grant: Grant, at: datetime) -> list[Refusal]:
    """A key that was enrolled a moment ago may be somebody else's; a worker would refuse it."""
    waited = at - timedelta(hours=settings.NEW_KEY_WAIT_HOURS)
    return [
        Refusal("key_too_new", row.lane.person_id)
        for row in selectors.approvals_of(grant)
        if row.credential.enrolled_at > waited
    ]


def _evidence(grant: Grant, approvals: list[Approval]) -> tokens.LogEvidence:
    """Wait until everything is under one signed checkpoint, and prove it. Raises `TimeoutError`."""
    made = log.wait_for(grant.made_event, LOG_WAIT_S)
    enrolled = {
        row.credential.thumbprint: log.wait_for(row.credential.enrolment_event, LOG_WAIT_S)
        for row in approvals
    }
    checkpoint = log.latest_checkpoint()
    if checkpoint is None:
        raise TimeoutError("the log has no signed checkpoint yet")
    return tokens.LogEvidence(
        checkpoint=checkpoint.note,
        grant=_leaf(made, checkpoint.size),
        enrolments={key: _leaf(entry, checkpoint.size) for key, entry in enrolled.items()},
    )


def _leaf(entry: Entry, size: int) -> tokens.Leaf:
    proof = tuple(node.hex() for node in log.inclusion(entry.index, size))
    return tokens.Leaf(index=entry.index, entry=bytes(entry.payload).decode(), proof=proof)


def _claims(
    grant: Grant,
    approvals: list[Approval],
    evidence: tokens.LogEvidence,
    run: tokens.RunRequest,
    bound: tuple[str, str, str],
    at: datetime,
) -> tokens.Claims:
    job_id, jkt, audience = bound
    now = int(at.timestamp())
    return tokens.Claims(
        issuer=settings.PUBLIC_URL,
        audience=audience,
        job_id=job_id,
        jti=new_id("tok"),
        issued_at=now,
        not_before=now,
        expires_at=now + tokens.LIFETIME_S,
        mode=settings.KYODAKU_MODE,
        jkt=jkt,
        grant=selectors.core_grant(grant),
        approvals=tuple(CoreApproval.from_payload(row.payload) for row in approvals),
        run=run,
        status_uri=status_uri(),
        status_index=_free_index(),
        log=evidence,
        watermark_profile=WATERMARK_PROFILE,
    )


def _free_index() -> int:
    """A random index, so that a list says nothing about how many tokens there are."""
    # One at a time may look for a free index; held until the transaction ends.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x6B79_6F64_7374_6174])
    taken = set(Token.objects.values_list("status_index", flat=True))
    if len(taken) >= status_list.CAPACITY:
        raise RuntimeError("the status list is full: open a second one")
    while (index := secrets.randbelow(status_list.CAPACITY)) in taken:
        continue
    return index


def _issue(grant: Grant, claims: tokens.Claims, at: datetime) -> Token:
    text = tokens.mint(claims, keyring.token_signer())
    # (4) A token that a worker would refuse must not leave: that would be our defect. Raises.
    tokens.verify(
        text,
        trust=keyring.trust_root(),
        audience=claims.audience,
        job_id=claims.job_id,
        jkt=claims.jkt,
        status_token=status_list_issue(at=at),
        at=at,
    )
    # (5)
    token = Token.objects.create(
        jti=claims.jti,
        grant=grant,
        job_id=claims.job_id,
        jkt=claims.jkt,
        text=text,
        status_index=claims.status_index,
        issued_at=at,
        expires_at=tokens.redeemable_until(claims),
    )
    append(
        "token.minted",
        {
            "jti": token.jti,
            "grant_id": grant.id,
            "grant_digest": grant.digest,
            "job_id": token.job_id,
            "jkt": token.jkt,
        },
        at=at,
    )
    return token


@transaction.atomic
def _refused(grant: Grant, job_id: str, refusals: list[Refusal], at: datetime) -> list[Refusal]:
    codes = [refusal.code for refusal in refusals]
    append("token.refused", {"grant_id": grant.id, "job_id": job_id, "codes": codes}, at=at)
    return refusals


class _NotGranted(Exception):
    """Undoes a redemption whose grant turned out not to hold."""


def token_redeem(*, jti: str, jkt: str, at: datetime | None = None) -> Token | Refusal:
    """Use up a token: exactly one presentation ever succeeds, every other one is `replayed`.

    (1) the grant's row is locked, as a withdrawal locks it; (2) one statement uses up the token,
    if it is unused, valid, alive and this worker's; (3) one statement takes a run of the grant, if
    it holds and has one left; (4) the log tells it. All of it, or nothing.
    """
    at = at or timezone.now()
    token = selectors.token_of(jti)
    if token is None:
        return Refusal("no_token", jti)
    try:
        with transaction.atomic():
            refusal = _redeem(token, jkt, at)
    except _NotGranted:
        refusal = _ended(Grant.objects.get(id=token.grant_id)) or Refusal("slots_used", jti)
    if refusal:
        return refusal
    token.refresh_from_db()
    return token


def _redeem(token: Token, jkt: str, at: datetime) -> Refusal | None:
    # (1)
    grant = lock(token.grant_id)
    max_runs = selectors.core_grant(grant).max_runs
    # (2)
    unused = Token.objects.filter(
        jti=token.jti,
        jkt=jkt,
        redeemed_at__isnull=True,
        status=status_list.VALID,
        expires_at__gt=at,
    )
    if unused.update(redeemed_at=at) != 1:
        return _why_not(token.jti, jkt, at)
    # (3)
    runs = Grant.objects.filter(id=grant.id, state="active", runs_used__lt=max_runs)
    if runs.update(runs_used=F("runs_used") + 1) != 1:
        raise _NotGranted
    # (4)
    append(
        "token.redeemed",
        {
            "jti": token.jti,
            "grant_id": grant.id,
            "grant_digest": grant.digest,
            "job_id": token.job_id,
            "jkt": jkt,
            "run": grant.runs_used + 1,
        },
        at=at,
    )
    # A crash here: rolled back, the token is unused. After the commit: it is used, whatever the
    # worker makes of it, and a new run needs a new token.
    return None


def _why_not(jti: str, jkt: str, at: datetime) -> Refusal:
    token = Token.objects.get(jti=jti)
    if token.jkt != jkt:
        return Refusal("wrong_worker", jti)
    if token.status in _STATUS_CODES:
        return Refusal(_STATUS_CODES[token.status], jti)
    if token.redeemed_at is not None:
        return Refusal("replayed", jti)
    return Refusal("expired", jti)


@transaction.atomic
def token_revoke(*, token: Token, at: datetime | None = None) -> bool:
    """Revoke one token for cause, redeemed or not; its run stops within a lease."""
    at = at or timezone.now()
    rows = Token.objects.filter(jti=token.jti, status__in=(status_list.VALID, status_list.PAUSED))
    if rows.update(status=status_list.REVOKED) != 1:
        return False
    append(
        "token.revoked",
        {"jti": token.jti, "grant_id": token.grant_id, "job_id": token.job_id},
        at=at,
    )
    return True


def status_list_issue(
    *, at: datetime | None = None, statuses: Mapping[str, int] | None = None
) -> str:
    """The signed list of every token's status as of now, good for `settings.STATUS_MAX_AGE`.

    `statuses` (by jti) takes the place of the rows' own for a list of an earlier moment: it is
    what the log told until then. Nobody but a reader of evidence takes a list of that age.
    """
    if statuses is None:
        rows = Token.objects.exclude(status=status_list.VALID)
        listed = dict(rows.values_list("status_index", "status"))
    else:
        held = Token.objects.filter(jti__in=statuses).values_list("jti", "status_index")
        listed = {index: statuses[jti] for jti, index in held}
    return status_list.sign(
        listed,
        uri=status_uri(),
        signer=keyring.status_signer(),
        at=at or timezone.now(),
        ttl_s=settings.STATUS_MAX_AGE,
    )
