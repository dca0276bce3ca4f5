"""The API's description: valid, complete, typed by model, and only loaded when it is asked for."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.schema.models import schemas
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.service import ModelView
from tests.unit.world import DIGIT, World, spec

REFUSING = (
    *("NoSuchPath", "NoSuchOipPath", "NoSuchReplicatePath", "Unoffered", "Malformed", "Nameless"),
    *("Page", "File"),  # the description's own
)
LAZY = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from django.test import Client
from django.urls import resolve
for path in ("/api/schema", "/api/docs", "/api/jobs"):
    resolve(path)
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"drf_spectacular", "drf_spectacular_sidecar", "jsonschema"}, loaded
assert Client().get("/api/docs/swagger-ui.css").status_code == 200
assert "drf_spectacular_sidecar" not in sys.modules
assert Client().get("/api/schema").status_code == 200
assert "drf_spectacular" in sys.modules
"""


@pytest.fixture
def document(client: Client) -> Any:
    response = client.get("/api/schema")
    assert response.status_code == 200
    return json.loads(response.content)


def test_it_is_valid(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_view_and_method_is_in_it(document: Any) -> None:
    described = {
        (re.sub(r"{\w+}", "{}", path), method) for path, item in document["paths"].items() for method in item
    }
    for pattern, view in _views(get_resolver().url_patterns):
        if view.__name__ in REFUSING or "^" in pattern:
            continue
        for method in {"get", "post", "put", "delete"} & set(dir(view)) & set(view.http_method_names):
            assert (re.sub(r"<\w+:\w+>", "{}", f"/{pattern}"), method) in described
    for path in ("/v2", "/v1/models/{}", "/v1/models/{}/versions/{}/metadata"):
        assert (path, "get") in described
    for path in ("/v1/models/{}:{}", "/v1/models/{}/labels/{}:{}"):
        assert (path, "post") in described


def test_operations_have_ids_and_words_of_their_own(document: Any) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_]+", one) for one in ids)
    assert all(operation["summary"] for operation in operations)


def test_health_needs_no_key_and_jobs_do(document: Any) -> None:
    assert "security" not in document["paths"]["/healthz"]["get"]
    needed = document["paths"]["/api/jobs"]["post"]["security"]
    assert {"apiKey": []} in needed
    assert {} in needed  # anonymous use is allowed here
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_models_are_typed_and_their_examples_fit(document: Any, world: World, client: Client) -> None:
    components = document["components"]["schemas"]
    assert {"digits.inputs", "digits.outputs", "pair.inputs"} <= components.keys()
    assert "fresh.inputs" not in components  # nobody has loaded it
    assert _fits(document, "digits.inputs", DIGIT)
    assert _fits(document, "digits.inputs", {"x": DIGIT})
    assert not _fits(document, "digits.inputs", [[[[0.0]] * 7] * 8])
    assert _fits(document, "pair.inputs", {"a": [[1, "NaN"]], "b": [3]})
    assert not _fits(document, "pair.inputs", {"a": [[1, 2]], "b": [3.5]})
    assert not _fits(document, "pair.inputs", {"a": [[1, 2]]})
    asked = document["paths"]["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert asked.keys() == {"digits", "pair"}
    for name, example in asked.items():
        assert _fits(document, "JobRequest", example["value"])
        assert _fits(document, f"{name}.inputs", example["value"]["inputs"])
        response = client.post("/api/jobs", example["value"], content_type="application/json")
        assert response.status_code == 202, response.content


def test_every_dtype_and_an_unknown_rank_have_a_schema() -> None:
    dtypes = ("bool", "uint8", "int64", "float16", "complex64", "string", "bfloat17")
    inputs = tuple(TensorSpec(dtype, dtype, (-1,)) for dtype in dtypes)
    signature = Signature("odd name", (*inputs, TensorSpec("any", "int8", None)), ())
    image = Signature("serving_default", (TensorSpec("x", "float32", (-1, 2), encoded="image"),), ())
    published = spec("odd", signature=signature)
    both = spec("odd", signature=image).__class__(
        "odd", 1, "keras", "", {"odd name": signature, "serving_default": image}
    )
    view = World().service.models()[0]
    made = schemas([ModelView(view.entry, {1: published, 2: both}, {}, ())])
    assert made.keys() == {f"odd{name}.{way}" for name in ("", ".odd_name") for way in ("inputs", "outputs")}
    of = made["odd.odd_name.inputs"]["properties"]
    assert of["uint8"]["items"] == {"type": "integer", "minimum": 0, "maximum": 255}
    assert of["any"].keys() == {"description"}
    assert "image" in json.dumps(made["odd.inputs"])


@override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False})
def test_who_may_not_read_sees_no_models(client: Client) -> None:
    response = client.get("/api/schema")
    assert response.status_code == 200
    assert "digits" not in response.content.decode()
    needed = json.loads(response.content)["paths"]["/api/jobs"]["get"]["security"]
    assert {} not in needed


def test_while_the_store_is_away_the_rest_is_told(client: Client, world: World) -> None:
    world.catalogue_store.away = True
    document = json.loads(client.get("/api/schema").content)
    assert "JobRequest" in document["components"]["schemas"]


def test_the_page_consists_of_files_that_are_there(client: Client) -> None:
    page = client.get("/api/docs")
    assert page["Content-Type"].startswith("text/html")
    text = page.content.decode()
    assert 'data-schema="/api/schema"' in text
    assert "//" not in re.sub(r"<!doctype.*?>", "", text)  # no other host's
    for file in re.findall(r'(?:src|href)="([^"]+)"', text):
        response = client.get(file)
        assert response.status_code == 200, file
        assert len(response.getvalue()) == int(response["Content-Length"]) > 100
    for missing in ("/api/docs/nothing", "/api/docs/swagger-ui/x", "/api/docs/..%2Fsettings.py"):
        assert client.get(missing).status_code == 404


@pytest.mark.parametrize("path", ["/api/schema", "/api/docs", "/api/docs/swagger-ui.css"])
def test_without_the_packages_it_is_not_offered(
    path: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("drf_spectacular", "api.schema.doc"))]:
        monkeypatch.delitem(sys.modules, name)
    import api.schema

    monkeypatch.delattr(api.schema, "document", raising=False)
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", _without_spectacular)
    response = client.get(path)
    assert response.status_code == 501, response.content
    assert "predict-worker[schema]" in json.loads(response.content)["detail"]


def test_nothing_of_it_is_loaded_before_it_is_asked_for() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", LAZY], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


_find_spec = importlib.machinery.PathFinder.find_spec


def _without_spectacular(name: str, path: Any = None, target: Any = None) -> Any:
    return None if name.startswith("drf_spectacular") else _find_spec(name, path, target)


def _views(patterns: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        at = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, at)
        elif isinstance(pattern, URLPattern):
            yield at, getattr(pattern.callback, "view_class")  # noqa: B009


def _fits(document: Any, component: str, value: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{component}", "components": document["components"]}
    return bool(Draft202012Validator(schema).is_valid(value))
