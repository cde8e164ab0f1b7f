"""The log's tables: outbox, entries, subjects, tiles, checkpoints.

The database is trusted to keep rows, not to tell the truth: triggers refuse changes to entries and
checkpoints as guard rails, and whoever gets round them is found by `fsck` against any checkpoint
that somebody else holds. Tiles and subjects are caches and can be recomputed from the entries.
"""

from django.db import models


class Outbox(models.Model):
    """An event that is committed and waits for its index. `payload` is what becomes the leaf.

    `seq` is the order of writing: what one transaction appends, or waits for before it begins,
    keeps its order in the log. It is no index: transactions that roll back leave gaps in it.
    """

    seq = models.BigAutoField(primary_key=True)
    id = models.UUIDField()
    payload = models.BinaryField()
    created = models.DateTimeField()

    class Meta:
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return f"evt_{self.id.hex}"


class Entry(models.Model):
    """A leaf of the tree. Indices are contiguous from 0; a row is never changed or deleted."""

    index = models.BigIntegerField(primary_key=True)
    event_id = models.CharField(max_length=36)
    event_type = models.CharField(max_length=64)
    leaf_hash = models.BinaryField()
    payload = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "entries"
        constraints = [  # noqa: RUF012
            models.CheckConstraint(condition=models.Q(index__gte=0), name="log_entry_index_gte_0"),
            models.UniqueConstraint(fields=["event_id"], name="log_entry_event_id"),
        ]
        indexes = [models.Index(fields=["event_type", "index"], name="log_entry_type_index")]  # noqa: RUF012

    def __str__(self) -> str:
        return f"{self.index} {self.event_type} {self.event_id}"


class Subject(models.Model):
    """That entry `index` names `word`, an id or digest (`core.subjects`); written with it."""

    pk = models.CompositePrimaryKey("word", "index")
    word = models.CharField(max_length=128)
    index = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.word} in {self.index}"


class Tile(models.Model):
    """Up to 256 hashes of one tile level; a partial tile grows in place."""

    pk = models.CompositePrimaryKey("level", "n")
    level = models.SmallIntegerField()
    n = models.BigIntegerField()
    width = models.SmallIntegerField()
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.level}/{self.n} ({self.width})"


class Checkpoint(models.Model):
    """A tree head. `size` is the key, so two roots for one size can never both be recorded.

    `note` is empty between the commit of the root and its signature, and is written once.
    `previous` is the size of the checkpoint before, 0 for the first: none can be left out unseen.
    `at` is in whole seconds, as the cosignature says it.
    """

    size = models.BigIntegerField(primary_key=True)
    previous = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField(blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        indexes = [  # noqa: RUF012
            models.Index(
                fields=["size"], condition=models.Q(note=""), name="log_checkpoint_unsigned"
            )
        ]
        constraints = [  # noqa: RUF012
            models.CheckConstraint(
                condition=models.Q(previous__gte=0, previous__lt=models.F("size")),
                name="log_checkpoint_previous",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.size} {bytes(self.root).hex()[:16]}"


class Anchor(models.Model):
    """How a witness or a time-stamping authority fared last. Not history: the notes are."""

    name = models.CharField(primary_key=True, max_length=255)
    kind = models.CharField(max_length=8)  # witness, tsa
    size = models.BigIntegerField(default=0)
    answered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=500, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.failure or self.size}"


class Timestamp(models.Model):
    """An RFC 3161 response over the note of the checkpoint of `size`; never changed."""

    pk = models.CompositePrimaryKey("size", "authority")
    size = models.BigIntegerField()
    authority = models.CharField(max_length=255)
    response = models.BinaryField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.size} stamped by {self.authority} at {self.at:%Y-%m-%d}"
