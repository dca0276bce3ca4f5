"""From the fields of a job's request to the request that the service knows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from predict_worker.codec import Arrays, Columnar, Instances, RawInputs, pack
from predict_worker.codec.from_json import describe
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import Priority
from predict_worker.core.spec import DEFAULT_SIGNATURE, ModelRef
from predict_worker.service import PredictRequest

FIELDS = frozenset(
    {
        *("model", "version", "label", "signature_name", "inputs", "instances"),
        *("outputs", "priority", "deadline_s", "metadata", "webhook", "webhook_events"),
    }
)
_VERSION = re.compile(r"[0-9]{1,18}\Z")
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
_PRIORITIES = {priority.value: priority for priority in Priority}
_ABSENT = object()


def predict_request(fields: Any, *, owner: str, request_id: str, key_header: str | None) -> PredictRequest:
    """From a mapping of fields by name. Raises InvalidRequest, which names the field."""
    if not fields.keys() <= FIELDS:
        unknown = next(name for name in fields if name not in FIELDS)
        raise InvalidRequest(unknown[:100], f"one of {', '.join(sorted(FIELDS))}", "an unknown field")
    key = None if key_header is None else _key(key_header)
    return PredictRequest(
        ref=_model_ref(fields),
        inputs=_inputs(fields),
        signature_name=_text(fields, "signature_name", DEFAULT_SIGNATURE),
        outputs=_names(fields, "outputs", "output"),
        priority=_priority(fields),
        deadline_s=_deadline_s(fields),
        metadata=_metadata(fields),
        idempotency_key=key,
        fingerprint="" if key is None else _fingerprint(fields),
        owner=owner,
        request_id=request_id,
        webhook=_text(fields, "webhook") if "webhook" in fields else None,
        webhook_events=_names(fields, "webhook_events", "event") or None,
    )


def _model_ref(fields: Mapping[str, Any]) -> ModelRef:
    version = fields.get("version")
    if "version" in fields and not (isinstance(version, str) and _VERSION.match(version)):
        raise InvalidRequest("version", 'an integer as a string, such as "1"', describe(version))
    return ModelRef(
        _text(fields, "model"),
        None if version is None else int(version),
        _text(fields, "label") if "label" in fields else None,
    )


def _inputs(fields: Mapping[str, Any]) -> RawInputs:
    if "instances" in fields:
        if "inputs" in fields:
            raise InvalidRequest("instances", "either inputs or instances, not both", "both")
        rows = fields["instances"]
        if not isinstance(rows, list) or not rows:
            raise InvalidRequest("instances", "a list of at least one row", describe(rows))
        return Instances(rows)
    inputs = fields.get("inputs")
    if isinstance(inputs, Arrays):
        return inputs
    if inputs is None:
        raise InvalidRequest("inputs", "inputs or instances", "null" if "inputs" in fields else "neither")
    return Columnar(inputs)


def _names(fields: Mapping[str, Any], field: str, named: str) -> tuple[str, ...]:
    names = fields.get(field, _ABSENT)
    if names is _ABSENT:
        return ()
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise InvalidRequest(field, f"a list of at least one {named}'s name", describe(names))
    if len(set(names)) != len(names):
        raise InvalidRequest(field, "each name once", describe(names))
    return tuple(names)


def _priority(fields: Mapping[str, Any]) -> Priority:
    given = fields.get("priority", "normal")
    priority = _PRIORITIES.get(given) if isinstance(given, str) else None
    if priority is None:
        raise InvalidRequest("priority", " or ".join(_PRIORITIES), describe(given))
    return priority


def _deadline_s(fields: Mapping[str, Any]) -> float | None:
    given = fields.get("deadline_s", _ABSENT)
    if given is _ABSENT:
        return None
    if not isinstance(given, (int, float)) or isinstance(given, bool):
        raise InvalidRequest("deadline_s", "a number of seconds above 0", describe(given))
    return float(given)


def _metadata(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = fields.get("metadata", _ABSENT)
    if metadata is _ABSENT:
        return {}
    if not isinstance(metadata, dict):
        raise InvalidRequest("metadata", "an object", describe(metadata))
    return metadata


def _text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = fields.get(name, _ABSENT)
    if value is _ABSENT:
        if default is None:
            raise InvalidRequest(name, "a string", "nothing")
        return default
    if not isinstance(value, str) or not value:
        raise InvalidRequest(name, "a string that is not empty", describe(value))
    return value


def _key(header: str) -> str:
    """The draft's form is a quoted string; the bare one is common and means the same."""
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not _KEY.match(key):
        raise InvalidRequest("Idempotency-Key", "1 to 255 visible ASCII characters", f"{len(key)} characters")
    return key


def _fingerprint(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the request, the same however the JSON was spaced, ordered or compressed."""
    inputs = fields.get("inputs")
    arrays = isinstance(inputs, Arrays)
    rest = {name: value for name, value in fields.items() if not (arrays and name == "inputs")}
    try:
        digest = hashlib.sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError as error:
        raise InvalidRequest("body", "lists nested as deep as a tensor's", str(error)) from None
    if isinstance(inputs, Arrays):
        digest.update(pack(inputs.arrays))
    return digest.hexdigest()
