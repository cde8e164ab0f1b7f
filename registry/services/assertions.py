"""Asking a person's key for a yes, and reading its answer, where more than an approval is signed.

Stage 2 and later: letting a paused grant go on, approving outputs. What is signed is the caller's
32 bytes; whose key it is and that it may sign today is decided here. A session alone says no; it
never says yes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from webauthn import generate_authentication_options, options_to_json
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from registry import selectors
from registry.core import approvals as rules
from registry.core.ids import new_id
from registry.core.refusals import Refusal
from registry.log.core import canonical
from registry.log.core.errors import VerificationError
from registry.models import Challenge, Credential, Person
from registry.services import keyring


def keys_of(person: Person, at: datetime) -> list[Credential]:
    """The keys with which a person may say yes now: waited for, and no test key in live mode."""
    keys = selectors.signing_keys(person, at)
    if settings.KYODAKU_MODE != "test":
        keys = [key for key in keys if key.assurance != rules.TEST_ASSURANCE]
    return keys


def asked(challenge: Challenge, value: bytes, at: datetime) -> dict[str, Any] | Refusal:
    """Store the challenge and answer `{challenge_id, options}` for `navigator.credentials.get`.

    `value` is the 32 bytes to sign; they hold the challenge's id, so that nothing is signed early.
    `not_enrolled` when the person has no key that may sign.
    """
    keys = keys_of(challenge.person, at)
    if not keys:
        return Refusal("not_enrolled", challenge.by)
    challenge.value = value
    challenge.save(force_insert=True)
    options = generate_authentication_options(
        rp_id=settings.RP_ID,
        challenge=value,
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=bytes(key.credential_id)) for key in keys
        ],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return {"challenge_id": challenge.id, "options": json.loads(options_to_json(options))}


def answered(
    challenge: Challenge, response: Mapping[str, Any], at: datetime, *, prefix: str
) -> rules.Approval | Refusal:
    """The assertion over the challenge's value, if it verifies by a key of this person.

    In the shape of an approval whose `grant_digest` is the value that was signed; its id begins
    with `prefix`. `bad_signature`, `malformed`.
    """
    person = challenge.person
    try:
        parts = response["response"]
        raw_id = canonical.unb64u(response["rawId"])
        key = next((k for k in keys_of(person, at) if bytes(k.credential_id) == raw_id), None)
        if key is None:
            return Refusal("bad_signature", "no key of this person")
        assertion = rules.Approval.from_payload(
            {
                "format": rules.FORMAT,
                "approval_id": new_id(prefix),
                "by": challenge.by,
                "party_id": person.id,
                "grant_digest": bytes(challenge.value).hex(),
                "ticks": [],
                "nonce": challenge.id,
                "asserted_at": at.astimezone(UTC).isoformat(timespec="seconds"),
                "credential_id": canonical.b64u(raw_id),
                "cose_key": canonical.b64u(bytes(key.cose_key)),
                "authenticator_data": parts["authenticatorData"],
                "client_data_json": parts["clientDataJSON"],
                "signature": parts["signature"],
            }
        )
        rules.verify_assertion(assertion, bytes(challenge.value), keyring.trust_root())
    except VerificationError as error:
        return Refusal("malformed" if error.code == "bad_base64" else error.code, error.detail)
    except (KeyError, TypeError, ValueError) as error:
        return Refusal("malformed", f"assertion: {type(error).__name__}")
    return assertion
