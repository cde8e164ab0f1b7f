"""What a reported use shows, and at which price."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.AddField("usereport", "context", models.JSONField(default=dict)),
        migrations.AddField("usereport", "impressions", models.PositiveIntegerField(default=0)),
        migrations.AddField("usereport", "unit_price_jpy", models.PositiveIntegerField(default=0)),
    ]
