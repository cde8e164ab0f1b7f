"""Translations compiled without gettext are those that gettext would have compiled."""

import gettext
import io
from pathlib import Path

import django
import pytest

from registry.local.messages import catalogues, compiled, parse

DJANGO_JA = Path(django.__file__).parent / "conf/locale/ja/LC_MESSAGES/django.po"


def catalogue(data):
    return vars(gettext.GNUTranslations(io.BytesIO(data)))["_catalog"]


def test_djangos_own_catalogue_compiles_to_what_gettext_made_of_it():
    ours = catalogue(compiled(parse(DJANGO_JA.read_text(encoding="utf-8"))))
    theirs = catalogue(DJANGO_JA.with_suffix(".mo").read_bytes())
    header = ""
    assert {**ours, header: None} == {**theirs, header: None}
    assert len(ours) > 300


def test_fuzzy_and_empty_translations_are_left_out():
    text = 'msgid "a"\nmsgstr "A"\n\n#, fuzzy\nmsgid "b"\nmsgstr "B"\n\nmsgid "c"\nmsgstr ""\n'
    assert parse(text) == {"a": "A"}


@pytest.mark.parametrize("text", ["hello", 'msgid "a\nmsgstr ""', "msgid 1\nmsgstr 2"])
def test_a_broken_catalogue_is_named_by_its_line(text):
    with pytest.raises(ValueError, match="line 1"):
        parse(text)


def test_every_committed_translation_is_compiled_afresh():
    stale = [
        str(po)
        for po in catalogues()
        if not po.with_suffix(".mo").exists()
        or po.with_suffix(".mo").read_bytes() != compiled(parse(po.read_text(encoding="utf-8")))
    ]
    assert stale == [], "run: make messages"
