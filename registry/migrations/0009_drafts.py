"""Requests while they are being written."""

import django.db.models.deletion
from django.db import migrations, models

import registry.models.fields


class Migration(migrations.Migration):
    dependencies = [("registry", "0008_personal")]

    operations = [
        migrations.CreateModel(
            name="RequestDraft",
            fields=[
                ("id", registry.models.fields.PseudonymField(prefix="drf", serialize=False)),
                ("data", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="request_drafts",
                        to="registry.person",
                    ),
                ),
            ],
        ),
    ]
