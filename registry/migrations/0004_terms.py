"""What the talent opened herself, and which companies sell adult content."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0003_catalogue")]

    operations = [
        migrations.AddField(
            model_name="organisation",
            name="adult_rated",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="talent",
            name="opened_list",
            field=models.JSONField(blank=True, default=list),
        ),
    ]
