"""Images as raw bodies, as files of a form, and in JSON."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.authentication import SessionAuthentication

from predict_worker.codec import unpack
from predict_worker.core.ports import ModelEntry
from predict_worker.core.spec import Signature, TensorSpec
from tests.pictures import NOT_IMAGES, plain
from tests.unit.api.asking import body, post, refused, spelled
from tests.unit.api.conftest import MAX_BODY_BYTES
from tests.unit.world import World, spec, worker

PNG, JPEG, WEBP = (plain(kind=kind) for kind in ("PNG", "JPEG", "WEBP"))
PICTURE = TensorSpec("x", "float32", (-1, 8, 8, 1), "image")
ANSWER = TensorSpec("y", "float32", (-1, 10))
ONE = Signature("serving_default", (PICTURE,), (ANSWER,))
TWO = Signature("serving_default", (PICTURE, TensorSpec("z", "string", (-1,), "")), (ANSWER,))


@pytest.fixture(autouse=True)
def _models(world: World) -> None:
    """``pictures`` takes images, ``two`` an image and another file; ``digits`` (float32) takes none."""
    store = world.catalogue_store
    store.publish_models([ModelEntry("pictures", (1,)), ModelEntry("two", (1,))])
    store.publish_specs([spec("pictures", signature=ONE), spec("two", signature=TWO)])
    store.beat(worker(("digits", 1), ("pictures", 1), ("two", 1)), ttl_s=60)


def rows(world: World, model: str = "pictures") -> dict[str, Any]:
    """What a worker gets of the only job, by input."""
    (entry,) = world.claim(model)
    assert entry.payload is not None
    return {name: array.tolist() for name, array in unpack(entry.payload).items()}


def post_raw(client: Client, data: bytes, kind: str = "image/png", **query: str) -> Any:
    return client.post(f"/api/jobs?{urlencode(query)}", data, content_type=kind)


def post_form(client: Client, *, query: str = "", **fields: Any) -> Any:
    """``bytes`` go as a file, or a list of them as several of one name."""

    def part(value: Any) -> Any:
        if isinstance(value, list):
            return [part(one) for one in value]
        return SimpleUploadedFile("some.png", value, "image/png") if isinstance(value, bytes) else value

    return client.post(f"/api/jobs{query}", {name: part(value) for name, value in fields.items()})


# ---------------------------------------------------------------- raw


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/png", PNG),
        ("image/jpeg", JPEG),
        ("image/webp", WEBP),
        ("image/png", WEBP),
        ("IMAGE/PNG; x=y", PNG),
        ("image/*", PNG),
    ],
)
def test_a_raw_image_is_a_job_of_one_row(client: Client, world: World, kind: str, data: bytes) -> None:
    response = post_raw(client, data, kind, model="pictures", priority="high", metadata='{"a": 1}')
    assert response.status_code == 202, response.content
    job = response.json()
    assert (job["model"], job["rows"], job["priority"], job["metadata"]) == ("pictures", 1, "high", {"a": 1})
    assert rows(world) == {"x": [data]}


@pytest.mark.parametrize("name", [name for name, data in NOT_IMAGES.items() if data])
def test_what_is_no_image_is_refused_at_once(client: Client, world: World, name: str) -> None:
    problem = refused(
        post_raw(client, NOT_IMAGES[name], "image/png", model="pictures"), 400, "invalid_request", "inputs[0]"
    )
    assert problem["expected"] == "a PNG, JPEG or WebP image"
    assert "submit" not in world.store.calls


def test_an_empty_body_says_so(client: Client) -> None:
    problem = refused(post_raw(client, b"", model="pictures"), 400, "invalid_request", "body")
    assert problem["got"] == "nothing"


def test_a_model_without_images_says_what_it_takes(client: Client) -> None:
    problem = refused(post_raw(client, PNG, model="digits"), 400, "invalid_request", "inputs")
    assert (problem["expected"], problem["got"]) == ("an array of float32", "texts or files (string)")
    problem = refused(post_raw(client, PNG, model="two"), 400, "invalid_request", "inputs")
    assert problem["expected"] == "one for each of x, z"


def test_a_raw_image_needs_its_model_in_the_query(client: Client) -> None:
    refused(post_raw(client, PNG), 400, "invalid_request", "model")
    refused(post_raw(client, PNG, model="nobody"), 404, "model_not_found")


def test_an_image_for_a_model_that_nobody_has_loaded_waits_for_its_worker(
    client: Client, world: World
) -> None:
    assert post_raw(client, PNG, model="fresh").status_code == 202
    assert rows(world, "fresh") == {"": [PNG]}


def test_a_compressed_image_is_inflated_and_a_large_one_refused(client: Client, world: World) -> None:
    packed = gzip.compress(PNG)
    url = "/api/jobs?model=pictures"
    response = client.post(url, packed, content_type="image/png", headers={"content-encoding": "gzip"})
    assert response.status_code == 202, response.content
    assert rows(world) == {"x": [PNG]}
    refused(
        post_raw(client, PNG + b"\0" * MAX_BODY_BYTES, model="pictures"), 413, "payload_too_large", "body"
    )


def test_an_idempotency_key_tells_images_apart(client: Client) -> None:
    def ask(data: bytes) -> Any:
        return client.post(
            "/api/jobs?model=pictures",
            data,
            content_type="image/png",
            headers=spelled({"idempotency_key": "k"}),
        )

    assert ask(PNG).json()["id"] == ask(PNG).json()["id"]
    refused(ask(JPEG), 422, "idempotency_conflict")


# ---------------------------------------------------------------- forms


def test_files_of_a_form_are_the_rows_of_one_job(client: Client, world: World) -> None:
    response = post_form(
        client,
        model="pictures",
        inputs=[PNG, JPEG, WEBP],
        outputs="y",
        deadline_s="60",
        metadata='{"a": [1]}',
    )
    assert response.status_code == 202, response.content
    job = response.json()
    assert (job["rows"], job["metadata"]) == (3, {"a": [1]})
    assert job["deadline_at"] is not None
    assert rows(world) == {"x": [PNG, JPEG, WEBP]}


def test_files_of_several_inputs_are_named(client: Client, world: World) -> None:
    fields: dict[str, Any] = {"inputs.x": PNG, "inputs.z": b"any file"}
    response = post_form(client, model="two", **fields)
    assert response.status_code == 202, response.content
    assert rows(world, "two") == {"x": [PNG], "z": [b"any file"]}


def test_fields_may_be_in_the_query_too_but_not_in_both(client: Client, world: World) -> None:
    assert post_form(client, query="?model=pictures", inputs=PNG).status_code == 202
    twice = post_form(client, query="?model=pictures", model="pictures", inputs=PNG)
    refused(twice, 400, "invalid_request", "model")


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"inputs": PNG}, "model", "a string"),
        ({"model": "pictures"}, "inputs", "at least one file"),
        ({"model": "pictures", "inputs": "[[1]]"}, "inputs", "the inputs as the body, or as files of a form"),
        ({"model": "pictures", "file": PNG}, "file", "files named inputs, or inputs.NAME"),
        ({"model": "pictures", "inputs": PNG, "colour": "red"}, "colour", "one of"),
        ({"model": "pictures", "inputs": PNG, "inputs.x": PNG}, "inputs", "not both"),
        ({"model": "pictures", "inputs": [PNG, b"GIF89a"]}, "inputs[1]", "a PNG, JPEG or WebP image"),
        ({"model": "pictures", "inputs": [PNG, b""]}, "inputs[1]", "a PNG, JPEG or WebP image"),
        ({"model": "pictures", "inputs.z": PNG}, "inputs.z", "one of x"),
        ({"model": "digits", "inputs": PNG}, "inputs", "an array of float32"),
        ({"model": ["pictures", "digits"], "inputs": PNG}, "model", "one value"),
        ({"model": "two", "inputs.x": PNG}, "inputs.z", "a value"),
        ({"model": "two", "inputs.x": [PNG, PNG], "inputs.z": b"a"}, "inputs.z", "2 rows as in inputs.x"),
    ],
)
def test_a_form_that_is_not_right_is_refused_by_field(
    client: Client, world: World, fields: Any, field: str, expected: str
) -> None:
    problem = refused(post_form(client, **fields), 400, "invalid_request", field)
    assert expected in problem["expected"]
    assert "submit" not in world.store.calls


def test_a_form_keeps_to_the_bounds(client: Client) -> None:
    large = post_form(client, model="pictures", inputs=PNG + b"\0" * MAX_BODY_BYTES)
    refused(large, 413, "payload_too_large", "body")
    many = post_form(client, model="pictures", inputs=[b"x"] * 101)
    if many.status_code == 400:
        problem = refused(many, 400, "invalid_request", "body")
        assert "number of files" in problem["got"]
    else:  # the form itself is over the bound
        refused(many, 413, "payload_too_large", "body")


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\npictures\r\n'
    b'--b\r\nContent-Disposition: form-data; name="inputs"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("data", "kind", "got"),
    [
        (FORM[:-5], "multipart/form-data; boundary=b", "a body that ends early"),
        (FORM[:-40], "multipart/form-data; boundary=b", "a body that ends early"),
        (FORM, "multipart/form-data", "Invalid boundary"),
        (FORM, "multipart/form-data; boundary=\xe9", "Invalid"),
        (b"--", "multipart/form-data; boundary=b", ""),
    ],
)
def test_a_broken_form_is_refused(client: Client, data: bytes, kind: str, got: str) -> None:
    response = client.generic("POST", "/api/jobs", data, content_type=kind)
    assert got in refused(response, 400, "invalid_request")["got"]


def test_a_form_may_be_compressed(client: Client, world: World) -> None:
    kind = "multipart/form-data; boundary=b"
    packed = client.generic(
        "POST", "/api/jobs", gzip.compress(FORM), content_type=kind, headers={"content-encoding": "gzip"}
    )
    assert packed.status_code == 202, packed.content
    assert rows(world) == {"x": [PNG]}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(FORM) - 1), st.integers(0, 255)), max_size=6), st.integers(0, 40)
)
def test_a_damaged_form_is_never_an_error_of_ours(client: Client, damage: Any, cut: int) -> None:
    data = bytearray(FORM)
    for position, value in damage:
        data[position] = value
    response = client.generic(
        "POST", "/api/jobs", bytes(data[: len(data) - cut]), content_type="multipart/form-data; boundary=b"
    )
    assert response.status_code in (202, 400, 404), response.content


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("field", ["inputs", "instances"])
def test_json_has_images_in_base64(client: Client, world: World, field: str) -> None:
    files = [{"b64": base64.b64encode(data).decode()} for data in (PNG, JPEG)]
    fields = {"inputs": None, "model": "pictures", field: files}
    assert post(client, body(**fields)).status_code == 202
    assert rows(world) == {"x": [PNG, JPEG]}


def test_json_has_the_tensor_as_before(client: Client, world: World) -> None:
    assert post(client, body(model="pictures")).status_code == 202
    assert rows(world)["x"][0][0][0] == [0.0]


def test_the_catalogue_says_what_may_be_sent(client: Client) -> None:
    (version,) = client.get("/api/models/pictures").json()["versions"]
    signature = version["signatures"]["serving_default"]
    assert signature["inputs"]["x"] == {"dtype": "float32", "shape": [-1, 8, 8, 1], "encoded": "image"}
    assert signature["outputs"]["y"]["encoded"] is None


# ---------------------------------------------------------------- forms that others read too

LARGE_FORM = FORM.replace(PNG, PNG * 100)
LARGE_FORM_FOR_FRESH = LARGE_FORM.replace(b"pictures", b"fresh")


class Somebody(SessionAuthentication):
    """A user by session, whose CSRF token is looked for in the form."""

    def authenticate(self, request: Any) -> Any:
        self.enforce_csrf(request)
        return User(pk=7, username="somebody"), None


@pytest.fixture
def browser() -> Iterator[tuple[Client, str]]:
    """A client whose CSRF tokens are checked, and its token."""
    client = Client(enforce_csrf_checks=True)
    request = HttpRequest()
    token = get_token(request)
    client.cookies["csrftoken"] = request.META["CSRF_COOKIE"]
    with override_settings(
        PREDICT_WORKER={"MAX_BODY_BYTES": MAX_BODY_BYTES},
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [f"{__name__}.Somebody"]},
    ):
        yield client, token


def test_a_browsers_form_carries_its_token(browser: tuple[Client, str], world: World) -> None:
    client, token = browser
    response = post_form(client, model="pictures", inputs=[PNG, JPEG], csrfmiddlewaretoken=token)
    assert response.status_code == 202, response.content
    assert rows(world) == {"x": [PNG, JPEG]}
    refused(post_form(client, model="pictures", inputs=PNG), 403, "permission_denied")


def curious(get_response: Any) -> Any:
    """A middleware that looks into forms, so that Django reads them before us."""

    def middleware(request: HttpRequest) -> Any:
        request.POST.get("anything")
        return get_response(request)

    return middleware


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (FORM, "multipart/form-data; boundary=b", 202, None),
        (LARGE_FORM, "multipart/form-data; boundary=b", 413, "payload_too_large"),
        (
            LARGE_FORM.replace(b"pictures", b"fresh"),
            "multipart/form-data; boundary=b",
            413,
            "payload_too_large",
        ),
        (b"", "multipart/form-data; boundary=b", 400, "invalid_request"),
    ],
)
def test_a_form_that_django_has_read_before_us_is_none_the_worse(
    world: World, data: bytes, kind: str, status: int, code: str | None
) -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.curious"]):
        response = Client().generic("POST", "/api/jobs", data, content_type=kind)
    if code:
        refused(response, status, code, "body")
    else:
        assert response.status_code == status, response.content
        assert rows(world) == {"x": [PNG]}
