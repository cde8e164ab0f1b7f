"""The people of the demonstration, as an operator would set them up. Made once, then found again.

Their software authenticators' seeds and their passwords lie beside the data, readable by the owner
only. They are the demonstration's own: nothing of them exists in live mode.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

import pyrage
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from registry.core.authenticator import SoftAuthenticator
from registry.core.licences import Facts
from registry.core.refusals import Refusal
from registry.core.terms import Problem
from registry.models import ModelRecord, Organisation, Person, Talent
from registry.services import catalogue, identity, parties
from training.trainer.base.digest import base_digest

Row = TypeVar("Row")
BASE_FOLDER: Final = "kyodaku-tiny"
ENCODER: Final = "text_encoder/model.safetensors"
VAE: Final = "vae/diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Human:
    """Somebody with a login and an authenticator."""

    person: Person
    username: str
    password: str
    authenticator: SoftAuthenticator


@dataclass(frozen=True)
class World:
    """Everybody and everything that the story needs."""

    alice: Human
    bob: Human
    charlie: Human
    dana: Human
    talent: Talent
    studio: Organisation
    client: Organisation
    base: ModelRecord
    barred_base: ModelRecord
    api_key: str
    client_key: str
    age_identity: str


def build() -> World:
    """Find or make everything. Raises `RuntimeError` outside test mode."""
    if settings.KYODAKU_MODE != "test":
        raise RuntimeError("the demonstration's people exist in test mode only")
    folder = settings.HOME / "demo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = _kept(folder / "client.age", lambda: str(pyrage.x25519.Identity.generate()))
    with transaction.atomic():
        agency = _organisation("agency", "あおぞら芸能(デモ)", "Aozora Talent (demo)", "")
        studio = _organisation("studio", "スタジオ港(デモ)", "Studio Minato (demo)", "")
        recipient = str(pyrage.x25519.Identity.from_str(identity).to_public())
        client = _organisation("client", "みどり出版(デモ)", "Midori Press (demo)", recipient)
        alice = _human(folder, "alice", "朝日ありす", "Alice Asahi")
        bob = _human(folder, "bob", "番場 望", "Bob Bamba")
        charlie = _human(folder, "charlie", "茶谷 理", "Charlie Chatani")
        dana = _human(folder, "dana", "出口 なお", "Dana Deguchi")
        parties.membership_add(person=dana.person, organisation=client, role="manager")
        parties.membership_add(person=bob.person, organisation=agency, role="officer")
        parties.membership_add(person=charlie.person, organisation=studio, role="photographer")
        talent = _talent(alice.person, agency)
        return World(
            alice=alice,
            bob=bob,
            charlie=charlie,
            dana=dana,
            talent=talent,
            studio=studio,
            client=client,
            base=_tiny_base(),
            barred_base=_barred_base(),
            api_key=parties.api_key_create(person=charlie.person, organisation=studio)[1],
            client_key=parties.api_key_create(person=dana.person, organisation=client)[1],
            age_identity=identity,
        )


def _kept(path: Path, make: object) -> str:
    """A secret from its file, 0600, or a new one written there."""
    if not path.exists():
        value = make() if callable(make) else ""
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(value)
    return path.read_text()


def _organisation(kind: str, name: str, name_en: str, recipient: str) -> Organisation:
    found = Organisation.objects.filter(name=name).first()
    if found is None:
        made = parties.organisation_create(
            kind=kind, name=name, name_en=name_en, delivery_recipient=recipient
        )
        found = _made(made)
        identity.organisation_check(
            organisation=found, kind="company_register", checked_by="demonstration"
        )
    return found


def _made(row: Row | Problem | Refusal) -> Row:
    """What was made. Raises `RuntimeError` for a no: the demonstration's own input is wrong."""
    if isinstance(row, (Problem, Refusal)):
        raise RuntimeError(str(row))
    return row


def _human(folder: Path, username: str, name: str, name_en: str) -> Human:
    password = _kept(folder / f"{username}.password", lambda: secrets.token_urlsafe(9))
    seed = bytes.fromhex(_kept(folder / f"{username}.seed", lambda: secrets.token_hex(32)))
    user, made = User.objects.get_or_create(username=username)
    if made or not user.check_password(password):
        user.set_password(password)
        user.save()
    person = Person.objects.filter(user=user).first() or _made(
        parties.person_create(display_name=name, display_name_en=name_en, user=user)
    )
    return Human(person, username, password, SoftAuthenticator(seed))


def _talent(person: Person, agency: Organisation) -> Talent:
    found = Talent.objects.filter(person=person).first()
    if found is None:
        born, never = date(1996, 11, 19), ["above"]
        found = _made(
            parties.talent_create(
                person=person, birth_date=born, kana="あさひありす", never_list=never
            )
        )
        identity.person_check(
            person=person, kind="in_person", birth_date=born, checked_by="demonstration"
        )
        found.refresh_from_db()
        _made(parties.representation_begin(talent=found, agency=agency, begun_on=date(2024, 4, 1)))
    return found


def _tiny_base() -> ModelRecord:
    """The project's own base, and what is inside it: all of it CC0, made by nobody else."""
    folder = next(path for path in settings.BASES_DIR if (path / BASE_FOLDER).is_dir())
    tiny = folder / BASE_FOLDER
    card = (tiny / "CARD.md").read_text()
    encoder = _recorded("kyodaku-tiny text encoder", _file(tiny / ENCODER), "text_encoder", card)
    vae = _recorded("kyodaku-tiny VAE", _file(tiny / VAE), "vae", card)
    inside = [(encoder, "text_encoder"), (vae, "vae")]
    return _recorded("kyodaku-tiny", base_digest(tiny), "base", card, inside=inside)


def _barred_base() -> ModelRecord:
    """A base whose licence forbids commercial use; only its record is needed to be refused."""
    return _recorded(
        "noncommercial-example",
        "0" * 63 + "1",
        "base",
        "Non-commercial, non-production use only; derivatives included.",
        licence_id="LicenseRef-scancode-flux-1-nc",
        commercial="no",
        source="an example record for the demonstration",
    )


def _file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _recorded(
    name: str,
    sha256: str,
    kind: str,
    licence_text: str,
    *,
    licence_id: str = "CC0-1.0",
    commercial: str = "yes",
    source: str = "training/trainer/base",
    inside: catalogue.Inside = (),
) -> ModelRecord:
    found = ModelRecord.objects.filter(sha256=sha256).first()
    if found is not None:
        return found
    facts = Facts(
        licence_id=licence_id,
        licence_sha256=catalogue.text_sha256(licence_text),
        read_on=timezone.localdate().isoformat(),
        commercial=commercial,
        outputs="yes",
        confidence="T",
        source=source,
    )
    return catalogue.model_record(
        name=name,
        sha256=sha256,
        kind=kind,
        facts=facts,
        licence_text=licence_text,
        inside=inside,
    )
