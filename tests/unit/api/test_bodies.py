"""What a body may be: JSON, .npy, .npz, plain or compressed, within its bound."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.jobs.parse import FIELDS
from predict_worker.codec import unpack
from tests.unit.api.asking import body, post, refused
from tests.unit.api.conftest import MAX_BODY_BYTES
from tests.unit.world import DIGIT, World

ROW = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
ENOUGH = json.dumps(body()).encode()


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def post_binary(client: Client, raw: bytes, kind: str = "npy", /, **query: str) -> Any:
    at = f"/api/jobs?{urlencode(query)}"
    return client.post(at, raw, content_type=f"application/x-{kind}")


# ---------------------------------------------------------------- hostile JSON


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b"", "empty"),
        (b"{", "line 1, column 2"),
        (b"null", "null"),
        (b"[]", "a list of 0"),
        (b'"text"', "'text'"),
        (b'{"model": "digits",}', "trailing comma"),
        (b"{'model': 1}", "line 1, column 2"),
        (b'{"a": 1} {"b": 2}', "unexpected content"),
        (b'{"inputs": NaN}', "NaN"),
        (b'{"inputs": [1, -Infinity]}', "-Infinity"),
        (b'{"inputs": Infinity}', "Infinity"),
        (b'{"inputs": 1e999}', "infinity when parsed as double"),
        (b'{"model": "\xff\xfe"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"model": "\\ud800"}', "surrogate"),
        (b'{"inputs": ' + b"[" * 1500 + b"]" * 1500 + b"}", "depth"),
        (b'{"model": "digits", "model": "fresh"}', "'model' twice"),
        (b'{"metadata": {"a": 1, "a": 2}}', "'a' twice"),
        (b'{"inputs": [[{"b": 1, "b": 2}]]}', "'b' twice"),
        (b'{"m": "\\u003a", "a": 1, "a": 2}', "'a' twice"),
        (b'{"m": "1:2", "a": 1, "a": "3:4"}', "'a' twice"),
        (b'{"model": "\x00"}', "control character"),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else "",
)
def test_json_that_is_not_strict_is_refused_with_the_reason(
    client: Client, world: World, raw: bytes, got: str
) -> None:
    problem = refused(post(client, raw), 400, "invalid_request")
    if raw:  # an empty body counts as no fields
        assert problem["field"] == "body"
        assert got in problem["got"]
    assert world.store.calls == []


def test_a_bare_token_is_told_how_to_be_written(client: Client) -> None:
    raw = b'{"model": "digits",\n "inputs": [NaN]}'
    problem = refused(post(client, raw), 400, "invalid_request", "body")
    assert problem["got"] == 'the bare token NaN at line 2, column 13; write "NaN" in quotes'


@pytest.mark.parametrize(
    "metadata",
    [{"at": "12:30:01"}, {"quote": 'say "hi": yes'}, {"a:b": {"c": [{"d": "e:"}]}}, {"list": [[{"k": 1}]]}],
)
def test_colons_and_escapes_in_texts_are_not_taken_for_duplicates(client: Client, metadata: Any) -> None:
    response = post(client, body(metadata=metadata))
    assert response.status_code == 202
    assert response.json()["metadata"] == metadata


def test_nesting_that_one_parser_allows_and_the_other_does_not_is_refused(client: Client) -> None:
    raw = b'{"model": "fresh", "metadata": {"s": "\\n"}, "inputs": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    assert post(client, raw).status_code in (202, 400)


@pytest.mark.parametrize("depth", [100, 240, 260, 350, 900, 1020])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("escape", ["", "\\n"])
def test_deep_nesting_is_accepted_or_refused_but_never_an_error(
    client: Client, world: World, depth: int, opening: str, closing: str, escape: str
) -> None:
    deep = opening * depth + "1" + closing * depth
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True}):
        for name, value in (("inputs", deep), ("metadata", f'{{"m": {deep}, "s": "{escape}"}}')):
            fields = {"model": '"fresh"', "inputs": "1", name: value}
            raw = "{" + ",".join(f'"{n}": {v}' for n, v in fields.items()) + "}"
            for key in ({}, {"idempotency_key": f"{name}{depth}{opening}{escape}"}):
                response = post(client, raw.encode(), **key)
                assert response.status_code in (202, 400), response.content
                if response.status_code == 202:
                    assert client.get(response["Location"]).status_code == 200


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(sorted(FIELDS)), ANY_JSON, max_size=4))
def test_no_json_whatever_is_an_error_of_the_server(client: Client, fields: dict[str, Any]) -> None:
    for model in ("digits", "fresh"):
        raw = json.dumps({**body(model=model), **fields}).encode()
        assert post(client, raw, idempotency_key="k").status_code in (202, 400, 404, 413, 422, 503)


def test_named_non_finite_inputs_are_accepted(client: Client) -> None:
    row = json.loads(json.dumps(DIGIT))
    row[0][0][0][0], row[0][0][1][0] = "NaN", "-Infinity"
    assert post(client, body(inputs=row)).status_code == 202


# ---------------------------------------------------------------- media types and codings


@pytest.mark.parametrize(
    "given",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/xml",
        "",
        "json",
    ],
)
def test_another_media_type_is_415(client: Client, given: str) -> None:
    problem = refused(post(client, ENOUGH, content_type=given), 415, "unsupported_media_type")
    known = "application/json, application/x-npy, application/x-npz, image/*, multipart/form-data"
    assert known in problem["detail"]


@pytest.mark.parametrize(
    "given",
    [
        *("application/json; charset=utf-8", "Application/JSON", " application/json "),
        *("application/json; charset=latin-1", "application/json; charset="),
    ],
)
def test_the_media_type_is_read_as_http_spells_it(client: Client, given: str) -> None:
    assert post(client, ENOUGH, content_type=given).status_code == 202


def bare_deflate(raw: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(raw) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        ("gzip", gzip.compress(ENOUGH)),
        ("GZip", gzip.compress(ENOUGH)),
        ("x-gzip", gzip.compress(ENOUGH)),
        ("gzip", gzip.compress(ENOUGH[:9]) + gzip.compress(ENOUGH[9:])),
        ("deflate", zlib.compress(ENOUGH)),
        ("deflate", bare_deflate(ENOUGH)),
        ("identity", ENOUGH),
    ],
)
def test_a_compressed_body_is_inflated(client: Client, coding: str, raw: bytes) -> None:
    assert post(client, raw, content_encoding=coding).status_code == 202


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_unknown_coding_is_415(client: Client, coding: str) -> None:
    problem = refused(post(client, ENOUGH, content_encoding=coding), 415, "unsupported_media_type")
    assert coding in problem["detail"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not compressed",
        gzip.compress(ENOUGH)[:-9],
        gzip.compress(ENOUGH)[:-1],
        zlib.compress(ENOUGH)[:-1],
    ],
)
def test_a_body_that_does_not_inflate_is_refused(client: Client, coding: str, raw: bytes) -> None:
    problem = refused(post(client, raw, content_encoding=coding), 400, "invalid_request")
    if raw:  # an empty body is not taken for a coded one
        assert problem["field"] == "body"
        assert coding in problem["expected"]


def test_a_bomb_is_never_inflated_beyond_the_bound(client: Client) -> None:
    bomb = gzip.compress(b" " * 3_000_000)
    assert len(bomb) < MAX_BODY_BYTES
    post(client, bomb, content_encoding="gzip")
    tracemalloc.start()
    try:
        refused(post(client, bomb, content_encoding="gzip"), 413, "payload_too_large")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        ("gzip", gzip.compress(b" " * 10_000_000)[: MAX_BODY_BYTES - 1]),
        ("gzip", gzip.compress(b" " * (MAX_BODY_BYTES + 1))),
        ("gzip", gzip.compress(b" " * MAX_BODY_BYTES) + gzip.compress(b" ")),
        ("deflate", zlib.compress(b" " * (MAX_BODY_BYTES + 1))),
    ],
)
def test_a_bomb_is_413_and_names_the_bound(client: Client, coding: str, raw: bytes) -> None:
    problem = refused(post(client, raw, content_encoding=coding), 413, "payload_too_large", "body")
    assert str(MAX_BODY_BYTES) in problem["expected"]


def test_a_body_over_the_bound_is_413_and_names_the_bound(client: Client) -> None:
    padded = ENOUGH + b" " * (MAX_BODY_BYTES - len(ENOUGH))
    assert post(client, padded).status_code == 202
    problem = refused(post(client, padded + b" "), 413, "payload_too_large", "body")
    assert str(MAX_BODY_BYTES) in problem["expected"]


def test_djangos_own_bound_on_bodies_does_not_apply(client: Client) -> None:
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        assert post(client).status_code == 202


# ---------------------------------------------------------------- what the server hands over


class Endless(io.BytesIO):
    """A body that has been read too far fails the test."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= MAX_BODY_BYTES + 1
        given = min(size, self.left, 1000)  # a socket gives what it has
        self.left -= given
        return b" " * given


def raw_post(stream: io.BytesIO, **environ: Any) -> tuple[int, dict[str, Any]]:
    """Through Django's WSGI handler, with an environment of the test's own making."""
    statuses: list[int] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(int(status[:3]))

    given = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/jobs",
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        **environ,
    }
    response = WSGIHandler()(given, start)
    content = b"".join(response)
    response.close()
    return statuses[0], json.loads(content)


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


def test_a_declared_length_over_the_bound_is_refused_unread(world: World) -> None:
    class Unreadable(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("the body was read")

    status, _ = raw_post(Unreadable(), CONTENT_LENGTH=str(MAX_BODY_BYTES + 1))
    assert status == 413


def test_a_chunked_body_is_read(world: World) -> None:
    assert raw_post(io.BytesIO(ENOUGH), **CHUNKED)[0] == 202


def test_a_chunked_body_is_bounded_while_it_is_read(world: World) -> None:
    status, problem = raw_post(Endless(10**9), **CHUNKED)
    assert (status, problem["code"]) == (413, "payload_too_large")


def test_a_body_shorter_than_declared_is_refused(world: World) -> None:
    status, problem = raw_post(io.BytesIO(ENOUGH), CONTENT_LENGTH=str(len(ENOUGH) + 1))
    assert (status, problem["field"]) == (400, "body")


@pytest.mark.parametrize("length", ["", "0", "many", "-5"])
def test_a_length_that_is_none_is_an_empty_body_or_refused(world: World, length: str) -> None:
    status, problem = raw_post(io.BytesIO(ENOUGH), CONTENT_LENGTH=length)
    assert (status, problem["code"]) == (400, "invalid_request")


def test_a_client_that_goes_away_while_it_sends_is_400(world: World) -> None:
    class Gone(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError

    assert raw_post(Gone(), CONTENT_LENGTH="100")[0] == 400


# ---------------------------------------------------------------- .npy and .npz


def test_an_npy_file_is_the_only_input(client: Client, world: World) -> None:
    response = post_binary(client, npy(ROW), model="digits")
    assert response.status_code == 202
    (entry,) = world.claim()
    assert entry.payload is not None
    assert np.array_equal(unpack(entry.payload)["x"], ROW)


def test_the_other_fields_come_from_the_query(client: Client) -> None:
    job = post_binary(
        client,
        npy(ROW),
        model="digits",
        version="1",
        priority="low",
        deadline_s="2.5",
        metadata='{"a": 1}',
        outputs="probabilities",
        signature_name="serving_default",
    ).json()
    assert (job["version"], job["priority"], job["metadata"]) == ("1", "low", {"a": 1})
    assert job["deadline_at"] is not None


def test_an_npz_file_holds_several_inputs(client: Client, world: World) -> None:
    a, b = np.ones((3, 2), np.float32), np.arange(3)
    assert post_binary(client, npz(a=a, b=b), "npz", model="pair").status_code == 202
    (entry,) = world.claim("pair")
    assert entry.payload is not None
    assert np.array_equal(unpack(entry.payload)["b"], b)


def test_an_npy_file_for_a_model_nobody_has_loaded_is_accepted(client: Client) -> None:
    assert post_binary(client, npy(ROW), model="fresh").json()["rows"] == 1


@pytest.mark.parametrize(
    ("raw", "kind", "query", "field"),
    [
        (b"", "npy", {"model": "digits"}, "body"),
        (b"not npy", "npy", {"model": "digits"}, "inputs"),
        (npy(np.array([object()]), allow_pickle=True), "npy", {"model": "digits"}, "inputs"),
        (npy(ROW)[:-1], "npy", {"model": "digits"}, "inputs"),
        (npy(ROW.astype(np.float64)), "npy", {"model": "digits"}, "inputs"),
        (npy(ROW[0]), "npy", {"model": "digits"}, "inputs"),
        (npy(ROW), "npy", {}, "model"),
        (npy(ROW), "npy", {"model": "digits", "webhook": "x"}, "webhook"),
        (npy(ROW), "npy", {"model": "digits", "inputs": "[1]"}, "inputs"),
        (npy(ROW), "npy", {"model": "digits", "instances": "[1]"}, "instances"),
        (npy(ROW), "npy", {"model": "digits", "deadline_s": "soon"}, "deadline_s"),
        (npy(ROW), "npy", {"model": "digits", "deadline_s": "nan"}, "deadline_s"),
        (npy(ROW), "npy", {"model": "digits", "metadata": "{"}, "metadata"),
        (npy(ROW), "npy", {"model": "digits", "metadata": "[]"}, "metadata"),
        (npy(ROW), "npy", {"model": "pair"}, "inputs"),
        (npz(a=ROW), "npz", {"model": "pair"}, "inputs.b"),
        (npz(x=ROW, y=ROW), "npz", {"model": "digits"}, "inputs.y"),
        (b"not zip", "npz", {"model": "digits"}, "inputs"),
    ],
)
def test_a_binary_request_that_is_wrong_names_the_field(
    client: Client, raw: bytes, kind: str, query: dict[str, str], field: str
) -> None:
    problem = refused(post_binary(client, raw, kind, **query), 400, "invalid_request")
    assert problem["field"].startswith(field)


def test_a_query_parameter_given_twice_is_refused(client: Client) -> None:
    at = "/api/jobs?model=digits&model=fresh"
    response = client.post(at, npy(ROW), content_type="application/x-npy")
    refused(response, 400, "invalid_request", "model")


def test_an_npz_bomb_is_413(client: Client) -> None:
    bomb = npz(x=np.zeros((MAX_BODY_BYTES * 20,), np.uint8))
    assert len(bomb) < MAX_BODY_BYTES
    refused(post_binary(client, bomb, "npz", model="digits"), 413, "payload_too_large")


def test_the_same_key_and_array_replays_the_job(client: Client) -> None:
    at = "/api/jobs?model=digits"
    ids = [
        client.post(at, raw, content_type="application/x-npy", headers={"idempotency-key": "k"}).json()["id"]
        for raw in (npy(ROW), npy(ROW))
    ]
    assert ids[0] == ids[1]
    other = client.post(at, npy(ROW + 1), content_type="application/x-npy", headers={"idempotency-key": "k"})
    refused(other, 422, "idempotency_conflict")
