"""Erasing a person: nothing names them any more, and everything that was proven still is."""

from __future__ import annotations

from datetime import date

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from registry import selectors
from registry.core import approvals as core_approvals
from registry.core.parties import LegalName
from registry.log import fsck
from registry.log import selectors as log
from registry.log.core import merkle
from registry.log.core.errors import VerificationError
from registry.log.models import Entry
from registry.models import Approval, ContactPoint, KeyShare, Lane, Person, PrivateNote, Talent
from registry.services import (
    approvals,
    contacts,
    erasure,
    identity,
    keyring,
    people,
    vault,
    welfare,
)
from tests.web.pages import login
from tests.world import log_types, sequence, state

NAME = LegalName("朝日", "花子", "あさひ", "はなこ", "Hanako Asahi")
WORDS = ("花子", "はなこ", "Hanako", "朝日", "ありす", "Alyce", "alice@home", "secret reason")


def known(world) -> Person:
    """alice with everything that a registry may know of her."""
    person: Person = world.alice.person
    login(person)
    person.display_name, person.display_name_en, person.legal_name = "朝日ありす", "Alyce", NAME
    person.save()
    User.objects.filter(username=person.pk).update(email="alice@home.example")
    people.stage_name_change(
        talent=world.talent, name="次のありす", kana="つぎのありす", begun_on=date(2099, 1, 1)
    )
    contacts.contact_add(person=person, kind="mail", value="alice@home.example")
    identity.person_check(
        person=person, kind="id_document", birth_date=date(1998, 4, 1), checked_by="op"
    )
    Lane.objects.filter(person=person).update(reason="secret reason")
    return person


def everything() -> str:
    """Every row of every table of the registry, as text."""
    with connection.cursor() as cursor:
        names = [
            n
            for n in connection.introspection.table_names(cursor)
            if n.startswith(("registry_", "auth_user", "training_", "audit_"))
        ]
        rows = []
        for name in names:
            cursor.execute(f'SELECT t::text FROM "{name}" t')  # noqa: S608
            rows += [row[0] for row in cursor.fetchall()]
    return "\n".join(rows)


def test_after_erasure_nothing_names_the_person_and_every_proof_still_verifies(world):
    grant = world.made()
    token = world.mint(grant)
    vault.dataset_key_create(request=grant.request, dataset_id="dst_1")
    person = known(world)
    sealed = bytes(person.sealed_name)
    assert any(word in everything() for word in WORDS)
    sequence()
    size = log.latest_checkpoint().size
    before = [bytes(row.payload) for row in Entry.objects.order_by("index")]

    assert erasure.person_erase(person=person) is None

    told = everything()
    for word in WORDS:
        assert word not in told, word
    person = Person.objects.get(id=person.id)
    assert (person.data_key, person.legal_name, person.display_name) == (None, None, "消去済み")
    person.sealed_name = sealed  # what a backup may still hold opens for nobody
    assert person.legal_name is None
    talent = Talent.objects.get(id=world.talent.id)
    assert talent.birth_date is None
    assert talent.is_minor(timezone.localdate())
    assert not ContactPoint.objects.filter(person=person).exists()
    assert not person.user.is_active
    # Consent ended, and the pictures' keys with it.
    assert state(grant) == "withdrawn"
    assert not KeyShare.objects.filter(wrapped__isnull=False).exists()
    token.refresh_from_db()
    assert token.status == 3
    # Every proof of before still verifies.
    sequence()
    after = [bytes(row.payload) for row in Entry.objects.order_by("index")]
    assert after[: len(before)] == before
    assert fsck.check(keyring.trust_root().log_vkeys) == len(after) > size
    head = log.latest_checkpoint()
    entry = log.entry_by_event(grant.made_event)
    root = selectors.core_grant(grant)
    merkle.verify_inclusion(
        entry.index,
        head.size,
        merkle.leaf_hash(bytes(entry.payload)),
        log.inclusion(entry.index, head.size),
        bytes(head.root),
    )
    for row in Approval.objects.filter(lane__grant=grant):
        approval = core_approvals.Approval.from_payload(row.payload)
        core_approvals.verify(approval, root, keyring.trust_root())
    assert log_types()[-1] == "person.erased"


def test_an_erased_person_can_be_asked_for_nothing_and_stands_in_no_list(world):
    erasure.person_erase(person=world.alice.person)
    assert list(selectors.talents()) == []
    codes = [item.code for item in world.submit()]
    assert "person_erased" in codes
    assert erasure.person_erase(person=world.alice.person).code == "wrong_state"


def test_an_erased_officer_leaves_signatures_and_no_role(world):
    grant = world.made()
    erasure.person_erase(person=world.bob.person)
    assert state(grant) == "active"
    assert selectors.officers_of(world.agency) == []
    assert not world.bob.person.credentials.filter(retired_at=None).exists()
    assert len(selectors.approvals_of(grant)) == 3


def test_what_she_told_the_platform_is_no_words_in_the_database(world):
    """Neither the words nor whether there were any; gone with her key."""
    approvals.approval_refuse(
        person=world.alice.person, grant=world.asked(), by="talent", reason="he stood beside me"
    )
    welfare.note_leave(person=world.alice.person, pressed=True)
    told, silent = PrivateNote.objects.order_by("id")
    assert (told.reason, silent.reason) == ("he stood beside me", "")
    assert len(told.sealed_reason) == len(silent.sealed_reason)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM registry_privatenote p WHERE p::text LIKE '%stood%'")
        assert cursor.fetchone() == (0,)
    told.person = world.bob.person
    with pytest.raises(VerificationError):
        assert told.reason
    erasure.person_erase(person=world.alice.person)
    assert not PrivateNote.objects.exclude(sealed_reason=None).exists()
    assert [note.reason for note in PrivateNote.objects.all()] == ["", ""]
