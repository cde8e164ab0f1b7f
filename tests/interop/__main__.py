"""`python -m tests.interop` (`make interop`): an outside Go client reads an exported log.

Needs Go and golang.org/x/mod in GOPATH (`apt-get install golang-go golang-golang-x-mod-dev`). For
sizes around the edges of tiles, up to two full levels, the client opens the checkpoint under the
pinned key alone, proves every entry, and the consistency of every older size; the roots that it
computes are compared with those that were signed. Then one byte of every kind of file is changed:
the client must say no.
"""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.bench.report import at_least, at_most, report, say
from tests.chaos import rig

SIZES: Final = (1, 2, 255, 256, 257, 513, 1000, 65_536, 66_561)
GOPATH: Final = os.environ.get("GOPATH", "/usr/share/gocode")
SOURCE: Final = Path(__file__).parent / "tlog_reader" / "main.go"


def build(folder: Path) -> Path:
    """The client, compiled. `SystemExit` says what to install where Go is not there."""
    go = shutil.which("go")
    if go is None or not Path(GOPATH, "src/golang.org/x/mod/sumdb/tlog").is_dir():
        raise SystemExit("Go is not here: apt-get install golang-go golang-golang-x-mod-dev")
    program = folder / "tlog_reader"
    settings = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(folder / "cache")}
    command = [go, "build", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, env=os.environ | settings)
    return program


def fill(count: int) -> None:
    """Append in bulk what `append` writes one by one; payloads of many lengths."""
    from django.db import connection, transaction  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from registry.log.append import _ordered_uuid, entry_bytes  # noqa: PLC0415

    now = timezone.now()
    copied = "COPY log_outbox (id, payload, created) FROM STDIN"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(copied) as copy:
        for n in range(count):
            key = _ordered_uuid(now)
            data = {"n": n, "pad": "x" * (n * 7 % 300)}
            copy.write_row((key, entry_bytes(f"evt_{key.hex}", "a.b", data, now), now))


def asked(program: Path, folder: Path, older: list[int]) -> tuple[bool, dict[int, str]]:
    """Whether the client is content, and the roots that it computed by size."""
    arguments = [str(program), str(folder), rig.pins()[0], *map(str, older)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=False)
    pairs = [line.split() for line in said.stdout.splitlines()]
    if said.returncode:
        say(said.stderr.strip()[:160])
    return said.returncode == 0, {int(size): root for size, root in pairs}


def spoiled(program: Path, folder: Path) -> tuple[int, int]:
    """Change a byte in the middle of each kind of file; how many, and how many went unnoticed."""
    # A partial tile stays where a full one has taken its place; nobody reads it any more.
    upper = folder / "tile/1/000"
    uppers = [upper] if upper.is_file() else sorted(folder.glob("tile/1/000.p/*"))
    files = [folder / "checkpoint", folder / "tile/0/000", uppers[-1], folder / "tile/entries/000"]
    unnoticed = 0
    for file in files:
        whole = file.read_bytes()
        half = len(whole) // 2 if file.name != "checkpoint" else 1
        file.write_bytes(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
        unnoticed += asked(program, folder, [1])[0]
        file.write_bytes(whole)
    return len(files), unnoticed


def main() -> int:
    """Grow a log by sizes; let the client read each."""
    from registry.log import sequencer  # noqa: PLC0415
    from registry.services import keyring  # noqa: PLC0415

    with rig.site():
        program = build(rig.exported().parent)
        keyring.create()
        signers, signed, refused, changed, unnoticed = sequencer.load_signers(), {}, 0, 0, 0
        for before, size in pairwise((0, *SIZES)):
            fill(size - before)
            while sequencer.sequence_once(signers):
                pass
            head = rig.Reader(rig.exported(), rig.pins()).look()
            if head is None or head.size != size:
                raise RuntimeError(f"the export is not at {size}")
            signed[size] = head.root.hex()
            content, roots = asked(program, rig.exported(), [*signed])
            refused += not content or roots != signed
            if size in (1000, SIZES[-1]):
                done = spoiled(program, rig.exported())
                changed, unnoticed = changed + done[0], unnoticed + done[1]
    figures = {"sizes": len(SIZES), "entries": SIZES[-1], "files_changed": changed}
    bars = {
        "sizes_refused": at_most(refused, 0),
        "files_changed": at_least(changed, 8),
        "changes_unnoticed": at_most(unnoticed, 0),
    }
    return report("interop", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
