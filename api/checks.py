"""What ``manage.py check --deploy`` finds of the web's side."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from predict_worker.checks import known_config

from .keys.models import ApiKey

TAG = "prediction_api"


def check_keys(app_configs: Any, **_: Any) -> list[checks.CheckMessage]:
    """W001. Where anonymous use is allowed no key is looked at."""
    config = known_config()
    if config is None or config.allow_anonymous:
        return []
    try:
        ApiKey.objects.exists()
    except (Error, ImproperlyConfigured) as error:
        text = f"API keys cannot be read: {error}"
        hint = "Requests that show one are answered 503: run manage.py migrate, or correct DATABASES."
        return [checks.Warning(text, hint=hint, id=f"{TAG}.W001")]
    return []
