"""Fields that come as texts, in a query or a form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from predict_worker.core.errors import InvalidRequest

from .. import json_text

Fields = dict[str, Any]


def typed_fields(given: Iterable[tuple[str, Sequence[str]]]) -> Fields:
    """In the types that JSON would give them, from names with all their values: ``outputs`` and
    ``webhook_events`` are lists separated by commas. Raises InvalidRequest."""
    fields: Fields = {}
    for name, values in given:
        if len(values) > 1 or name in fields:
            raise InvalidRequest(name[:100], "one value", f"{max(2, len(values))}")
        if name in ("inputs", "instances"):
            raise InvalidRequest(name, "the inputs as the body, or as files of a form", "a text")
        fields[name] = _typed(name, values[0])
    return fields


def _typed(name: str, text: str) -> Any:
    match name:
        case "outputs" | "webhook_events":
            return text.split(",")
        case "metadata":
            return json_text.loads(text.encode(), name)
        case "deadline_s":
            try:
                return float(text)
            except ValueError:
                return text
    return text
