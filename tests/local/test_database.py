"""The database that the tests (and a fresh clone) bring along."""

import pytest
from django.db import connection


@pytest.mark.django_db
def test_the_database_of_the_tests_is_postgresql_with_checksums_and_utf8():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('data_checksums'), lower('Ä許諾'), current_user")
        checksums, lowered, role = cursor.fetchone()
    assert (checksums, lowered, role) == ("on", "ä許諾", "kyodaku")


@pytest.mark.django_db
def test_periods_of_one_talent_can_be_kept_from_overlapping():
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE period (talent bigint, span tstzrange, EXCLUDE USING gist "
            "(int8range(talent, talent, '[]') WITH &&, span WITH &&))"
        )
