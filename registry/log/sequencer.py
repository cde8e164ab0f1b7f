"""The sequencer: from the outbox to a signed checkpoint. There is exactly one at a time.

It trusts the outbox for what happened and nothing else: every root is computed twice, and before
it signs it compares this database's history with the newest checkpoint it finds anywhere. Recovery
has no path of its own: each pass begins with whatever the last one left.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)
from django.utils import timezone

from registry.log import anchors, export, keyfiles, models, origins, rows, selectors, witnesses
from registry.log.core import keys, merkle, subjects, tiles
from registry.log.core.checkpoint import Checkpoint, LogSigners, verify_checkpoint
from registry.log.core.errors import VerificationError
from registry.log.rows import Leaf

logger = logging.getLogger(__name__)

# A sequencer that is frozen with the lock (its machine asleep, its network cut) loses it after this
# long, so that the standby can go on; PostgreSQL then undoes what it had begun.
FROZEN_MS: Final = 60_000
LOCK_KEY: Final = 0x6B79_6F64_616B_7531  # any constant; this one spells "kyodaku1"
BATCH: Final = 5_000
RETRY_SECONDS: Final = 1.0


def load_signers() -> LogSigners:
    """Load the log's two keys from settings.KEYS_DIR; raises KeyFileError. No default exists."""
    folder: Path = settings.KEYS_DIR
    seeds = [
        keyfiles.read_secret(folder / name, keys.SEED_BYTES)
        for name in ("checkpoint.ed25519", "checkpoint.mldsa44")
    ]
    return LogSigners(
        origin=settings.LOG_ORIGIN,
        ed25519=keys.Ed25519Signer.from_seed(seeds[0]),
        mldsa44=keys.Mldsa44Signer.from_seed(seeds[1]),
    )


def sequence_once(signers: LogSigners) -> int:
    """Do one pass and return the number of entries that got an index.

    (1) integrate a batch: entries, tiles and the root, in one transaction; (2) sign every root
    that is recorded without a note, and have it cosigned; (3) export. Returns 0 when another
    sequencer holds the lock. Raises VerificationError `log_rolled_back`, `log_forked`,
    `root_mismatch`, `outbox_malformed`: nothing is signed.
    """
    moved = _integrate(signers)  # (1)
    # A crash here: entries and root are durable, the note is empty. The next pass signs it.
    _sign_pending(signers)  # (2)
    # A crash here: the checkpoint is signed but not exported. The next pass exports it.
    _export()  # (3)
    return moved


def run(signers: LogSigners, stop: threading.Event, *, interval: float = 0.1) -> None:
    """Sequence until `stop` is set, a pass every `interval` seconds; at once after a full batch.

    A lost database connection is retried. A broken history is not: VerificationError ends the run.
    """
    checked = False
    while not stop.is_set():
        begun = time.monotonic()
        try:
            if not checked:
                _check_start(signers)
                checked = True
            full = sequence_once(signers) == BATCH
            pause = 0.0 if full else interval - (time.monotonic() - begun)
        except (OperationalError, InterfaceError):
            logger.exception("database not reachable, will try again")
            close_old_connections()
            pause = RETRY_SECONDS
        stop.wait(max(0.0, pause))


def _check_start(signers: LogSigners) -> None:
    origins.require_opened(signers)
    check_history(signers)
    witnesses.refuse_smaller(witnesses.policy(), signers, rows.tree_size(), at=int(time.time()))


def check_history(signers: LogSigners) -> tiles.TileNodes:
    """Refuse to go on from a restored backup or another history; return the tree as it was found.

    (1) the newest recorded checkpoint covers exactly the entries; (2) the exported checkpoint is
    signed by our keys; (3) neither is larger than our tree; (4) our tree has their root at their
    size. After a rollback open a new origin; never sign a second history under the old one.
    """
    size, nodes = rows.tree_size(), tiles.TileNodes(selectors.read_tile)
    recorded = rows.recorded_head()
    if size != (0 if recorded is None else recorded[0]):  # (1)
        raise VerificationError(
            "log_rolled_back",
            f"{size} entries are not what was recorded. Run `manage.py fsck`. Nothing is signed",
        )
    if recorded is not None:
        _require_prefix(size, Checkpoint("", *recorded), nodes, "the recorded checkpoint")
    note = _exported_note()
    if note:
        known = _verified(note, signers.vkeys())  # (2)
        _require_prefix(size, known, nodes, "the exported checkpoint")
    return nodes


@lru_cache(maxsize=8)
def _verified(note: str, vkeys: tuple[str, ...]) -> Checkpoint:
    """Verify a note once: the one read back after signing is the one exported a moment later."""
    return verify_checkpoint(note, vkeys)


def _require_prefix(size: int, known: Checkpoint, nodes: tiles.TileNodes, name: str) -> None:
    if known.size > size:  # (3)
        raise VerificationError(
            "log_rolled_back",
            f"{name} has {known.size} entries, this database {size}. {anchors.ROLLED_BACK_ADVICE}",
        )
    if merkle.root_from_nodes(known.size, nodes) != known.root:  # (4)
        raise VerificationError(
            "log_forked",
            f"{name} at {known.size} has another root. {anchors.ROLLED_BACK_ADVICE}",
        )


def _integrate(signers: LogSigners) -> int:
    with transaction.atomic(durable=True):
        if not _locked():
            return 0
        leaves = _take_batch()
        if not leaves:
            return 0
        nodes, size = check_history(signers), rows.tree_size()
        tree = merkle.CompactRange(size, (nodes(*place) for place in merkle.edge_nodes(size)))
        for leaf in leaves:
            tree.append(leaf.hash)
        _insert_entries(size, leaves)
        _write_tiles(tiles.extend(size, [leaf.hash for leaf in leaves], nodes.data))
        _recheck(size, tree.size, tree.root())
        models.Checkpoint.objects.create(
            size=tree.size,
            previous=size,
            root=tree.root(),
            at=timezone.now().replace(microsecond=0),
        )
        # A crash before the commit: all of it is undone, the batch is back in the outbox.
    return len(leaves)


def _sign_pending(signers: LogSigners) -> None:
    """Commit the root first, then sign, then publish: what is signed here is already durable.

    With witnesses, the newest is cosigned before anything of it is kept. While too few of them
    answer it stays unsigned, and nothing newer is published; the next pass asks again, for what is
    newest then.
    """
    policy = witnesses.policy()
    with transaction.atomic(durable=True):
        notes = _notes(signers) if _locked() else {}
        if not policy.witnesses:
            _keep(notes)
        # A crash before the commit: the signatures are forgotten, nobody saw them. The next pass
        # signs the same size and root again.
    if not policy.witnesses or not notes:
        return
    size = max(notes)
    notes[size], given = witnesses.cosign(
        policy, notes[size], _verified(notes[size], signers.vkeys())
    )
    # A crash here: a witness knows the size, we do not yet. It cosigns the same tree again.
    if given < policy.quorum:
        short = "checkpoint %d has %d of %d cosignatures; not published"
        logger.error(short, size, given, policy.quorum)
        return
    verify_checkpoint(notes[size], (*signers.vkeys(), *policy.vkeys), witnesses=policy.quorum)
    with transaction.atomic(durable=True):
        if _locked():
            still = models.Checkpoint.objects.filter(note="", size__in=notes)
            _keep({row: notes[row] for row in still.values_list("size", flat=True)})


def _notes(signers: LogSigners) -> dict[int, str]:
    """Sign every recorded root that has no note, by size; nothing is kept yet."""
    pending = list(models.Checkpoint.objects.filter(note="").order_by("size"))
    nodes = check_history(signers) if pending else None
    return {row.size: _sign(signers, row, nodes) for row in pending if nodes is not None}


def _sign(signers: LogSigners, row: models.Checkpoint, nodes: tiles.TileNodes) -> str:
    if merkle.root_from_nodes(row.size, nodes) != bytes(row.root):
        raise VerificationError("log_forked", f"the recorded root at {row.size} is not the tree's")
    note = signers.sign(row.size, bytes(row.root), at=int(row.at.timestamp()))
    # Read back what is about to be published: a bit flipped while signing ends here.
    _verified(note, signers.vkeys())
    return note


def _keep(notes: Mapping[int, str]) -> None:
    for size, note in sorted(notes.items()):
        if models.Checkpoint.objects.filter(size=size, note="").update(note=note) != 1:
            raise VerificationError("log_forked", f"checkpoint {size} was signed by somebody else")


def _export() -> None:
    folder: Path | None = settings.LOG_EXPORT_DIR
    if folder is None:
        return
    with transaction.atomic(durable=True):
        if _locked():  # held while writing, so that an older checkpoint never replaces a newer one
            export.export(folder)


def _exported_note() -> str:
    folder: Path | None = settings.LOG_EXPORT_DIR
    return "" if folder is None else export.exported_note(folder)


def _locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s),"
            " set_config('idle_in_transaction_session_timeout', %s, true)",
            [LOCK_KEY, str(FROZEN_MS)],
        )
        return bool(cursor.fetchone()[0])


def _take_batch() -> list[Leaf]:
    """Take a batch out of the outbox, in the order of writing."""
    return [_leaf(seq, payload) for seq, payload in rows.take_outbox(BATCH)]


def _leaf(seq: int, payload: bytes) -> Leaf:
    try:
        event = json.loads(payload)
        at, words = datetime.fromisoformat(event["at"]), tuple(subjects.words_of(event))
        if at.tzinfo is None:
            raise ValueError("its time has no time zone")
        return Leaf(event["id"], event["type"], at, payload, merkle.leaf_hash(payload), words)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerificationError(
            "outbox_malformed",
            f"outbox row {seq} was not written by append: {error}. Nothing is sequenced past it;"
            " find out who can write to log_outbox, then remove the row by hand",
        ) from error


def _insert_entries(size: int, leaves: Sequence[Leaf]) -> None:
    rows.insert_entries(size, leaves)


def _write_tiles(changed: Sequence[tiles.Tile]) -> None:
    rows.write_tiles(changed)


def _recheck(old: int, new: int, root: bytes) -> None:
    """Recompute the root by a second way: rows as stored, tiles as stored, no compact range.

    A Certificate Transparency log died of one bit that flipped between hashing and signing.
    """
    nodes = tiles.TileNodes(selectors.read_tile)
    stored = rows.read_entries(old, new)
    if [index for index, _hash, _payload in stored] != list(range(old, new)):
        raise VerificationError("root_mismatch", f"entries {old} to {new} are not contiguous")
    for index, stored_hash, payload in stored:
        leaf = merkle.leaf_hash(payload)
        if leaf != stored_hash or leaf != nodes.leaf(index):
            raise VerificationError("root_mismatch", f"entry {index} is not what was hashed")
    if merkle.root_from_nodes(new, nodes) != root:
        raise VerificationError("root_mismatch", f"two computations of the root at {new} differ")
