"""``manage.py check --deploy`` looks whether keys can be read."""

from __future__ import annotations

import pytest
from django.core.checks import registry
from django.db import connection
from django.test import override_settings

from api.checks import check_keys


@pytest.mark.usefixtures("database")
def test_where_keys_can_be_read_nothing_is_said() -> None:
    assert check_keys(None) == []
    registered: list[object] = list(registry.registry.get_checks(include_deployment_checks=True))
    assert check_keys in registered


@pytest.mark.usefixtures("database")
def test_a_table_that_is_missing_is_told() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE prediction_api_apikey RENAME TO elsewhere")
    try:
        (warning,) = check_keys(None)
        assert (warning.id, "migrate" in str(warning.hint)) == ("prediction_api.W001", True)
        with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True}):
            assert check_keys(None) == []
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO prediction_api_apikey")
