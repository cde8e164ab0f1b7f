"""A trainer without torch: the real admission and the real lease, and random numbers for training.

For the protocol's tests: run by the agent as a program of its own, like the real one.
"""

import dataclasses
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from registry.log.core.errors import VerificationError
from training.core import weights
from training.trainer import admission
from training.trainer.lease import Lease, follow
from training.trainer.wipe import wipe


def emit(event: str, **members) -> None:
    sys.stdout.write(json.dumps({"event": event, **members}) + "\n")
    sys.stdout.flush()


def adapter() -> bytes:
    dice = np.random.default_rng(3)
    tensors = {}
    for layer in range(64):
        stem = f"unet.blocks.{layer}.to_q"
        tensors[f"{stem}.lora_A.weight"] = dice.normal(0, 0.05, (8, 128)).astype(np.float32)
        tensors[f"{stem}.lora_B.weight"] = dice.normal(0, 0.05, (128, 8)).astype(np.float32)
    return weights.write(tensors, {"format": "pt"})


def main(folder: Path) -> int:
    feed = sys.stdin.buffer
    try:
        admitted = admission.admit(folder, json.loads(feed.readline()), datetime.now(UTC))
    except VerificationError as error:
        emit("refused", code=error.code, detail=error.detail)
        return 3
    lease = Lease(
        admitted.trust,
        uri=admitted.status_uri,
        index=admitted.status_index,
        ends_at=admitted.ends_at,
    )
    lease.renew(admitted.status_token)
    threading.Thread(target=follow, args=(feed, lease), daemon=True).start()
    emit("verified", pictures=len(admitted.pictures))
    (folder / "out").mkdir()
    for step in range(1, admitted.recipe.steps + 1):
        code = lease.code()
        if code is not None:
            wiped = dataclasses.asdict(wipe(folder))
            emit("stopped", code=code, step=step, wiped=wiped)
            return 4
        emit("progress", step=step, steps=admitted.recipe.steps, loss=1.0 / step)
        time.sleep(0.02)
    (folder / "out" / "adapter.safetensors").write_bytes(adapter())
    Image.new("RGB", (64, 32), (90, 120, 60)).save(folder / "out" / "sample-end.png")
    emit("finished", steps=admitted.recipe.steps)
    return 0


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    # The thread that reads standard input holds its lock, which a tidy shutdown would wait for.
    os._exit(code)
