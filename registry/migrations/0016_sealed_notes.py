"""What people told the platform alone is encrypted under their own keys from here."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from registry.models import personal

BLOCK = 2048


def seal(apps: Any, schema_editor: Any) -> None:
    """Every note as it is; of an erased person nothing is left to keep."""
    del schema_editor
    for note in apps.get_model("registry", "PrivateNote").objects.select_related("person"):
        if note.person.data_key is None:
            continue
        for name in ("reason", "finding"):
            text = getattr(note, name)
            filled = {"said": text, "fill": " " * (BLOCK - len(text.encode()) % BLOCK)}
            context = f"{note.person.id}:private_note"
            sealed = personal.seal(bytes(note.person.data_key), filled, context=context)
            setattr(note, f"sealed_{name}", sealed)
        note.save(update_fields=["sealed_reason", "sealed_finding"])


class Migration(migrations.Migration):
    dependencies = [("registry", "0015_output_keys")]

    operations = [
        migrations.AddField(
            "privatenote", "sealed_finding", models.BinaryField(editable=False, null=True)
        ),
        migrations.AddField(
            "privatenote", "sealed_reason", models.BinaryField(editable=False, null=True)
        ),
        migrations.RunPython(seal, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField("privatenote", "finding"),
        migrations.RemoveField("privatenote", "reason"),
    ]
