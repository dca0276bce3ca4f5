"""One corpus of hostile requests for every dialect: each is a clear 4xx in the dialect's own words, queues
nothing, and takes memory in proportion to ``MAX_BODY_BYTES`` alone."""

from __future__ import annotations

import gzip
import io
import json
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings

from predict_worker import connect
from predict_worker.codec import unpack
from predict_worker.core.spec import Signature, TensorSpec
from tests.unit.api import hostile
from tests.unit.api.hostile import DIALECTS, MAX_BODY_BYTES, Dialect
from tests.unit.world import DIGIT, World, spec

PEAK_BYTES = 48 * MAX_BODY_BYTES
"""An empty list or object takes three bytes of JSON, and twenty to thirty times as many as Python's."""
BOMB_PEAK_BYTES = 4 * MAX_BODY_BYTES
"""What is refused unread, or unparsed."""

ERRORS = (frozenset(hostile.ERROR), frozenset(hostile.REPLICATE), frozenset(hostile.PROBLEM))
REFUSED = {400, 404, 405, 409, 411, 413, 415, 422}


@pytest.fixture
def world() -> Iterator[World]:
    world = World(max_input_bytes=MAX_BODY_BYTES)
    with (
        connect.use(world.service),
        override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True, "MAX_BODY_BYTES": MAX_BODY_BYTES}),
    ):
        yield world
    world.close()


@pytest.fixture(params=DIALECTS, ids=lambda name: name.replace(" ", "-"))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@contextmanager
def peak_below(bound: int) -> Iterator[None]:
    """Of all that is allocated meanwhile."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bound, f"{peak / 1e6:.1f} MB"


def send(client: Client, dialect: Dialect, raw: bytes, model: str = "digits", **headers: str) -> Any:
    """A job where the dialect makes one: nobody answers here."""
    kind = headers.pop("content_type", dialect.kind)
    given = {"prefer": "respond-async", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.generic("POST", dialect.at.format(model), raw, content_type=kind, headers=given)


def check(world: World, response: Any, *shapes: frozenset[str]) -> None:
    """A refusal in one of these shapes that says something, and nothing queued."""
    assert response.status_code in REFUSED, (response.status_code, response.content[:500])
    told = json.loads(response.content)
    assert told.keys() in [*shapes, *(shape | {"field", "expected", "got"} for shape in shapes)], told
    said = told.get("detail") or told.get("error")
    assert isinstance(said, str)
    assert said
    assert told.get("status", response.status_code) == response.status_code
    assert b"Traceback" not in response.content
    check_nothing_queued(world)


def check_nothing_queued(world: World) -> None:
    assert world.store.jobs(None).job_ids == ()
    assert "submit" not in world.store.calls
    assert world.wakeups.sent == []


def takes_a_digit(dialect: Dialect) -> bool:
    return b"examples" not in dialect.body and not dialect.at.startswith("/api/hooks")


@pytest.mark.parametrize("parameter", ["", "; charset=utf-8", "; charset=binary"])
@pytest.mark.parametrize("dialect", [d for d in DIALECTS.values() if takes_a_digit(d)], ids=attrgetter("at"))
def test_every_dialect_takes_what_means_no_harm(
    client: Client, world: World, dialect: Dialect, parameter: str
) -> None:
    """Else the rest would say nothing."""
    digit = json.dumps(DIGIT[0] if b"[%s]" in dialect.body else DIGIT).encode()
    kind = dialect.kind + parameter
    assert send(client, dialect, dialect.wrap(digit), content_type=kind).status_code in (201, 202)
    assert len(world.store.jobs(None).job_ids) == 1


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("tensor", hostile.TENSORS)
def test_a_tensor(client: Client, world: World, dialect: Dialect, tensor: str) -> None:
    raw = dialect.wrap(hostile.TENSORS[tensor])
    check(world, send(client, dialect, raw), dialect.told)


@pytest.mark.parametrize("document", hostile.DOCUMENTS)
def test_a_document(client: Client, world: World, dialect: Dialect, document: str) -> None:
    check(world, send(client, dialect, hostile.DOCUMENTS[document]), dialect.told)


@pytest.mark.parametrize("tensor", ["many rows", "many objects", "many names", "deep lists"])
def test_json_takes_memory_in_proportion(client: Client, world: World, dialect: Dialect, tensor: str) -> None:
    raw = dialect.wrap(hostile.TENSORS[tensor])
    send(client, dialect, dialect.wrap(b"0"))
    with peak_below(PEAK_BYTES):
        check(world, send(client, dialect, raw), dialect.told)


@pytest.mark.parametrize("name", hostile.LARGE)
def test_json_is_in_memory_once(client: Client, world: World, dialect: Dialect, name: str) -> None:
    raw = dialect.wrap(hostile.LARGE[name])
    send(client, dialect, dialect.wrap(b"0"))
    with peak_below(48 * len(raw) + 2**19):
        check(world, send(client, dialect, raw), dialect.told)


# ---------------------------------------------------------------- codings, lengths, charsets


@pytest.mark.parametrize("headers", hostile.HEADERS)
def test_a_coding_that_is_a_lie(client: Client, world: World, dialect: Dialect, headers: str) -> None:
    check(world, send(client, dialect, dialect.wrap(b"[[0]]"), **hostile.HEADERS[headers]), dialect.told)


@cache
def bomb(coding: str, filling: bytes) -> bytes:
    plain = filling * (100 * MAX_BODY_BYTES // len(filling))
    return gzip.compress(plain, 1) if coding == "gzip" else zlib.compress(plain, 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("filling", [b" ", b"[", b"[],"])
def test_a_bomb(client: Client, world: World, dialect: Dialect, coding: str, filling: bytes) -> None:
    raw = bomb(coding, filling)
    send(client, dialect, raw, content_encoding=coding)
    with peak_below(BOMB_PEAK_BYTES):
        check(world, send(client, dialect, raw, content_encoding=coding), dialect.told)


def test_a_bomb_of_members(client: Client, world: World) -> None:
    """A gzip file of 200,000 members: if each cost as much as all that follow it, it would take minutes."""
    member, dialect = gzip.compress(b""), DIALECTS["native columns"]
    settings = {"ALLOW_ANONYMOUS": True, "MAX_BODY_BYTES": 200_000 * len(member)}
    with override_settings(PREDICT_WORKER=settings):
        start = time.process_time()
        response = send(client, dialect, 200_000 * member, content_encoding="gzip")
        assert time.process_time() - start < 5
    check(world, response, dialect.told)


class Endless(io.BytesIO):
    """A body without end, of which only so much may be read."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        given = min(size, 65536)
        self.given += given
        assert self.given <= MAX_BODY_BYTES + 1
        return b"[" * given


def raw_post(dialect: Dialect, stream: io.BytesIO, **environ: Any) -> tuple[int, dict[str, Any]]:
    """Through Django's WSGI handler, with an environment of the test's own making."""
    statuses: list[int] = []
    given = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": dialect.at.format("digits"),
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": dialect.kind,
        "HTTP_PREFER": "respond-async",
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        **environ,
    }
    response = WSGIHandler()(given, lambda status, headers: statuses.append(int(status[:3])))  # type: ignore
    content = b"".join(response)
    response.close()
    return statuses[0], json.loads(content)


@pytest.mark.parametrize(
    "length", ["1", "10", "100000", "999999999999", "-1", "-5", "many", "1e3", "0x10", "", "9" * 5000, "٣"]
)
def test_a_length_that_is_a_lie(world: World, dialect: Dialect, length: str) -> None:
    body = dialect.wrap(json.dumps(DIGIT[0] if b"[%s]" in dialect.body else DIGIT).encode())
    status, told = raw_post(dialect, io.BytesIO(body), CONTENT_LENGTH=length)
    assert (status in REFUSED, dialect.told <= told.keys()) == (True, True), (status, told)
    check_nothing_queued(world)


@pytest.mark.parametrize("length", [None, "5", "-1"])
def test_chunks_without_end(world: World, dialect: Dialect, length: str | None) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    given = {} if length is None else {"CONTENT_LENGTH": length}
    status, told = raw_post(dialect, Endless(), **chunked, **given)
    assert (status in REFUSED, dialect.told <= told.keys()) == (True, True), (status, told)
    check_nothing_queued(world)


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "latin-1", "binary"])
def test_a_charset_that_is_a_lie(client: Client, world: World, dialect: Dialect, charset: str) -> None:
    """JSON is UTF-8 and so are queries, whatever is said."""
    kind = f"{dialect.kind}; charset={charset}"
    check(world, send(client, dialect, dialect.wrap(b"[[[0]]]"), content_type=kind), dialect.told)
    for path in ("/api/jobs?cursor=a", "/v1/predictions?cursor=a", "/api/hooks/deliveries?limit=a"):
        response = client.generic("GET", path, content_type=kind)
        assert response.status_code in (200, 400), response.content
    kind = f"application/x-npy; charset={charset}"
    response = client.generic("POST", "/api/jobs?model=digits", hostile.NPY["cut"], content_type=kind)
    check(world, response, frozenset(hostile.PROBLEM))


@pytest.mark.parametrize("query", ["", "model=digits", "model=%ff%00\xff"])
@pytest.mark.parametrize("charset", hostile.CHARSETS)
def test_a_charset_that_is_none(world: World, dialect: Dialect, charset: str, query: str) -> None:
    """Django decodes the query by it before it asks a view."""
    for kind in (dialect.kind, "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"):
        given = {"CONTENT_TYPE": f"{kind}; charset={charset}", "QUERY_STRING": query}
        body = dialect.wrap(b"[[0]]")
        status, told = raw_post(dialect, io.BytesIO(body), CONTENT_LENGTH=str(len(body)), **given)
        said = told.get("detail") or told["error"]
        assert (status, repr(charset[:20])[1:-1] in said) in ((415, True), (400, True))
        assert dialect.told == told.keys()
        check_nothing_queued(world)


@pytest.mark.parametrize("more", ["boundary*=no-such''a", "charset*=no-such''utf-8"])
def test_a_media_type_that_cannot_be_read(world: World, dialect: Dialect, more: str) -> None:
    given = {"CONTENT_TYPE": f"{dialect.kind}; {more}", "CONTENT_LENGTH": "2"}
    status, told = raw_post(dialect, io.BytesIO(b"{}"), **given)
    assert status in (400, 415)
    assert told.keys() == dialect.told


def test_more_parameters_than_django_reads(world: World) -> None:
    """With a charset it counts them before it asks a view."""
    dialect, query = DIALECTS["native columns"], "&".join(f"a{n}=" for n in range(2000))
    for charset in ("", "; charset=utf-8"):
        given = {"CONTENT_TYPE": f"application/x-npy{charset}", "QUERY_STRING": query}
        status, told = raw_post(dialect, io.BytesIO(b"{}"), CONTENT_LENGTH="2", **given)
        assert (status, told["code"]) == (400, "parse_error")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", hostile.NAMES)
def test_a_models_name(client: Client, world: World, dialect: Dialect, name: str) -> None:
    given = hostile.NAMES[name]
    if dialect.named:
        raw = dialect.named.replace(b"%s", json.dumps(unquote(given)).encode())
        check(world, send(client, dialect, raw), dialect.told)
    else:
        raw = dialect.wrap(b"[[0]]")
        check(world, send(client, dialect, raw, given), *ERRORS)


LOOKUPS = (
    *("/api/jobs/{}", "/api/jobs/{}/result", "/api/jobs/{}/events", "/api/models/{}"),
    *("/v1/predictions/{}", "/v1/predictions/{}/stream", "/v1/models/{}", "/v1/models/digits/versions/{}"),
    *(
        "/v1/models/digits/labels/{}",
        "/v1/models/{}/jobs/{}",
        "/v2/models/{}",
        "/v2/models/digits/versions/{}",
    ),
    *("/v2/models/{}/ready", "/v2/models/digits/jobs/{}", "/api/hooks/endpoints/{}"),
    *(
        "/api/hooks/deliveries/{}",
        "/api/hooks/deliveries?job={}",
        "/api/jobs?cursor={}",
        "/api/jobs?model={}",
    ),
    *("/api/models/{}/dead", "/api/models/digits/dead?cursor={}", "/v1/predictions?cursor={}"),
)


@pytest.mark.parametrize("at", LOOKUPS)
def test_a_name_in_any_path(client: Client, world: World, at: str) -> None:
    for name in hostile.NAMES.values():
        response = client.get(at.replace("{}", name))
        if response.status_code != 200:  # a cursor may be any text
            check(world, response, *ERRORS)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("model", ["digits", "fresh"])
@pytest.mark.parametrize("name", hostile.NPY)
def test_an_npy_file(client: Client, world: World, name: str, model: str) -> None:
    at = f"/api/jobs?model={model}"
    with peak_below(BOMB_PEAK_BYTES):
        response = client.post(at, hostile.NPY[name], content_type="application/x-npy")
    if response.status_code == 202:  # nobody knows yet what the model takes
        assert model == "fresh"
        assert world.store.stats("fresh").waiting == 1
    else:
        check(world, response, frozenset(hostile.PROBLEM))


@pytest.mark.parametrize("name", hostile.NPZ)
def test_an_npz_file(client: Client, world: World, name: str) -> None:
    with peak_below(BOMB_PEAK_BYTES):
        response = client.post("/api/jobs?model=digits", hostile.NPZ[name], content_type="application/x-npz")
    check(world, response, frozenset(hostile.PROBLEM))


@pytest.mark.parametrize("form", [True, False])
def test_a_picture_of_a_gigapixel(client: Client, world: World, form: bool) -> None:
    assert len(hostile.PNG_BOMB) < MAX_BODY_BYTES
    with peak_below(BOMB_PEAK_BYTES):
        if form:
            upload = io.BytesIO(hostile.PNG_BOMB)
            response = client.post("/api/jobs", {"model": "digits", "inputs": upload})
        else:
            at = "/api/jobs?model=digits"
            response = client.post(at, hostile.PNG_BOMB, content_type="image/png")
    check(world, response, frozenset(hostile.PROBLEM))


# ---------------------------------------------------------------- the binary tensor extension

OIP = DIALECTS["oip"]
ROW = bytes(256)
HEADER = "inference-header-content-length"
SHAPE = [1, 8, 8, 1]


@pytest.mark.parametrize(
    "length", ["", " ", "-1", "1e9", "9" * 12, "9" * 5000, "0x10", "1.0", "+1", "many", "1, 2", "٣", "\x00"]
)
def test_a_header_length_that_is_a_lie(client: Client, world: World, length: str) -> None:
    raw = hostile.tensor(SHAPE, 256) + ROW
    check(world, send(client, OIP, raw, **{HEADER: length}), OIP.told)


SIZES: Mapping[str, Any] = {
    **{str(size): size for size in (0, -1, 255, 257, 2**31, 2**63, 2**64, 10**30, 256.0, True)},
    "a text": "256",
    "a list": [256],
    "an object": {"a": 256},
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_is_a_lie(client: Client, world: World, name: str) -> None:
    head = hostile.tensor(SHAPE, SIZES[name])
    check(world, send(client, OIP, head + ROW, **{HEADER: str(len(head))}), OIP.told)


IMAGES = Signature(
    "serving_default",
    (TensorSpec("x", "float32", (-1, 224, 224, 3)),),
    (TensorSpec("probabilities", "float32", (-1, 10)),),
)
SHAPES: Mapping[str, Any] = {
    "negative": [-1, 8, 8, 1],
    "negative twice": [-1, -8, 8, 1],
    "overflowing to its size": [2**62 + 1, 4, 4, 4],
    "overflowing to nothing": [2**32, 2**32, 0],
    "too large": [10**12, 8, 8, 1],
    "past 64 bits": [2**64, 8, 8, 1],
    "nothing": [0, 8, 8, 1],
    "rank": [1] * 65,
    "many": [1] * 100_000,
    "floats": [1.0, 8, 8, 1],
    "texts": ["1", "8", "8", "1"],
    "nested": [[1, 8, 8, 1]],
    "null": None,
    "booleans": [True, 8, 8, True],
    "an object": {"0": 1},
}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_is_a_lie(client: Client, world: World, name: str, binary: bool) -> None:
    if binary:
        head = hostile.tensor(SHAPES[name], 256)
        raw, headers = head + ROW, {HEADER: str(len(head))}
    else:
        raw, headers = hostile.tensor(SHAPES[name], data=[0] * 64), {}
    with peak_below(8 * MAX_BODY_BYTES):
        check(world, send(client, OIP, raw, **headers), OIP.told)


def test_strings_that_claim_to_be_long(client: Client, world: World) -> None:
    for data in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7fa", b"\0\0\0\0" * 50_000):
        head = hostile.tensor(SHAPE, len(data), datatype="BYTES")
        with peak_below(16 * MAX_BODY_BYTES):
            check(world, send(client, OIP, head + data, **{HEADER: str(len(head))}), OIP.told)


def test_a_binary_image_never_becomes_a_list_of_numbers(client: Client, world: World) -> None:
    """The body, its JSON's and the payload's copies: 6 times as much would be a list of its floats."""
    world.catalogue_store.publish_specs([spec("digits", signature=IMAGES)])
    image = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    head = hostile.tensor([*image.shape], image.nbytes)
    raw = head + image.tobytes()
    with peak_below(4 * image.nbytes):
        assert send(client, OIP, raw, **{HEADER: str(len(head))}).status_code == 202
    (entry,) = world.claim()
    assert entry.payload is not None
    np.testing.assert_array_equal(unpack(entry.payload)["x"], image)
