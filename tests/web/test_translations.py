"""Every word of the pages exists in Japanese, and the compiled catalogue is the written one."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.utils.translation.template import templatize

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "registry/locale/ja/LC_MESSAGES"
MARKERS = {"_", "gettext", "gettext_lazy"}
# What `templatize` makes of a template: gettext("…"), gettext(u'''…''') and _("…").
STRING = r"""(?:'''(?:[^'\\]|\\.|'(?!''))*'''|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
IN_TEMPLATE = re.compile(rf"\b(?:gettext|_)\(\s*u?({STRING})", re.S)
PLACE = re.compile(r"%\((\w+)\)s")


def msgids() -> set[str]:
    """What templates and Python code mark for translation, as xgettext would find it."""
    found: set[str] = set()
    for path in (ROOT / "templates").rglob("*.html"):
        code = templatize(path.read_text("utf-8"), origin=str(path))
        found |= {ast.literal_eval(text) for text in IN_TEMPLATE.findall(code)}
    for app in ("registry", "training", "audit"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in MARKERS
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                    and isinstance(node.args[0].value, str)
                ):
                    found.add(node.args[0].value)
    return found


def written() -> dict[str, str]:
    """The catalogue as the .po file has it, read line by line."""
    entries: dict[str, str] = {}
    parts = {"msgid": "", "msgstr": ""}
    current = ""
    lines = (FOLDER / "django.po").read_text("utf-8").splitlines()
    for line in [*lines, 'msgid ""']:
        if line.startswith("#"):
            assert "fuzzy" not in line, "a fuzzy translation is none"
            continue
        for name in parts:
            if line.startswith(f"{name} "):
                if name == "msgid" and current == "msgstr":
                    entries[parts["msgid"]] = parts["msgstr"]
                current, parts[name] = name, ""
                line = line.removeprefix(f"{name} ")
        if line.startswith('"'):
            parts[current] += ast.literal_eval(line)
    return entries


def test_every_word_of_the_pages_has_a_japanese_translation():
    catalogue = written()
    missing = sorted(word for word in msgids() if not catalogue.get(word))
    assert missing == []


def test_the_catalogue_holds_nothing_that_no_page_says():
    assert sorted(set(written()) - msgids() - {""}) == []


def test_a_translation_keeps_the_places_of_the_original():
    for msgid, msgstr in written().items():
        assert set(PLACE.findall(msgid)) == set(PLACE.findall(msgstr)), msgid


def test_the_compiled_catalogue_is_the_written_one():
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for msgid, msgstr in written().items():
        if msgid:
            assert compiled.gettext(msgid) == msgstr, msgid


@pytest.mark.parametrize("word", ["不正", "無効な", "エラー"])
def test_no_japanese_text_blames_its_reader(word):
    assert [text for text in written().values() if word in text] == []
