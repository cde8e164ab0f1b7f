"""How long a worker needs to check a token, beside the bare cryptography that no check can avoid.

`python -m tests.bench.bench_token`; QUICK=1 does a tenth. The peer is the same signatures verified
with `cryptography` alone (three P-256 assertions, three Ed25519, one ML-DSA-44), in the same run,
alternating. Times are CPU milliseconds; wall milliseconds stand beside them. No database.
"""

import hashlib
import statistics
import sys
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from registry.core import tokens
from registry.core.approvals import Approval
from registry.log.core import canonical, keys
from registry.log.core.checkpoint import parse_note
from tests.bench.report import QUICK, at_most, report
from tests.core.token_world import (
    AUDIENCE,
    DEVICES,
    JOB,
    LOG,
    NOW,
    RP_ID,
    STATUS,
    TOKEN,
    TRUST,
    WORKER,
    status,
    token_world,
)

CHECKS = 20 if QUICK else 200
ROUNDS = 7
BAR = 8.0
WORLD = token_world()
TEXT, STATUS_TEXT = WORLD.text(), status({7: 3})

Check = Callable[[], object]


def measured(work: Check) -> tuple[float, float]:
    """(CPU, wall) milliseconds of one check, over CHECKS of them."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(CHECKS):
        work()
    spent = time.process_time() - cpu, time.perf_counter() - wall
    return spent[0] * 1000 / CHECKS, spent[1] * 1000 / CHECKS


def ours() -> object:
    """The whole check of `registry.core.tokens.verify`, its eleven steps."""
    return tokens.verify(
        TEXT,
        trust=TRUST,
        audience=AUDIENCE,
        job_id=JOB,
        jkt=WORKER.kid,
        status_token=STATUS_TEXT,
        at=NOW,
    )


def bare() -> list[Check]:
    """The unavoidable signatures, with everything parsed beforehand."""
    body, lines = parse_note(WORLD.claims.log.checkpoint)
    post_quantum = MLDSA44PublicKey.from_public_bytes(LOG.mldsa44.public_raw)
    # The cosigned message is built inside the checkpoint module; its body is about as long.
    message, signature = body.encode(), LOG.mldsa44.sign(body.encode())
    return [
        *(_assertion(approval) for approval in WORLD.claims.approvals),
        _jws(TOKEN, TEXT),
        _jws(STATUS, STATUS_TEXT),
        _ed25519(LOG.ed25519, lines[0].signature, message),
        lambda: post_quantum.verify(signature, message),
    ]


def _assertion(approval: Approval) -> Check:
    device = DEVICES[approval.party_id]
    auth = canonical.unb64u(approval.authenticator_data)
    client = canonical.unb64u(approval.client_data_json)
    message = auth + hashlib.sha256(client).digest()
    signature = canonical.unb64u(approval.signature)
    public = device._private(RP_ID).public_key()
    return lambda: public.verify(signature, message, ec.ECDSA(hashes.SHA256()))


def _jws(signer: keys.Ed25519Signer, token: str) -> Check:
    message, _, signature = token.rpartition(".")
    return _ed25519(signer, canonical.unb64u(signature), message.encode())


def _ed25519(signer: keys.Ed25519Signer, signature: bytes, message: bytes) -> Check:
    public = Ed25519PublicKey.from_public_bytes(signer.public_raw)
    return lambda: public.verify(signature, message)


def main() -> int:
    """Measure alternating, report medians."""
    checks = bare()

    def peer() -> None:
        for check in checks:
            check()

    ours()
    peer()
    rounds = [(measured(ours), measured(peer)) for _ in range(ROUNDS)]
    cpu, wall = (statistics.median(r[0][i] for r in rounds) for i in (0, 1))
    peer_cpu, peer_wall = (statistics.median(r[1][i] for r in rounds) for i in (0, 1))
    ratio = statistics.median(r[0][0] / r[1][0] for r in rounds)
    mint = statistics.median(measured(WORLD.text)[0] for _ in range(ROUNDS))
    figures = {
        "verify_cpu_ms": round(cpu, 3),
        "verify_wall_ms": round(wall, 3),
        "bare_signatures_cpu_ms": round(peer_cpu, 3),
        "bare_signatures_wall_ms": round(peer_wall, 3),
        "mint_cpu_ms": round(mint, 3),
        "checks_per_cpu_second": round(1000 / cpu),
        "token_bytes": len(TEXT),
    }
    return report("token", figures, {"verify_to_bare_signatures": at_most(ratio, BAR)})


if __name__ == "__main__":
    sys.exit(main())
