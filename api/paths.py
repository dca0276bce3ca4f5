"""Where the API's named paths are, below the prefix that the project is mounted at."""

from __future__ import annotations

from functools import lru_cache

from django.urls import get_script_prefix, reverse


def path_of(name: str) -> str:
    """Without its trailing parts; asked for with every answer, so it is looked up once."""
    return _path_below(get_script_prefix(), name)


@lru_cache(maxsize=64)
def _path_below(script_prefix: str, name: str) -> str:
    return reverse(f"prediction_api:{name}")
