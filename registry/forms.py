"""What people type into the pages. The words of problems come from the form, rules do not."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

REASON = forms.Textarea(attrs={"rows": 3})


class RefuseForm(forms.Form):
    """Declining: the reason is for the one who asked, and stays out of the log."""

    by = forms.CharField(max_length=16, widget=forms.HiddenInput)
    pressed = forms.BooleanField(required=False)
    share_reason = forms.BooleanField(required=False)
    reason = forms.CharField(
        max_length=2000,
        widget=REASON,
        error_messages={"required": _("Please write a reason, so that they know what to change.")},
    )


class DeclineForm(RefuseForm):
    """A talent or guardian declines: no reason is needed, ever."""

    reason = forms.CharField(max_length=2000, widget=REASON, required=False)


class WithdrawForm(forms.Form):
    """Withdrawing: no reason is needed, ever, and none is shown to anybody unless she says so."""

    pressed = forms.BooleanField(required=False)
    share_reason = forms.BooleanField(required=False)

    reason = forms.CharField(max_length=2000, widget=REASON, required=False)
