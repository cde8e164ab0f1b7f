"""Signing in, with a limit to guessing by account and by address.

Not a stage: a login lets somebody read, ask, refuse and withdraw; only a passkey approves.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone

from registry.core.refusals import Refusal
from registry.services import throttle
from registry.services.throttle import LOGIN_ACCOUNT, LOGIN_ADDRESS
from registry.views.base import address, said


class LoginForm(AuthenticationForm):
    """Counts failures by account and by address; while one is used up, no password is looked at.

    A guess and the owner's own mistake are the same to us, so the owner waits too: for minutes,
    and told until when. `refusal` is what the page shows then.
    """

    username = forms.CharField(max_length=150)
    refusal: Refusal | None = None

    def clean(self) -> dict[str, Any]:
        """Check the limits, then the password; a success clears the account's count."""
        now = timezone.now()
        account = str(self.cleaned_data.get("username", "")).casefold()
        where = address(self.request) if self.request is not None else ""
        counts = ((LOGIN_ACCOUNT, account), (LOGIN_ADDRESS, where))
        for limit, who in counts:
            self.refusal = throttle.look(limit, who, at=now)
            if self.refusal is not None:
                raise ValidationError("", code="too_many")
        try:
            cleaned: dict[str, Any] = super().clean() or {}
        except ValidationError:
            for limit, who in counts:
                throttle.take(limit, who, at=now)
            raise
        throttle.forget(LOGIN_ACCOUNT, account)
        return cleaned


class Login(auth.LoginView):
    """The page; 429 with Retry-After while the limit is used up."""

    authentication_form = LoginForm
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Say what is wrong, or when to try again."""
        refusal = form.refusal if isinstance(form, LoginForm) else None
        if refusal is None:
            return super().form_invalid(form)
        minutes = (int(refusal.detail) + 59) // 60
        shown = {"form": form, "refused": said(refusal), "minutes": minutes}
        context = self.get_context_data(**shown)
        response = self.render_to_response(context, status=429)
        response.headers["Retry-After"] = refusal.detail
        return response
