"""Confirmations say for which talent and by which authority, and when they began to count."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0011_throttle")]

    operations = [
        migrations.RemoveField(model_name="confirmation", name="challenge_sha256"),
        migrations.AddField(
            model_name="confirmation",
            name="subject",
            field=models.CharField(default="", max_length=24),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="confirmation",
            name="authority",
            field=models.CharField(blank=True, max_length=24),
        ),
        migrations.AddField(
            model_name="confirmation",
            name="counted_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="challenge",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("enrol", "Enrol"),
                    ("approve", "Approve"),
                    ("resume", "Resume"),
                    ("confirm", "Confirm"),
                ],
                max_length=8,
            ),
        ),
    ]
