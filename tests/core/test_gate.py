"""The gate's decision: each fact that differs from what was signed for has its own code."""

import dataclasses
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from registry.core import tokens
from registry.core.grants import BaseModel, RecipeLimits
from registry.core.refusals import Refusal
from registry.core.terms import Terms
from registry.core.tokens import RunRequest
from registry.core.trust import TrustRoot
from registry.log.core.errors import VerificationError
from training.core import gate, watermark
from training.core.gate import Admission, Facts

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
RUN = RunRequest(method="lora", rank=8, steps=160, resolution=32, max_runtime_s=3600)
BASE = BaseModel("12" * 32, "tiny", "CC0-1.0", "34" * 32, True)
FACTS = Facts(
    job_id="job_0123456789abcdef0123",
    base_sha256=BASE.sha256,
    dataset_root="ab" * 32,
    dataset_count=15,
    curation_digest="cd" * 32,
    run=RUN,
)


TRUST = TrustRoot(
    issuer="https://registry.test",
    mode="test",
    token_keys={},
    status_keys={},
    provenance_keys={},
    log_origin="registry.test/log",
    log_vkeys=(),
    rp_id="registry.test",
    origins=("https://registry.test",),
)


def terms(**changes) -> Terms:
    values = {
        "media": ("photobook_ebook",),
        "client": "Kadoma Press",
        "product": "spring photobook",
        "territory": ("JP",),
        "start": date(2026, 4, 1),
        "end": date(2026, 12, 31),
        "purpose": "pictures for one e-photobook",
        "fee_jpy": 0,
        "replaces_booked_shoot": False,
    }
    return Terms(**{**values, **changes})


def claims(**changes) -> SimpleNamespace:
    """Verified claims, as `tokens.verify` would return them; its own tests are with the core."""
    grant = SimpleNamespace(
        dataset_root=FACTS.dataset_root,
        dataset_count=15,
        curation_digest=FACTS.curation_digest,
        base_models=(BASE,),
        recipe_limits=RecipeLimits(max_rank=8, max_steps=160, max_resolution=32),
        terms=changes.pop("terms", terms()),
        digest=lambda: b"g" * 32,
    )
    values = {
        "job_id": FACTS.job_id,
        "jti": "tok_0123456789abcdef0123",
        "grant": grant,
        "run": RUN,
        "status_uri": "https://registry.test/status/1",
        "status_index": 7,
        "watermark_profile": watermark.PROFILE,
    }
    return SimpleNamespace(**{**values, **changes})


def decide(facts=FACTS, given=None, at=NOW):
    return gate.decide(given or claims(), facts, at=at)


def test_a_run_that_is_what_was_signed_for_is_admitted():
    admitted = decide()
    assert isinstance(admitted, Admission)
    assert admitted.ends_at == NOW + timedelta(seconds=RUN.max_runtime_s)
    assert admitted.grant_digest == (b"g" * 32).hex()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"job_id": "job_" + "f" * 20}, "wrong_job"),
        ({"dataset_root": "ef" * 32}, "dataset_mismatch"),
        ({"dataset_count": 14}, "dataset_mismatch"),
        ({"curation_digest": "ef" * 32}, "curation_mismatch"),
        ({"base_sha256": "ef" * 32}, "base_model_mismatch"),
        ({"run": dataclasses.replace(RUN, steps=159)}, "recipe_exceeds"),
        ({"run": dataclasses.replace(RUN, rank=16)}, "recipe_exceeds"),
    ],
)
def test_every_other_fact_is_refused_with_its_own_code(change, code):
    refused = decide(dataclasses.replace(FACTS, **change))
    assert isinstance(refused, Refusal)
    assert refused.code == code


def test_a_watermark_that_this_build_does_not_embed_is_refused():
    refused = decide(given=claims(watermark_profile="kyodaku-wm-0"))
    assert isinstance(refused, Refusal)
    assert refused.code == "watermark_profile"


def test_a_run_beyond_the_grants_limits_is_refused_even_when_the_token_names_it():
    larger = dataclasses.replace(RUN, rank=64)
    refused = decide(dataclasses.replace(FACTS, run=larger), claims(run=larger))
    assert isinstance(refused, Refusal)
    assert refused.code == "recipe_exceeds"


def test_a_run_that_would_outlive_the_term_is_refused():
    refused = decide(given=claims(terms=terms(end=date(2026, 5, 1))), at=NOW + timedelta(hours=2.5))
    assert isinstance(refused, Refusal)
    assert refused.code == "ends_before_finish"


def test_the_admission_ends_with_the_term_at_the_latest():
    given = claims(terms=terms(end=date(2026, 5, 1)))
    at = given.grant.terms.ends_at() - timedelta(seconds=RUN.max_runtime_s)
    admitted = decide(given=given, at=at)
    assert isinstance(admitted, Admission)
    assert admitted.ends_at == given.grant.terms.ends_at()


@pytest.fixture
def verified(monkeypatch):
    """What the gate handed to `tokens.verify`, which accepts."""
    seen = {}

    def verify(token, **asked):
        seen.update(asked, token=token)
        return claims()

    monkeypatch.setattr(tokens, "verify", verify)
    return seen


def admit(facts: Facts = FACTS) -> Admission:
    return gate.admit(
        "token", facts, trust=TRUST, audience="pool:default", jkt="k", status_token="s", at=NOW
    )


def test_admit_verifies_the_token_for_this_job_and_this_key(verified):
    assert isinstance(admit(), Admission)
    assert (verified["job_id"], verified["jkt"]) == (FACTS.job_id, "k")
    assert (verified["audience"], verified["status_token"]) == ("pool:default", "s")


def test_admit_raises_what_decide_refuses(verified):
    with pytest.raises(VerificationError, match="dataset_mismatch"):
        admit(dataclasses.replace(FACTS, dataset_root="ef" * 32))


def test_admit_admits_nothing_without_a_token():
    with pytest.raises(VerificationError, match="malformed"):
        admit()
