"""One target under atheris, in a process of its own: `python -m tests.fuzz.one NAME SECONDS DIR`.

Stops after that many CPU seconds of its own (exit 0). libFuzzer ends the process at a crash with
another status and leaves the input in DIR.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["registry", "training.core", "audit.verifier"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Seed the corpus, then fuzz until the CPU seconds are used up."""
    name, seconds, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    words = folder / "words.dict"  # an empty one is refused
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words or ("0",)))
    runs = 0
    start = time.process_time()

    def once(data: bytes) -> None:
        nonlocal runs
        target.call(data)
        runs += 1
        if runs % 64 == 0 and time.process_time() - start > seconds:
            used = time.process_time() - start
            sys.stdout.write(f"{runs} {used:.1f}\n")
            sys.stdout.flush()
            os._exit(0)

    options = [f"-max_len={target.max_len}", f"-artifact_prefix={folder}/", f"-dict={words}"]
    limits = ["-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, *limits, str(corpus)], once)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
