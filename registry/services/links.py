"""Links in messages: they open, ask, refuse and withdraw, and never approve. Stage 2.

Mail scanners open every link and some send in every form they find. So opening changes nothing, and
a no by link needs the second page's form, sent in once, with the six digits typed from the message:
no scanner types them. Whoever can do more than that, a person with the message, may say no; only a
key says yes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from registry.core import cases, written
from registry.core.refusals import Refusal
from registry.models import AccessLink, Grant, Lane, Person, UsedForm
from registry.services import approvals, questions

LIVES: Final = timedelta(days=14)
FORM_LIVES: Final = timedelta(minutes=30)
MAX_WRONG_CODES: Final = 10
ACTIONS: Final = ("refuse", "withdraw", "ask")
_SALT: Final = "registry.links.form"


def link_make(*, person: Person, at: datetime) -> tuple[str, str]:
    """(address, six digits): the only copies that ever exist."""
    token, code = secrets.token_urlsafe(24), f"{secrets.randbelow(10**6):06d}"
    AccessLink.objects.create(
        person=person,
        digest=_digest(token),
        code_digest=_code_digest(token, code),
        created_at=at,
        expires_at=at + LIVES,
    )
    return f"{settings.PUBLIC_URL}/l/{token}", code


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _code_digest(token: str, code: str) -> str:
    return hmac.digest(token.encode(), code.encode(), "sha256").hex()


def link_find(token: str, *, at: datetime | None = None) -> AccessLink | Refusal | None:
    """The link; `link_expired` when it ended or took too many codes; None: there is none."""
    at = at or timezone.now()
    row = AccessLink.objects.select_related("person").filter(digest=_digest(token)).first()
    if row is not None and (row.expires_at <= at or row.wrong_codes >= MAX_WRONG_CODES):
        return Refusal("link_expired", row.id)
    return row


def form_token(link: AccessLink, grant_id: str, action: str) -> str:
    """What the second page's form carries: for this link, this grant and this act, once.

    Signed, not stored: making one changes nothing.
    """
    value = [link.id, grant_id, action, secrets.token_hex(16)]
    return signing.dumps(value, salt=_SALT)


@transaction.atomic
def act(
    *,
    token: str,
    grant: Grant,
    action: str,
    form: str,
    code: str,
    text: str = "",
    at: datetime | None = None,
) -> Refusal | None:
    """Refuse, withdraw or ask by link. (1) the link is alive; (2) the digits are the message's;
    (3) the form is this one, fresh, and used for the first time; (4) the act itself, in every
    capacity that the link's person has in this grant. None: it is done.
    """
    at = at or timezone.now()
    # (1)
    link = link_find(token, at=at)
    if not isinstance(link, AccessLink) or action not in ACTIONS:
        return link if isinstance(link, Refusal) else Refusal("link_expired", action)
    # (2)
    digits = written.plain(code).replace("-", "")
    if not hmac.compare_digest(_code_digest(token, digits), link.code_digest):
        # What a scanner sends in is no guess: only six digits count against the link.
        if len(digits) == 6 and digits.isdecimal():
            AccessLink.objects.filter(id=link.id).update(wrong_codes=F("wrong_codes") + 1)
        return Refusal("wrong_code", link.id)
    # (3)
    if not _use(form, link, grant.id, action):
        return Refusal("form_used", link.id)
    # (4)
    return _act(link.person, grant, action, text, at)


def _use(form: str, link: AccessLink, grant_id: str, action: str) -> bool:
    try:
        value = signing.loads(form, salt=_SALT, max_age=FORM_LIVES)
        if not isinstance(value, list) or value[:3] != [link.id, grant_id, action]:
            return False
        with transaction.atomic():
            UsedForm.objects.create(nonce=str(value[3]))
    except (signing.BadSignature, IntegrityError, IndexError):
        return False
    return True


def _act(person: Person, grant: Grant, action: str, text: str, at: datetime) -> Refusal | None:
    if action == "ask":
        return questions.question_ask(person=person, grant=grant, text=text, at=at)
    if action == "withdraw":
        return approvals.approval_withdraw(person=person, grant=grant, at=at)
    open_to_no = cases.sources(cases.LANE_STATES, "refused")
    lanes = Lane.objects.filter(grant=grant, person=person, state__in=open_to_no).order_by("by")
    capacities = list(dict.fromkeys(lanes.values_list("by", flat=True)))
    if not capacities:
        return Refusal("wrong_state", "not asked")
    return approvals.approval_refuse(person=person, grant=grant, by=capacities[0], at=at)
