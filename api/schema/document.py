"""The whole document. It is made once for a process, apart from the models, which come and go."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson
from django.urls import get_script_prefix
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings

from predict_worker.codec import dumps
from predict_worker.conf import get_config
from predict_worker.service import ModelView

from . import catalogue, hooks, jobs, models, oip, own, replicate, tfserving
from .describing import API, targets

Json = dict[str, Any]
Endpoint = tuple[str, str, str, Any]

_DESCRIBED = (jobs, catalogue, hooks, oip, replicate, tfserving)
_TAGS = (
    *(jobs.TAG, catalogue.TAG, hooks.TAG, catalogue.OPERATING, catalogue.HEALTH),
    *(tfserving.TAG, oip.TAG, replicate.TAG, own.TAG),
)
_LOCK = threading.Lock()


def of(loaded: Sequence[ModelView]) -> Json:
    """With what these models take and give."""
    with _LOCK:  # the library's settings are set for as long as it works
        made = orjson.loads(_made(get_script_prefix(), get_config().allow_anonymous))
    components, paths = made["components"], made["paths"]
    typed = {**components, "schemas": {**components["schemas"], **models.schemas(loaded)}}
    return {**made, "components": typed, "paths": {**paths, **_with_examples(paths, loaded)}}


def _with_examples(paths: Json, loaded: Sequence[ModelView]) -> Json:
    asking = models.examples(loaded)
    at = next((path for path in paths if path.endswith("/api/jobs")), None)
    if not asking or at is None:
        return {}
    submit = paths[at]["post"]
    body = submit["requestBody"]
    as_json = {**body["content"]["application/json"], "examples": asking}
    body = {**body, "content": {**body["content"], "application/json": as_json}}
    return {at: {**paths[at], "post": {**submit, "requestBody": body}}}


@lru_cache(maxsize=4)
def _made(script_prefix: str, allow_anonymous: bool) -> bytes:
    """As JSON, which is a tenth of the size that its objects have in memory."""
    components: Json = {}
    for module in _DESCRIBED:
        components |= module.COMPONENTS
    settings = {
        "TITLE": "Prediction API",
        "DESCRIPTION": "Predictions of models that workers hold: as jobs, or at once in other dialects.",
        "VERSION": own.version(),
        "OAS_VERSION": "3.1.0",
        "SERVERS": [{"url": script_prefix.rstrip("/") or "/"}],
        "APPEND_COMPONENTS": {"schemas": components},
        "PREPROCESSING_HOOKS": [f"{__name__}.described"],
        "POSTPROCESSING_HOOKS": [],
        "SCHEMA_PATH_PREFIX": "/",
        "DISABLE_ERRORS_AND_WARNINGS": True,
        "ENABLE_DJANGO_DEPLOY_CHECK": False,
        "SECURITY": [],
        "TAGS": [{"name": tag} for tag in _TAGS],
        "WEBHOOKS": [],
    }
    with patched_settings(settings):
        generator: Any = SchemaGenerator
        made: Json = generator().get_schema(request=None, public=True)
    gc.collect()  # views and schemas that hold each other: 5 MB
    return dumps(made)


def described(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Of all the project's URLs, those of views that are described here."""
    return [
        found
        for endpoint in endpoints
        if f"{endpoint[3].cls.__module__}.{endpoint[3].cls.__name__}" in targets
        for found in _spelled_out(*endpoint)
    ]


def _spelled_out(path: str, regex: str, method: str, callback: Any) -> list[Endpoint]:
    """A regular expression with alternatives is a path for each."""
    kind = callback.cls.__name__
    if callback.cls.__module__ != f"{API}.tfserving.views" or kind not in ("Ask", "Status", "Metadata"):
        return [(path.rstrip("/"), regex, method, callback)]
    prefix = path.partition("/v1/models/")[0]
    rest = {"Ask": ":{verb}", "Status": "", "Metadata": "/metadata"}[kind]
    return [
        (f"{prefix}/v1/models/{{name}}{which}{rest}", "", method, callback) for which in tfserving.VARIANTS
    ]
