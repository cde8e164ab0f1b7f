"""Who vouches for the log from outside: their state, and their time stamps."""

from django.db import migrations, models

FORWARD = """
CREATE TRIGGER log_timestamp_no_change BEFORE UPDATE OR DELETE ON log_timestamp
  FOR EACH ROW EXECUTE FUNCTION log_refuse_change();
CREATE TRIGGER log_timestamp_no_truncate BEFORE TRUNCATE ON log_timestamp
  FOR EACH STATEMENT EXECUTE FUNCTION log_refuse_change();
"""
BACKWARD = """
DROP TRIGGER log_timestamp_no_change ON log_timestamp;
DROP TRIGGER log_timestamp_no_truncate ON log_timestamp;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("log", "0002_engine"),
    ]

    operations = [
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=8)),
                ("size", models.BigIntegerField(default=0)),
                ("answered_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("failure", models.CharField(blank=True, default="", max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name="Timestamp",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "size",
                        "authority",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("size", models.BigIntegerField()),
                ("authority", models.CharField(max_length=255)),
                ("response", models.BinaryField()),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
