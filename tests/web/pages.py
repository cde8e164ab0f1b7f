"""What the tests of the pages share: logins of the test world, and a case at every stage."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.services.evidence import _claims
from registry.core import vault as vault_core
from registry.core.refusals import Refusal
from registry.log.core import canonical, envelope
from registry.models import Person
from registry.services import vault
from tests import loras
from tests.services.studio import (
    HER,
    Studio,
    drawn,
    lora_sealed,
)
from tests.world import Human, sequence
from training.core import provenance, weights
from training.models import Delivery, Lora, TrainingJob
from training.services import delivery, gate, jobs, runs


def login(person: Person, *, language: str = "en", **options: Any) -> Client:
    """A browser in which that person is signed in."""
    if person.user is None:
        person.user = User.objects.create_user(person.pk, password="a long pass phrase")
        person.save()
    client = Client(headers={"accept-language": language}, **options)
    client.force_login(person.user)
    return client


def as_(who: Human, language: str = "en") -> Client:
    """A browser in which one of the world's people is signed in."""
    return login(who.person, language=language)


def text(response: Any) -> str:
    """The words of a page, without its tags, in one line."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def running(studio: Studio, *, steps: int = 5) -> TrainingJob:
    """A job in the middle of its training, with a loss curve."""
    studio.queued()
    claim = jobs.job_claim(worker=studio.worker)
    assert isinstance(claim, tuple), claim
    job, token = claim
    released = gate.redeem(worker=studio.worker, job=job, token=token, fence=job.fence)
    assert not isinstance(released, Refusal), released
    begun = timezone.now() - timedelta(seconds=2 * steps)
    for at, step in ((begun, 1), (timezone.now(), steps)):
        points = [(n, 1 / n) for n in range(1, step + 1)]
        told = gate.lease_renew(
            worker=studio.worker, job=job, fence=job.fence, step=step, points=points, at=at
        )
        assert not isinstance(told, Refusal), told
    job.refresh_from_db()
    return job


def finished(studio: Studio) -> Lora:
    """A sealed LoRA; its weights are synthetic, everything around them is real."""
    job = running(studio, steps=studio.steps)
    begun = timezone.now()
    master = weights.write(loras.lora(loras.tiny(), 8, seed=1).tensors, {})
    claims = _claims(Delivery(lora=Lora(job=job)))
    facts = provenance.RunFacts(
        run_id=job.pk,
        master_tensor_sha256=weights.tensor_sha256(master),
        grant_digest=claims.grant.digest().hex(),
        recipe=job.request.recipe,
        seed=7,
        base_sha256=studio.base.sha256,
        dataset_root=claims.grant.dataset_root,
        trainer_version="0.1.0",
        trainer_sha256="ee" * 32,
        worker=studio.worker.pk,
        started=begun,
        finished=timezone.now(),
    )
    payload = canonical.dumps(provenance.run_statement(facts))
    signed = envelope.sign(provenance.PAYLOAD_TYPE, payload, [studio.own_keys().signer])
    key = vault.dataset_key(request=job.request, dataset_id=job.dataset_id)
    assert isinstance(key, bytes)
    sealed = vault_core.seal(master, key, context=runs.master_context(job.pk))
    done = runs.run_finished(
        worker=studio.worker,
        job=job,
        fence=job.fence,
        master=sealed.data,
        statement=signed,
        samples=drawn(job, (HER,) * 4),
    )
    assert isinstance(done, TrainingJob), done
    lora = lora_sealed(job=done)
    assert isinstance(lora, Lora), lora
    return lora


def delivered(studio: Studio) -> Delivery:
    """A copy for the licensee; `link` is its link."""
    made = delivery.delivery_make(lora=finished(studio), recipient=studio.world.client)
    assert isinstance(made, Delivery), made
    sequence()
    return made
