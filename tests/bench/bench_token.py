"""How long a worker needs to check a token, beside the bare cryptography that no check can avoid.

`python -m tests.bench.bench_token`; QUICK=1 does a tenth. Checked is everything that can be checked
offline: the proof of possession, the JWS and its claims, the grant and its texts, every assertion,
the status list, the checkpoint with both signatures, an inclusion proof for the grant and for each
key. Two tokens: with two assertions (a talent without an agency, her photographer) and with three.
Every check gets a token that was never seen before; nothing is remembered but the parsed pinned
log keys.

The peers, in the same run and alternating: one bare Ed25519 verification of the token, and all the
signatures that the check cannot avoid, verified with `cryptography` alone. Times are CPU
milliseconds; wall milliseconds stand beside them. No database.
"""

import gc
import hashlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from registry.core.approvals import Approval
from registry.log.core import canonical, keys
from registry.log.core.checkpoint import parse_note
from tests.bench.report import QUICK, at_most, report
from tests.core.token_world import (
    DEVICES,
    GRANT,
    LOG,
    RP_ID,
    SMALL,
    STATUS,
    TOKEN,
    WORKER,
    TokenWorld,
    gate,
    proof_for,
    redeem_body,
    status,
    token_world,
)

CHECKS = 10 if QUICK else 40
ROUNDS = 9 if QUICK else 25
BAR_MS = 1.5
BAR_RATIO = 3.0
STATUS_TEXT = status({7: 3})
WORLDS = {2: token_world().with_grant(SMALL), 3: token_world().with_grant(GRANT)}

Check = Callable[[], object]


def shown(world: TokenWorld, number: int) -> tuple[str, str]:
    """A token that nobody has seen yet, and the proof of possession shown with it."""
    token = world.changed(jti=f"tok_{number:020x}").text()
    return token, proof_for(token)


def measured(checks: Sequence[Check]) -> tuple[float, float]:
    """(CPU, wall) milliseconds of one check, over all of them."""
    wall, cpu = time.perf_counter(), time.process_time()
    for check in checks:
        check()
    spent = time.process_time() - cpu, time.perf_counter() - wall
    return spent[0] * 1000 / len(checks), spent[1] * 1000 / len(checks)


def ours(tokens_shown: Sequence[tuple[str, str]]) -> list[Check]:
    """The whole check of each token."""
    return [
        partial(gate, token, proof, STATUS_TEXT, body=redeem_body(token))
        for token, proof in tokens_shown
    ]


def bare(world: TokenWorld, token: str, proof: str) -> Check:
    """The unavoidable signatures of one check, with everything parsed beforehand."""
    body, lines = parse_note(world.claims.log.checkpoint)
    post_quantum = MLDSA44PublicKey.from_public_bytes(LOG.mldsa44.public_raw)
    # The cosigned message is built inside the checkpoint module; its body is about as long.
    message, signature = body.encode(), LOG.mldsa44.sign(body.encode())
    checks = [
        *(_assertion(approval) for approval in world.claims.approvals),
        jws(WORKER, proof),
        jws(TOKEN, token),
        jws(STATUS, STATUS_TEXT),
        _ed25519(LOG.ed25519, lines[0].signature, message),
        lambda: post_quantum.verify(signature, message),
    ]

    def all_of_them() -> None:
        for check in checks:
            check()

    return all_of_them


def _assertion(approval: Approval) -> Check:
    device = DEVICES[approval.party_id]
    auth = canonical.unb64u(approval.authenticator_data)
    client = canonical.unb64u(approval.client_data_json)
    message = auth + hashlib.sha256(client).digest()
    signature = canonical.unb64u(approval.signature)
    public = device._private(RP_ID).public_key()
    return lambda: public.verify(signature, message, ec.ECDSA(hashes.SHA256()))


def jws(signer: keys.Ed25519Signer, token: str) -> Check:
    """One bare Ed25519 verification, of a JWS taken apart beforehand."""
    message, _, signature = token.rpartition(".")
    return _ed25519(signer, canonical.unb64u(signature), message.encode())


def _ed25519(signer: keys.Ed25519Signer, signature: bytes, message: bytes) -> Check:
    public = Ed25519PublicKey.from_public_bytes(signer.public_raw)
    return lambda: public.verify(signature, message)


def main() -> int:
    """Measure alternating, report medians."""
    figures: dict[str, float] = {}
    bars = {}
    for parties, world in WORLDS.items():
        gc.collect()
        gc.freeze()  # what this bench holds is not a worker's garbage
        rounds = [_round(world, number) for number in range(ROUNDS + 1)][1:]
        cpu, wall, signatures, one, ratio = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        name = f"{parties}_assertions"
        figures |= {
            f"gate_{name}_cpu_ms": round(cpu, 3),
            f"gate_{name}_wall_ms": round(wall, 3),
            f"bare_signatures_{name}_cpu_ms": round(signatures, 3),
            f"bare_ed25519_{name}_cpu_ms": round(one, 3),
            f"checks_per_cpu_second_{name}": round(1000 / cpu),
            f"token_bytes_{name}": len(world.text()),
        }
        bars[f"gate_to_bare_signatures_{name}"] = at_most(ratio, BAR_RATIO)
    # The bar in milliseconds is for two assertions; a third costs what its signature costs.
    bars["gate_2_assertions_cpu_ms"] = at_most(figures["gate_2_assertions_cpu_ms"], BAR_MS)
    mint = [WORLDS[3].text] * CHECKS
    figures["mint_cpu_ms"] = round(statistics.median(measured(mint)[0] for _ in range(ROUNDS)), 3)
    return report("token", figures, bars)


def _round(world: TokenWorld, number: int) -> tuple[float, float, float, float, float]:
    """CPU and wall of the check, CPU of its signatures, of one signature, and the ratio."""
    fresh = [shown(world, number * CHECKS + i) for i in range(CHECKS)]
    cpu, wall = measured(ours(fresh))
    signatures, _ = measured([bare(world, *pair) for pair in fresh])
    one, _ = measured([jws(TOKEN, token) for token, _proof in fresh])
    return cpu, wall, signatures, one, cpu / signatures


if __name__ == "__main__":
    sys.exit(main())
