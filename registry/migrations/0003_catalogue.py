"""Base-model licences become a catalogue: one record a model, dated revisions of its facts."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import registry.models.fields
from registry.core.ids import new_id
from registry.core.licences import KINDS, ROLES, Facts

# Guard rails, not proof: a superuser gets round them; each revision's digest stands in the log.
FORWARD = """
CREATE FUNCTION registry_refuse_revision_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a licence revision is never edited: % on % is refused', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER registry_revision_no_change BEFORE UPDATE OR DELETE ON registry_modelrevision
  FOR EACH ROW EXECUTE FUNCTION registry_refuse_revision_change();
CREATE TRIGGER registry_part_no_change BEFORE UPDATE OR DELETE ON registry_modelpart
  FOR EACH ROW EXECUTE FUNCTION registry_refuse_revision_change();
"""
BACKWARD = """
DROP TRIGGER registry_revision_no_change ON registry_modelrevision;
DROP TRIGGER registry_part_no_change ON registry_modelpart;
DROP FUNCTION registry_refuse_revision_change();
"""


def revisions(apps, schema_editor):
    """What stood on a base-model licence becomes the first revision of its record, or the next one
    when two licences of the same bytes had been recorded."""
    record_of = {}
    record_model = apps.get_model("registry", "ModelRecord")
    revision_model = apps.get_model("registry", "ModelRevision")
    request_model = apps.get_model("registry", "TrainingRequest")
    for row in record_model.objects.order_by("read_on", "id"):
        record = record_of.setdefault(row.sha256, row)
        facts = Facts(
            licence_id=row.licence_id,
            licence_sha256=row.licence_sha256,
            read_on=row.read_on.isoformat(),
            commercial=row.commercial,
            outputs=row.commercial,
            confidence="T",
            source=row.source or "recorded before the catalogue",
        )
        revision_model.objects.create(
            id=new_id("rev"),
            record=record,
            number=revision_model.objects.filter(record=record).count() + 1,
            facts=facts.to_payload(),
            facts_sha256=facts.digest(),
            licence_text=row.licence_text,
            recorded_at=django.utils.timezone.now(),
        )
        if record.pk != row.pk:
            request_model.objects.filter(base_model=row).update(base_model=record)
            row.delete()


def choices(words):
    return [(word, word) for word in words]


def person():
    return models.ForeignKey(
        blank=True,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="registry.person",
    )


def organisation(name):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name=name, to="registry.organisation"
    )


def pseudonym(prefix):
    return registry.models.fields.PseudonymField(prefix=prefix, serialize=False)


def number():
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_holds")]

    operations = [
        migrations.RenameModel("BaseModelLicence", "ModelRecord"),
        migrations.RemoveConstraint("modelrecord", "registry_baselicence_once"),
        migrations.AlterField(
            "modelrecord",
            "id",
            registry.models.fields.PseudonymField(prefix="mdl", serialize=False),
        ),
        migrations.AlterField("modelrecord", "sha256", models.CharField(blank=True, max_length=64)),
        migrations.AddField(
            "modelrecord",
            "kind",
            models.CharField(choices=choices(KINDS), default="base", max_length=20),
        ),
        migrations.AddField("modelrecord", "files", models.JSONField(blank=True, default=list)),
        migrations.AddField(
            "modelrecord", "air_id", models.CharField(blank=True, default="", max_length=200)
        ),
        migrations.AddField(
            "modelrecord", "seed_key", models.CharField(blank=True, default="", max_length=60)
        ),
        migrations.AddField(
            "modelrecord",
            "created_at",
            models.DateTimeField(auto_now_add=True, default=django.utils.timezone.now),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="ModelRevision",
            fields=[
                ("id", pseudonym("rev")),
                ("number", models.PositiveIntegerField()),
                ("facts", models.JSONField()),
                ("facts_sha256", models.CharField(max_length=64)),
                ("licence_text", models.TextField(blank=True)),
                ("recorded_at", models.DateTimeField()),
                ("event", models.CharField(max_length=40)),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="revisions",
                        to="registry.modelrecord",
                    ),
                ),
                ("recorded_by", person()),
            ],
            options={"ordering": ["number"]},
        ),
        migrations.CreateModel(
            name="ModelPart",
            fields=[
                ("id", number()),
                ("role", models.CharField(choices=choices(ROLES), max_length=20)),
                (
                    "part",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="part_of",
                        to="registry.modelrecord",
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="registry.modelrevision",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LicenseeDeclaration",
            fields=[
                ("id", pseudonym("dec")),
                ("measure", models.CharField(max_length=20)),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("below", models.PositiveBigIntegerField()),
                ("declared_on", models.DateField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("organisation", organisation("declarations")),
                ("declared_by", person()),
            ],
        ),
        migrations.CreateModel(
            name="LicenceRegistration",
            fields=[
                ("id", pseudonym("lrg")),
                ("licence_id", models.CharField(max_length=120)),
                ("number", models.CharField(max_length=120)),
                ("registered_on", models.DateField()),
                ("ended_on", models.DateField(blank=True, null=True)),
                ("organisation", organisation("licence_registrations")),
            ],
        ),
        migrations.RunPython(revisions, migrations.RunPython.noop, elidable=True),
        # Rows and columns in one transaction: the deferred foreign keys are looked at now.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.RemoveField("modelrecord", "licence_id"),
        migrations.RemoveField("modelrecord", "licence_text"),
        migrations.RemoveField("modelrecord", "licence_sha256"),
        migrations.RemoveField("modelrecord", "commercial"),
        migrations.RemoveField("modelrecord", "source"),
        migrations.RemoveField("modelrecord", "read_on"),
        migrations.AlterField(
            "modelrecord", "air_id", models.CharField(blank=True, max_length=200)
        ),
        migrations.AlterField(
            "modelrecord", "seed_key", models.CharField(blank=True, max_length=60)
        ),
        migrations.AddConstraint(
            "modelrecord",
            models.UniqueConstraint(
                condition=models.Q(("sha256", ""), _negated=True),
                fields=("sha256",),
                name="registry_model_digest_once",
            ),
        ),
        migrations.AddConstraint(
            "modelrecord",
            models.UniqueConstraint(
                condition=models.Q(("seed_key", ""), _negated=True),
                fields=("seed_key",),
                name="registry_model_seed_once",
            ),
        ),
        migrations.AddConstraint(
            "modelrevision",
            models.UniqueConstraint(
                fields=("record", "number"), name="registry_model_revision_number"
            ),
        ),
        migrations.AddConstraint(
            "modelpart",
            models.UniqueConstraint(
                fields=("revision", "part", "role"), name="registry_model_part_once"
            ),
        ),
        migrations.AddConstraint(
            "licenceregistration",
            models.UniqueConstraint(
                condition=models.Q(("ended_on__isnull", True)),
                fields=("organisation", "licence_id"),
                name="registry_registration_open_once",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
