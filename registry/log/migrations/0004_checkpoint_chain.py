"""Each checkpoint names the one before it, and its time is the whole second that is signed."""

from django.db import migrations, models

# The guard against changes must let this one through, and hold the new column afterwards.
FILL = """
ALTER TABLE log_checkpoint DISABLE TRIGGER log_checkpoint_sign_once;
UPDATE log_checkpoint SET at = date_trunc('second', at), previous = COALESCE(
  (SELECT max(p.size) FROM log_checkpoint p WHERE p.size < log_checkpoint.size), 0);
ALTER TABLE log_checkpoint ENABLE TRIGGER log_checkpoint_sign_once;

CREATE OR REPLACE FUNCTION log_checkpoint_sign_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.note = '' AND NEW.note <> '' AND NEW.size = OLD.size AND NEW.previous = OLD.previous
     AND NEW.root = OLD.root AND NEW.at = OLD.at THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'append-only: a checkpoint gets its signed note once and is never changed';
END $$;
"""
# The older function does not look at the column, which is gone then.
BACK = """
CREATE OR REPLACE FUNCTION log_checkpoint_sign_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.note = '' AND NEW.note <> ''
     AND NEW.size = OLD.size AND NEW.root = OLD.root AND NEW.at = OLD.at THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'append-only: a checkpoint gets its signed note once and is never changed';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("log", "0003_anchors")]

    operations = [
        migrations.AddField(
            "checkpoint", "previous", models.BigIntegerField(default=0), preserve_default=False
        ),
        migrations.RunSQL(FILL, BACK),
        migrations.AddConstraint(
            "checkpoint",
            models.CheckConstraint(
                condition=models.Q(("previous__gte", 0), ("previous__lt", models.F("size"))),
                name="log_checkpoint_previous",
            ),
        ),
    ]
