"""What the hammer and the kill test share: a durable server, processes to kill, readers outside.

A reader here trusts the log's two pinned keys and the exported files, and nothing else.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import (  # noqa: E402
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)

from registry.local import env  # noqa: E402
from registry.local.postgres import Server  # noqa: E402
from registry.log import models, selectors, sequencer  # noqa: E402
from registry.log.append import append  # noqa: E402
from registry.log.core import merkle, tiles  # noqa: E402
from registry.log.core.checkpoint import Checkpoint, verify_checkpoint  # noqa: E402

FORK: Final = multiprocessing.get_context("fork")


_servers: list[Server] = []


@contextmanager
def site() -> Iterator[Server]:
    """A durable server with our tables, and an export folder; all gone afterwards."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="kyodaku-chaos-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        server = stack.enter_context(Server(home / "pg", durable=True))
        connections["default"].settings_dict.update(env.database(server.url))
        settings.LOG_EXPORT_DIR = home / "export"
        call_command("migrate", verbosity=0)
        connections.close_all()
        _servers.append(server)
        yield server
        connections.close_all()


def exported() -> Path:
    """Where the log is exported."""
    folder: Path | None = settings.LOG_EXPORT_DIR
    if folder is None:
        raise RuntimeError("call this inside `site`")
    return folder


def pins() -> tuple[str, ...]:
    """The log's verifier keys, as an outsider has pinned them."""
    return sequencer.load_signers().vkeys()


def payload(index: int) -> bytes:
    """The bytes of an entry, from the database."""
    return bytes(models.Entry.objects.get(index=index).payload)


def start(work: Callable[..., object], *arguments: object) -> Any:
    """Fork a process that runs `work`; open connections are not shared with it."""
    connections.close_all()
    process = FORK.Process(target=_run, args=(os.getpid(), work, arguments), daemon=True)
    process.start()
    return process


def _run(parent: int, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for server in _servers:  # a copy of its lock here would keep it from starting again
        vars(server)["_lock"].close()
    logging.disable(logging.ERROR)  # a lost database is what this is about
    try:
        if os.getppid() == parent:
            work(*arguments)
    finally:
        connections.close_all()


def sequence(interval: float) -> None:
    """Run the sequencer until killed or told to stop by SIGTERM."""
    import threading  # noqa: PLC0415

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sequencer.run(sequencer.load_signers(), stop, interval=interval)


def write(number: int, acknowledged: Path, until: float, pause: float) -> None:
    """Append events until the moment `until`, and note each id after its commit returned."""
    spread = Random(number)  # noqa: S311
    with acknowledged.open("a", encoding="ascii") as file:
        while time.monotonic() < until:
            try:
                with transaction.atomic():
                    ids = [
                        append("bench.made", _data(spread)) for _ in range(spread.choice((1, 1, 3)))
                    ]
            except (DatabaseError, InterfaceError):
                connection.close()  # whether that commit took place, nobody was told
                time.sleep(0.05)
                continue
            file.write("".join(f"{event_id}\n" for event_id in ids))
            file.flush()
            time.sleep(pause * 2 * spread.random())


def _data(spread: Random) -> dict[str, object]:
    return {
        "grant_id": f"grt_{spread.getrandbits(20):020x}",
        "party_id": f"per_{spread.getrandbits(8):020x}",
        "digest": f"{spread.getrandbits(256):064x}",
        "fill": "x " * spread.randrange(200),
    }


class Reader:
    """Somebody outside: reads the exported files and checks all they say."""

    def __init__(self, folder: Path, vkeys: tuple[str, ...]) -> None:
        self.folder = folder
        self.vkeys = vkeys
        self.seen: list[Checkpoint] = []
        self.inclusions = self.consistencies = 0

    def look(self) -> Checkpoint | None:
        """Read the checkpoint; a new one is proved to continue every one seen before."""
        path = self.folder / "checkpoint"
        if not path.exists():
            return None
        head = verify_checkpoint(path.read_text(encoding="utf-8"), self.vkeys)
        if self.seen and head == self.seen[-1]:
            return head
        nodes = self.nodes(head.size)
        for old in self.seen:
            proof = merkle.consistency_proof(old.size, head.size, nodes)
            merkle.verify_consistency(old.size, head.size, old.root, head.root, proof)
            self.consistencies += 1
        self.seen.append(head)
        return head

    def check_entries(self, head: Checkpoint, bundles: list[int]) -> None:
        """Verify the inclusion of every entry of these bundles under a checkpoint."""
        nodes = self.nodes(head.size)
        for n in bundles:
            for offset, entry in enumerate(self.bundle(n, head.size)):
                index = n * tiles.WIDTH + offset
                proof = merkle.inclusion_proof(index, head.size, nodes)
                merkle.verify_inclusion(index, head.size, merkle.leaf_hash(entry), proof, head.root)
                self.inclusions += 1

    def bundle(self, n: int, size: int) -> list[bytes]:
        """Return the entries of bundle `n` in the tree of `size`."""
        width = min(tiles.WIDTH, size - n * tiles.WIDTH)
        entries = tiles.parse_bundle((self.folder / tiles.entries_path(n, width)).read_bytes())
        if len(entries) != width:
            raise RuntimeError(f"bundle {n} has {len(entries)} entries, not {width}")
        return entries

    def nodes(self, size: int) -> tiles.TileNodes:
        """A node source over the files of the tree of `size`."""
        widths = {(level, n): width for level, n, width in tiles.spans(size)}

        def read(level: int, n: int) -> bytes:
            return (self.folder / tiles.tile_path(level, n, widths[level, n])).read_bytes()

        return tiles.TileNodes(read)


def finish(vkeys: tuple[str, ...]) -> int:
    """Sequence what still waits and return the size of the log."""
    signers = sequencer.load_signers()
    while sequencer.sequence_once(signers) or models.Outbox.objects.exists():
        pass
    sequencer.sequence_once(signers)
    newest = selectors.latest_checkpoint()
    return 0 if newest is None else verify_checkpoint(newest.note, vkeys).size


def wait_for_database() -> None:
    """Return when the database answers again; TimeoutError after a minute."""
    until = time.monotonic() + 60
    while not _answers():
        if time.monotonic() > until:
            raise TimeoutError("the database does not come back")
        time.sleep(0.1)


def _answers() -> bool:
    try:
        connection.close()
        connection.ensure_connection()
    except OperationalError:
        return False
    return True


def lost_and_doubled(acknowledged: list[Path]) -> tuple[int, int, int]:
    """Return (acknowledged, lost, doubled) over all events whose commit returned."""
    told = [line for path in acknowledged for line in path.read_text().split()]
    stored = list(models.Entry.objects.order_by("index").values_list("index", "event_id"))
    gaps = sum(index != place for place, (index, _id) in enumerate(stored))
    ids = [event_id for _index, event_id in stored]
    doubled = len(ids) - len(set(ids)) + gaps
    return len(told), len(set(told) - set(ids)), doubled


def export_differs(folder: Path, size: int) -> int:
    """Count the exported files of the tree of `size` that are not what the tables hold."""
    different = 0
    for level, n, width in tiles.spans(size):
        data = selectors.read_tile(level, n)[: width * merkle.HASH_BYTES]
        different += (folder / tiles.tile_path(level, n, width)).read_bytes() != data
        if level == 0:
            rows = models.Entry.objects.filter(index__gte=n * 256, index__lt=n * 256 + width)
            payloads = [bytes(row.payload) for row in rows.order_by("index")]
            bundle = (folder / tiles.entries_path(n, width)).read_bytes()
            different += tiles.bundle(payloads) != bundle
    return different


def checkpoints_differ(vkeys: tuple[str, ...]) -> tuple[int, int]:
    """Return (compared, wrong) over every stored checkpoint against the tree of all entries.

    Every root that the entries have at that size is right, so any two of them are consistent.
    """
    tree, wrong = merkle.CompactRange(), 0
    recorded = {row.size: row for row in models.Checkpoint.objects.all()}
    for leaf in models.Entry.objects.order_by("index").values_list("payload", flat=True).iterator():
        tree.append(merkle.leaf_hash(bytes(leaf)))
        row = recorded.get(tree.size)
        if row is not None:
            head = verify_checkpoint(row.note, vkeys)
            wrong += (head.size, head.root) != (row.size, bytes(row.root))
            wrong += head.root != tree.root()
    return len(recorded), wrong + sum(size > tree.size for size in recorded)
