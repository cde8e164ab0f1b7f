"""Training's tables: what was uploaded, what ran under which grant, what came of it.

No workflow here. Pixels are nowhere in the database: rows name encrypted objects by digest. Hashes
of pictures stand here while the talent consents, and in no log entry.
"""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from registry.core.rights import BASES
from registry.models import Grant, Organisation, Person, RightsHolder, Talent, TrainingRequest
from registry.models.fields import PseudonymField

DIGEST = 64  # hex digits of a SHA-256


class Worker(models.Model):
    """A GPU machine. It may claim jobs once an operator has approved it; its keys never change."""

    id = PseudonymField(prefix="wrk")
    name = models.CharField(max_length=60)
    public_raw = models.BinaryField()  # Ed25519, 32 bytes: signs requests and run statements
    jkt = models.CharField(max_length=43, unique=True)
    hpke_public = models.BinaryField()  # X25519, 32 bytes: data keys are sealed to it
    pool = models.CharField(max_length=40, default="default")
    enrolled_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.id


class Dataset(models.Model):
    """The photographs of one request. What is sealed never changes; see `dataset_reopen`."""

    class State(models.TextChoices):
        UPLOADING = "uploading"
        CURATED = "curated"
        SEALED = "sealed"

    id = PseudonymField(prefix="dst")
    request = models.ForeignKey(TrainingRequest, models.PROTECT, related_name="datasets")
    state = models.CharField(max_length=10, choices=State, default=State.UPLOADING)
    # How far a running survey is, in pictures: nothing is silent.
    surveyed = models.PositiveIntegerField(default=0)
    curation = models.JSONField(null=True, blank=True)  # training.core.curation.Report payload
    acceptances = models.JSONField(default=list, blank=True)  # points taken on, with reasons
    curation_digest = models.CharField(max_length=DIGEST, blank=True)
    # The rights sheet that people signed: registry.core.rights.Sheet payload.
    rights = models.JSONField(null=True, blank=True)
    root = models.CharField(max_length=DIGEST, blank=True)
    count = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    sealed_event = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sealed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["request"], name="training_dataset_one_a_request")
        ]

    def __str__(self) -> str:
        return self.id


class Picture(models.Model):
    """One normalised photograph, stored encrypted under its object digest."""

    id = PseudonymField(prefix="pic")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="pictures")
    position = models.PositiveIntegerField()
    object_digest = models.CharField(max_length=DIGEST)
    file_sha256 = models.CharField(max_length=DIGEST)
    pixel_sha256 = models.CharField(max_length=DIGEST)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    bytes = models.PositiveIntegerField()
    accepted = models.BooleanField(default=True)  # False: left out of the set by the photographer
    box = models.JSONField(null=True, blank=True)  # the talent's face, [left, top, right, bottom]
    notes = models.JSONField(default=list, blank=True)  # what normalising did
    advice = models.JSONField(default=list, blank=True)  # codes of training.core.curation
    # What the upload itself said about training and its maker: training.core.reservations.Found.
    signals = models.JSONField(default=dict, blank=True)
    # A masked version: which boxes were painted over, and the picture that it stands for.
    masks = models.JSONField(default=list, blank=True)
    replaces = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="replaced_by"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "file_sha256"], name="training_picture_once"
            ),
            models.UniqueConstraint(
                fields=["dataset", "position"], name="training_picture_position"
            ),
        ]
        ordering: ClassVar = ["position"]

    def __str__(self) -> str:
        return self.id


class Shoot(models.Model):
    """When, for whom and for what photographs were taken: having the file says nothing of it."""

    id = PseudonymField(prefix="sht")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="shoots")
    shot_on = models.DateField()
    client = models.CharField(max_length=200)  # who commissioned it; the studio for own work
    purpose = models.CharField(max_length=300)  # what its release allowed at the time
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.shot_on} {self.client}"


class PictureRights(models.Model):
    """What the requester declared about one photograph. Binding: a false one is a breach."""

    picture = models.OneToOneField(Picture, models.CASCADE, related_name="rights")
    shoot = models.ForeignKey(Shoot, models.PROTECT, related_name="pictures")
    holder = models.ForeignKey(RightsHolder, models.PROTECT, related_name="pictures")
    basis = models.CharField(max_length=12, choices=[(k, ja) for k, (ja, _) in BASES.items()])
    moral_rights = models.BooleanField(default=False)
    credit_line = models.CharField(max_length=200, blank=True)
    original_sha256 = models.CharField(max_length=DIGEST, blank=True)
    operations = models.JSONField(default=list, blank=True)  # registry.core.rights.OPERATIONS
    retoucher = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    works = models.JSONField(default=list, blank=True)  # [{"work", "kind", "title"}]
    bystanders = models.JSONField(default=list, blank=True)  # [{"person", "box"}]
    creator_note = models.CharField(max_length=500, blank=True)
    exposure = models.CharField(max_length=20, default="full_clothed")  # vocabulary.EXPOSURE
    declared_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    declared_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.picture_id} {self.basis}"


class ReferencePicture(models.Model):
    """A picture that says who the talent is; sealed like the others, never trained on."""

    id = PseudonymField(prefix="ref")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="references")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="reference_pictures")
    object_digest = models.CharField(max_length=DIGEST)
    file_sha256 = models.CharField(max_length=DIGEST)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "talent", "file_sha256"], name="training_reference_once"
            )
        ]
        ordering: ClassVar = ["created_at", "id"]

    def __str__(self) -> str:
        return self.id


class FaceTemplate(models.Model):
    """A talent's face as one engine sees it, sealed with the pictures; emptied at the end."""

    id = PseudonymField(prefix="ftp")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="templates")
    talent = models.ForeignKey(Talent, models.PROTECT, related_name="face_templates")
    engine_mark = models.CharField(max_length=DIGEST)  # engine, pack and settings that made it
    sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "talent"], name="training_template_once")
        ]

    def __str__(self) -> str:
        return self.id


class TrainingJob(models.Model):
    """One run under a grant. The row is the queue: state, lease and fence are the truth.

    `fence` grows with every claim; whoever presents an older one has lost the job.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        CLAIMED = "claimed"
        TRAINING = "training"
        FINALISING = "finalising"
        DONE = "done"
        REFUSED = "refused"
        STOPPED = "stopped"
        FAILED = "failed"

    id = PseudonymField(prefix="job")
    request = models.ForeignKey(TrainingRequest, models.PROTECT, related_name="jobs")
    grant = models.ForeignKey(Grant, models.PROTECT, related_name="jobs")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="jobs")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED, db_index=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    worker = models.ForeignKey(Worker, models.PROTECT, null=True, blank=True, related_name="jobs")
    lease_until = models.DateTimeField(null=True, blank=True)
    # A worker told to stop has until then to say that it wiped.
    stop_code = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps_total = models.PositiveIntegerField(default=0)
    refusal_code = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    token_jti = models.CharField(max_length=24, blank=True)
    # What the gate saw when it let the run in: {"token", "status_list", "at"}. Evidence packs
    # verify the token again as of that moment.
    admission = models.JSONField(null=True, blank=True)
    stop_report = models.JSONField(null=True, blank=True)
    # A finished run before its LoRA is sealed: {"master_object", "tensor_sha256", "run_statement"}.
    result = models.JSONField(null=True, blank=True)
    queued_event = models.CharField(max_length=40, blank=True)
    admitted_event = models.CharField(max_length=40, blank=True)
    ended_event = models.CharField(max_length=40, blank=True)  # run.finished, stopped, …
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["state", "created_at"], name="training_job_queue")
        ]
        constraints: ClassVar = [
            # A job that somebody works on has a worker and a lease; one that waits has neither.
            models.CheckConstraint(
                name="training_job_lease",
                condition=(
                    models.Q(state__in=["claimed", "training"])
                    & models.Q(worker__isnull=False, lease_until__isnull=False)
                )
                | models.Q(state="queued", lease_until__isnull=True)
                | models.Q(state__in=["finalising", "done", "refused", "stopped", "failed"]),
            )
        ]

    def __str__(self) -> str:
        return self.id


class JobPoint(models.Model):
    """One point of a run's loss curve."""

    job = models.ForeignKey(TrainingJob, models.CASCADE, related_name="points")
    step = models.PositiveIntegerField()
    loss = models.FloatField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "step"], name="training_point_once")
        ]
        ordering: ClassVar = ["step"]

    def __str__(self) -> str:
        return f"{self.job_id} {self.step}"


class Lora(models.Model):
    """What a run made. The unmarked master stays here, sealed under the data set's key."""

    class State(models.TextChoices):
        SEALED = "sealed"
        FROZEN = "frozen"

    id = PseudonymField(prefix="lor")
    job = models.OneToOneField(TrainingJob, models.PROTECT, related_name="lora")
    state = models.CharField(max_length=8, choices=State, default=State.SEALED)
    master_object = models.CharField(max_length=DIGEST)
    tensor_sha256 = models.CharField(max_length=DIGEST)
    run_statement = models.JSONField()  # DSSE envelope: worker and registry
    # The sealed grid of sample pictures; empty when the recipe makes none.
    samples_object = models.CharField(max_length=DIGEST, blank=True)
    # The same seeds drawn by the base model alone.
    base_samples_object = models.CharField(max_length=DIGEST, blank=True)
    sketch = models.BinaryField()  # training.core.fingerprint, packed
    # The same of the factors that are delivered; empty where they cancel out.
    factor_sketch = models.BinaryField(default=bytes)
    watermark_profile = models.CharField(max_length=40)
    # What marking with a throw-away id and reading back showed; the bands of it go to pages.
    self_test = models.JSONField(default=dict)
    sealed_event = models.CharField(max_length=40)
    frozen_event = models.CharField(max_length=40, blank=True)
    frozen_code = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.id


class OutputProbe(models.Model):
    """What a LoRA's samples show, measured once after sealing, and whether somebody must look.

    `resembles` is for operators: registered talents whom the grant does not name. It stands in no
    report, in no log entry and on nobody else's page.
    """

    id = PseudonymField(prefix="prb")
    lora = models.OneToOneField(Lora, models.PROTECT, related_name="probe")
    report = models.JSONField()  # training.core.probes.ProbeReport payload
    report_digest = models.CharField(max_length=DIGEST)
    held = models.CharField(max_length=40, blank=True)  # the refusal that keeps it back
    resembles = models.JSONField(default=list, blank=True)
    event = models.CharField(max_length=40)
    created_at = models.DateTimeField()
    # An operator looked: set free with a reason, or kept back for good.
    decision = models.CharField(max_length=10, blank=True)  # released, upheld
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.TextField(blank=True)
    decided_event = models.CharField(max_length=40, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.lora_id} {self.held}"


class OutputDecision(models.Model):
    """What one of those who signed says of the outputs, before anything is delivered (校了).

    The newest row of a person counts; nothing is overwritten.
    """

    class Decision(models.TextChoices):
        APPROVED = "approved"
        RETURNED = "returned"

    id = PseudonymField(prefix="out")
    lora = models.ForeignKey(Lora, models.PROTECT, related_name="output_decisions")
    person = models.ForeignKey(Person, models.PROTECT, related_name="+")
    by = models.CharField(max_length=16)
    decision = models.CharField(max_length=8, choices=Decision)
    payload = models.JSONField(null=True)  # a yes: the assertion, whole
    note = models.TextField(blank=True)  # for the requester; never in the log
    event = models.CharField(max_length=40)
    decided_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["decided_at", "id"]

    def __str__(self) -> str:
        return f"{self.lora_id} {self.by} {self.decision}"


class SampleSheet(models.Model):
    """The marked sheet of what a run drew, as people see it; its pixels are `samples_object`'s."""

    lora = models.OneToOneField(Lora, models.PROTECT, related_name="sheet")
    sha256 = models.CharField(max_length=DIGEST, db_index=True)  # of the PNG
    manifest = models.BinaryField()  # C2PA, for pictures from which it was stripped
    event = models.CharField(max_length=40)

    def __str__(self) -> str:
        return f"samples of {self.lora_id}"


class SamplePicture(models.Model):
    """One picture of a sheet: what its invisible mark says, and how it looks."""

    sheet = models.ForeignKey(SampleSheet, models.PROTECT, related_name="pictures")
    place = models.PositiveSmallIntegerField()
    # 32 random bits; null for a picture too small to take a mark.
    mark = models.PositiveBigIntegerField(unique=True, null=True)
    picture_hash = models.DecimalField(max_digits=20, decimal_places=0)  # 64 bits

    class Meta:
        ordering = ("sheet", "place")

    def __str__(self) -> str:
        return f"{self.sheet_id}/{self.place}"


class WatermarkEpoch(models.Model):
    """A later key epoch of the watermark; the first has no row."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    begun_at = models.DateTimeField()
    event = models.CharField(max_length=40)

    def __str__(self) -> str:
        return f"epoch {self.number}"


class Delivery(models.Model):
    """One marked copy for one recipient, encrypted to their key, behind a link that works once."""

    # The link's token, on the instance that made it and never in the database: shown once.
    link: str = ""

    id = PseudonymField(prefix="dlv")
    lora = models.ForeignKey(Lora, models.PROTECT, related_name="deliveries")
    recipient = models.ForeignKey(Organisation, models.PROTECT, related_name="deliveries")
    epoch = models.PositiveSmallIntegerField(default=1, db_index=True)  # whose key marked it
    artefact_id = models.PositiveBigIntegerField(unique=True)  # 48 bits: what the watermark says
    file_sha256 = models.CharField(max_length=DIGEST, db_index=True)
    tensor_sha256 = models.CharField(max_length=DIGEST, db_index=True)
    object_digest = models.CharField(max_length=DIGEST)  # the encrypted folder
    statement = models.JSONField()  # DSSE envelope of the registry
    event = models.CharField(max_length=40)
    link_token_hash = models.CharField(max_length=DIGEST, unique=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    link_number = models.PositiveSmallIntegerField(default=1)  # one more with every new link
    link_used_at = models.DateTimeField(null=True, blank=True)  # a link works once
    fetched_at = models.DateTimeField(null=True, blank=True)  # the first time

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return self.id


class Download(models.Model):
    """One time that a delivery was handed out: when, and by which of its links."""

    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="downloads")
    link_number = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    event = models.CharField(max_length=40)

    class Meta:
        ordering = ("at",)
        constraints = (
            models.UniqueConstraint("delivery", "link_number", name="training_download_once"),
        )

    def __str__(self) -> str:
        return f"{self.delivery_id}/{self.link_number}"
