"""Rows of before: everybody gets a key, birth dates go under it, stage names get a first row."""

from django.db import migrations, models

from registry.models import personal


def personal_seal(apps, schema_editor):
    for person in apps.get_model("registry", "Person").objects.filter(data_key=None):
        person.data_key = personal.new_key()
        person.save(update_fields=["data_key"])
    names = apps.get_model("registry", "StageName").objects
    for talent in apps.get_model("registry", "Talent").objects.select_related("person"):
        person = talent.person
        if talent.birth_date is not None:
            talent.sealed_birth = personal.seal(
                bytes(person.data_key),
                talent.birth_date.isoformat(),
                context=f"{person.id}:birth_date",
            )
            talent.save(update_fields=["sealed_birth"])
        names.create(
            talent=talent,
            name=person.display_name,
            kana=talent.kana,
            romaji=person.display_name_en,
            begun_on=person.created_at.date(),
        )


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_parties")]

    operations = [
        migrations.RunPython(personal_seal, migrations.RunPython.noop),
        migrations.RemoveField(model_name="talent", name="birth_date"),
        migrations.AddConstraint(
            model_name="person",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("data_key__isnull", False), ("erased_at__isnull", True)),
                    models.Q(("data_key__isnull", True), ("erased_at__isnull", False)),
                    _connector="OR",
                ),
                name="registry_person_key_or_erased",
            ),
        ),
    ]
