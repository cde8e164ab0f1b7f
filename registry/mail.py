"""The mail backend of a registry that was given no mail server: it fails, and says so.

Not a stage. The row of the message then reads `failed`, where a backend that swallowed it would
have read `sent`.
"""

from __future__ import annotations

import smtplib
from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class NoMail(BaseEmailBackend):
    """Hands nothing over."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Raises `SMTPException`, always."""
        raise smtplib.SMTPException("no mail server is set: KYODAKU_EMAIL_URL")
