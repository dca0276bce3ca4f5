"""Replicate's dialect, whatever is sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import numpy as np
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predict_worker.codec import unpack
from tests.unit.world import World

AT = "/v1/predictions"
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
ANY_JSON = st.recursive(
    SCALARS,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=8), one, max_size=4),
)
FIELDS = st.sampled_from(["version", "input", "stream", "webhook", "webhook_events_filter", "x"])
few = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def create(client: Client, raw: bytes, **headers: str) -> Any:
    return client.post(AT, raw, content_type="application/json", headers=headers)


def answered(response: Any, submits: int, world: World) -> None:
    """A prediction, or a problem that has queued nothing."""
    told = json.loads(response.content)
    queued = world.store.calls.count("submit") - submits
    if response.status_code == 201:
        assert (told["status"], queued) == ("starting", 1)
    else:
        assert response.status_code in (400, 404, 413)
        assert list(told) == ["type", "title", "status", "detail"]
        assert (told["status"], queued) == (response.status_code, 0)


@few
@given(
    version=st.sampled_from(["digits", "me/digits:1", "fresh", "pair:stable"]) | st.text(max_size=12),
    inputs=st.dictionaries(st.sampled_from(["x", "a", "b", ""]), ANY_JSON, max_size=3),
    others=st.dictionaries(FIELDS, ANY_JSON, max_size=2),
)
def test_no_body_is_an_error_of_the_server(
    client: Client, world: World, version: str, inputs: dict[str, Any], others: dict[str, Any]
) -> None:
    submits = world.store.calls.count("submit")
    raw = json.dumps({"version": version, "input": inputs, **others}).encode()
    answered(create(client, raw), submits, world)


@few
@given(raw=st.binary(max_size=60), prefer=st.text(st.characters(codec="ascii", categories=["L", "N", "P"])))
def test_no_bytes_are_an_error_of_the_server(client: Client, world: World, raw: bytes, prefer: str) -> None:
    submits = world.store.calls.count("submit")
    answered(create(client, raw, prefer=prefer), submits, world)


@few
@given(
    job_id=st.text(st.characters(codec="utf-8", exclude_characters="/?#"), min_size=1, max_size=40).filter(
        lambda text: text not in (".", "..")
    )
)
def test_no_id_is_an_error_of_the_server(client: Client, world: World, job_id: str) -> None:
    for method, under in (("get", ""), ("post", "/cancel"), ("get", "/stream")):
        response = getattr(client, method)(f"{AT}/{quote(job_id, safe='')}{under}")
        assert (response.status_code, json.loads(response.content)["status"]) == (404, 404)


@few
@given(
    rows=st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2), min_size=1, max_size=5),
    factors=st.lists(st.integers(-1000, 1000), min_size=5, max_size=5),
)
def test_what_was_sent_is_what_is_run_and_what_comes_out_is_what_is_told(
    client: Client, world: World, rows: list[list[float]], factors: list[int]
) -> None:
    asked = {"version": "pair", "input": {"a": rows, "b": factors[: len(rows)]}}
    urls = create(client, json.dumps(asked).encode()).json()["urls"]
    entries = world.claim("pair")
    parts = [unpack(entry.payload or b"") for entry in entries]
    assert np.concatenate([part["a"] for part in parts]).tolist() == np.array(rows, np.float32).tolist()
    assert np.concatenate([part["b"] for part in parts]).tolist() == factors[: len(rows)]
    world.finish(*(world.outcome(entry, "pair") for entry in entries), model="pair")
    prediction = client.get(urls["get"]).json()
    expected = np.array(rows, np.float32) + np.array(factors[: len(rows)], np.float32)[:, None]
    assert np.array(prediction["output"]["sum"], np.float32).tolist() == expected.tolist()
    stream: Any = client.get(urls["stream"])
    output = b"".join(stream.streaming_content).split(b"data: ")[1]
    assert json.loads(output.split(b"\n")[0]) == prediction["output"]
