"""Drafts are handed over too."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0012_confirmations")]

    operations = [
        migrations.AddField(
            model_name="handover",
            name="organisation",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.organisation",
            ),
        ),
        migrations.AlterField(
            model_name="handover",
            name="request",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="hand_overs",
                to="registry.trainingrequest",
            ),
        ),
        migrations.AddField(
            model_name="handover",
            name="draft",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="hand_overs",
                to="registry.requestdraft",
            ),
        ),
        migrations.AddConstraint(
            model_name="handover",
            constraint=models.UniqueConstraint(
                condition=models.Q(("taken_at__isnull", True)),
                fields=("draft",),
                name="registry_handover_one_open_draft",
            ),
        ),
        migrations.AddConstraint(
            model_name="handover",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("draft__isnull", True), ("request__isnull", False)),
                    models.Q(("draft__isnull", False), ("request__isnull", True)),
                    _connector="OR",
                ),
                name="registry_handover_one_thing",
            ),
        ),
    ]
