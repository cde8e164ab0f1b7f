"""RFC 3161 time stamps: that a checkpoint existed at a time, in the words of somebody else.

Ground floor, pure. Trusts the pinned root certificates of a time-stamping authority; the response
may come from anybody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import rfc3161_client
from cryptography import x509

from registry.log.core.errors import VerificationError

QUERY_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
MAX_RESPONSE_BYTES: Final = 1 << 17


def request(note: str) -> rfc3161_client.TimeStampRequest:
    """Return a time-stamp request over the note's bytes: SHA-512, a nonce, certificates asked."""
    return rfc3161_client.TimestampRequestBuilder().data(note.encode()).build()


def verify(
    response: bytes,
    note: str,
    roots: Sequence[x509.Certificate],
    *,
    asked: rfc3161_client.TimeStampRequest | None = None,
) -> datetime:
    """Verify a stored or fresh response over a note and return the time that it attests, in UTC.

    (1) the response was granted and is well formed; (2) with `asked`, its nonce and policy are
    those of our request; (3) it is over this note; (4) its signature leads to one of the roots.
    Raises VerificationError `bad_timestamp`.
    """
    if len(response) > MAX_RESPONSE_BYTES:
        raise VerificationError("bad_timestamp", "response too long")
    builder = (
        rfc3161_client.VerifierBuilder()
        if asked is None
        else rfc3161_client.VerifierBuilder.from_request(asked)
    )
    try:
        for root in roots:
            builder = builder.add_root_certificate(root)
        decoded = rfc3161_client.decode_timestamp_response(response)
        builder.build().verify_message(decoded, note.encode())
        return decoded.tst_info.gen_time
    except (rfc3161_client.VerificationError, ValueError) as error:
        raise VerificationError("bad_timestamp", str(error)) from error
