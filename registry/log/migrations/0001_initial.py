"""The log's tables and the triggers that keep entries and checkpoints append-only."""

from django.db import migrations, models

# Guard rails, not proof: a superuser gets round them, and the checkpoints that others hold show it.
FORWARD = """
CREATE FUNCTION log_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'append-only: % on % is refused', TG_OP, TG_TABLE_NAME;
END $$;

CREATE FUNCTION log_checkpoint_sign_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.note = '' AND NEW.note <> ''
     AND NEW.size = OLD.size AND NEW.root = OLD.root AND NEW.at = OLD.at THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'append-only: a checkpoint gets its signed note once and is never changed';
END $$;

CREATE TRIGGER log_entry_no_change BEFORE UPDATE OR DELETE ON log_entry
  FOR EACH ROW EXECUTE FUNCTION log_refuse_change();
CREATE TRIGGER log_entry_no_truncate BEFORE TRUNCATE ON log_entry
  FOR EACH STATEMENT EXECUTE FUNCTION log_refuse_change();
CREATE TRIGGER log_checkpoint_sign_once BEFORE UPDATE ON log_checkpoint
  FOR EACH ROW EXECUTE FUNCTION log_checkpoint_sign_once();
CREATE TRIGGER log_checkpoint_no_delete BEFORE DELETE ON log_checkpoint
  FOR EACH ROW EXECUTE FUNCTION log_refuse_change();
CREATE TRIGGER log_checkpoint_no_truncate BEFORE TRUNCATE ON log_checkpoint
  FOR EACH STATEMENT EXECUTE FUNCTION log_refuse_change();
"""

BACKWARD = """
DROP TRIGGER log_entry_no_change ON log_entry;
DROP TRIGGER log_entry_no_truncate ON log_entry;
DROP TRIGGER log_checkpoint_sign_once ON log_checkpoint;
DROP TRIGGER log_checkpoint_no_delete ON log_checkpoint;
DROP TRIGGER log_checkpoint_no_truncate ON log_checkpoint;
DROP FUNCTION log_checkpoint_sign_once();
DROP FUNCTION log_refuse_change();
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("payload", models.BinaryField()),
                ("created", models.DateTimeField()),
            ],
            options={"verbose_name_plural": "outbox"},
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("index", models.BigIntegerField(primary_key=True, serialize=False)),
                ("event_id", models.CharField(max_length=36, unique=True)),
                ("event_type", models.CharField(db_index=True, max_length=64)),
                ("leaf_hash", models.BinaryField()),
                ("payload", models.BinaryField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "entries",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("index__gte", 0)), name="log_entry_index_gte_0"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Tile",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level",
                        "n",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("level", models.SmallIntegerField()),
                ("n", models.BigIntegerField()),
                ("width", models.SmallIntegerField()),
                ("data", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("size", models.BigIntegerField(primary_key=True, serialize=False)),
                ("root", models.BinaryField()),
                ("note", models.TextField(blank=True, default="")),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
