"""What the log tells of the registry's rows: the rules of `manage.py fsck` for this floor.

A new event type is named here, in a rule that reads it or in `SILENT`; a test holds that. What a
row derives (a digest of its payload, a key's thumbprint) is computed anew, never read.
"""

from __future__ import annotations

from typing import Final

from registry.log.replay import Rule
from registry.replay import consent, people, rights

# Events that say nothing of a row's content: a "no" that was given, what somebody declared of
# themselves, that a talent's own rules changed (which rules is nobody's business), that new terms
# will be asked for, that somebody looked at a document. A signature is void with its grant.
SILENT: Final = frozenset(
    {
        "log.origin_opened",
        "key.listed",
        "key.published",
        "key.rotated",
        "key.revoked",
        "request.refused",
        "token.refused",
        "wishes.changed",
        "request.amended",
        "approval.dismissed",
        "identity.checked",
        "recipient.changed",
        "organisation.blocked",
        "organisation.unblocked",
        "age.doubted",
        "age.settled",
        "member.left",
        "talent.renamed",
        "person.erased",
        "licensee.declared",
        "licensee.registered",
    }
)


def rules() -> list[Rule]:
    """This floor's rules, new each time: a rule keeps what it was told."""
    return [
        people.Credentials(),
        people.Members(),
        people.Representations(),
        people.Claims(),
        people.Guardians(),
        people.Estates(),
        people.Stops(),
        people.Careers(),
        consent.Requests(),
        consent.Grants(),
        consent.Lanes(),
        consent.Approvals(),
        consent.Confirmations(),
        consent.Tokens(),
        consent.KeyShares(),
        rights.Mandates(),
        rights.Works(),
        rights.Revisions(),
    ]
