"""What the photographer types about the rights of the pictures. Nothing is chosen beforehand."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.core import rights
from registry.core.refusals import Locale
from registry.core.vocabulary import EXPOSURE, label

_DAY = forms.DateInput(attrs={"type": "date"})


class RightsForm(forms.Form):
    """For the pictures that are ticked; a field left empty leaves what is on record."""

    shot_on = forms.DateField(required=False, widget=_DAY, label=_("Day of the shoot"))
    client = forms.CharField(required=False, max_length=200, label=_("Commissioned by"))
    purpose = forms.CharField(
        required=False, max_length=300, label=_("What its release allowed at the time")
    )
    holder = forms.ChoiceField(required=False, label=_("Copyright holder"))
    holder_id = forms.CharField(
        required=False, max_length=24, label=_("Another holder's registration (per_… or org_…)")
    )
    basis = forms.ChoiceField(required=False, label=_("On what the use rests"))
    moral_rights = forms.BooleanField(
        required=False,
        label=_("The author agrees to alteration and to how they are named (moral rights)"),
    )
    credit_line = forms.CharField(required=False, max_length=200, label=_("Credit line"))
    exposure = forms.ChoiceField(required=False, label=_("How much the picture shows"))
    operations = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label=_("Retouching done")
    )
    original_sha256 = forms.CharField(
        required=False, max_length=64, label=_("SHA-256 of the original file")
    )
    retoucher = forms.CharField(
        required=False, max_length=24, label=_("Retoucher's registration (per_…)")
    )
    work_kind = forms.ChoiceField(required=False, label=_("Shows"))
    work_title = forms.CharField(
        required=False, max_length=200, label=_("Title of the work, character or costume")
    )
    creator_note = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        label=_("Why the file names another maker"),
    )

    def __init__(self, *args: Any, holders: list[tuple[str, str]], locale: Locale, **kwargs: Any):
        super().__init__(*args, **kwargs)
        empty = [("", "—")]
        choices = {
            "holder": empty + holders,
            "basis": empty + _words(rights.BASES, locale),
            "exposure": empty + [(word, label("exposure", (word,), locale)) for word in EXPOSURE],
            "work_kind": empty + _words(rights.WORK_KINDS, locale),
            # Masking is done on this page and recorded by itself.
            "operations": [c for c in _words(rights.OPERATIONS, locale) if c[0] != "masking"],
        }
        for name, values in choices.items():
            field: Any = self.fields[name]
            field.choices = values

    def declared(self) -> dict[str, Any]:
        """What was filled in, as `declarations.declaration` takes it. Call it on a valid form."""
        given = self.cleaned_data
        names = ("basis", "credit_line", "original_sha256", "retoucher", "creator_note", "exposure")
        found = {name: given[name] for name in names if given[name]}
        if given["holder_id"] or given["holder"]:
            found["holder"] = given["holder_id"] or given["holder"]
        if given["shot_on"] or given["client"] or given["purpose"]:
            found["shoot"] = {name: given[name] for name in ("shot_on", "client", "purpose")}
        if given["moral_rights"]:
            found["moral_rights"] = True
        if given["operations"]:
            found["operations"] = given["operations"]
        if given["work_title"] or given["work_kind"]:
            found["works"] = [{"kind": given["work_kind"], "title": given["work_title"]}]
        return found


def _words(table: Any, locale: Locale) -> list[tuple[str, str]]:
    return [(word, rights.label(table, word, locale)) for word in table]
