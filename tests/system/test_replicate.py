"""Replicate's published client, pointed at this service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.prediction import Prediction

from tests.docs_runner import Example, examples
from tests.system.models import busy
from tests.system.stack import Stack

HALF = {"x": [[2.0, 3.0]]}
ANSWER = [[3.0, 3.5]]


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    client = Client("any", base_url=f"http://127.0.0.1:{stack.port}", trust_env=False)
    client.poll_interval = 0.05
    yield client
    client._client.close()


def run_async(stack: Stack, work: Any) -> Any:
    async def with_client() -> Any:
        client = Client("any", base_url=f"http://127.0.0.1:{stack.port}", trust_env=False)
        client.poll_interval = 0.05
        try:
            return await work(client)
        finally:
            await client._async_client.aclose()

    coroutine: Coroutine[Any, Any, Any] = with_client()
    return asyncio.run(coroutine)


def pending(client: Client, seconds: float = 1.0) -> Prediction:
    return client.predictions.create(version="busy", input={"x": busy(seconds)})


def test_run_returns_the_output(client: Client) -> None:
    assert client.run("me/half", input=HALF) == ANSWER


def test_run_without_waiting_polls(client: Client) -> None:
    assert client.run("me/half", input=HALF, wait=False) == ANSWER


def test_run_that_outlasts_its_wait_polls_on(client: Client) -> None:
    """The client would take ``processing`` for the end, and return nothing."""
    assert client.run("me/busy", input={"x": busy(2.5)}, wait=1) == busy(2.5)


def test_a_prediction_is_created_waited_for_and_reloaded(client: Client) -> None:
    prediction = pending(client)
    early = client.predictions.get(prediction.id)
    assert (prediction.status, early.output) == ("starting", None)
    assert (prediction.model, prediction.version) == ("busy", "busy:1")
    prediction.wait()
    assert (prediction.status, prediction.output, prediction.error) == ("succeeded", busy(1.0), None)
    assert prediction.metrics is not None
    assert prediction.metrics["predict_time"] > 0
    early.reload()
    assert early == prediction


@pytest.mark.parametrize("version", ["half", "half:1", "me/half", "me/half:1"])
def test_every_spelling_of_a_version_is_understood(client: Client, version: str) -> None:
    prediction = client.predictions.create(version=version, input=HALF, wait=10)
    assert (prediction.status, prediction.output, prediction.version) == ("succeeded", ANSWER, "half:1")


def test_a_prediction_is_cancelled(client: Client) -> None:
    prediction = pending(client, 3.0)
    prediction.cancel()
    assert prediction.status == "canceled"
    assert client.predictions.cancel(prediction.id).status == "canceled"


def test_predictions_are_listed_page_by_page(client: Client, stack: Stack) -> None:
    made = [client.predictions.create(version="half", input=HALF).id for _ in range(105)]
    page = client.predictions.list()
    listed = [prediction.id for prediction in page]
    assert (len(page), page.previous) == (100, None)
    assert page.next is not None
    listed += [prediction.id for prediction in client.predictions.list(page.next)]
    assert listed[: len(made)] == made[::-1]


def test_progress_is_where_the_client_looks_for_it(client: Client) -> None:
    prediction = client.predictions.create(version="single", input={"x": busy(0.1) * 3})
    prediction.wait()
    assert prediction.progress is not None
    assert (prediction.progress.current, prediction.progress.total) == (3, 3)


def test_a_prediction_is_streamed(client: Client) -> None:
    events = list(client.stream("me/half", input=HALF))
    assert [event.event.value for event in events] == ["output", "done"]
    assert json.loads(str(events[0])) == ANSWER
    assert len({event.id for event in events}) == 2
    again = list(pending(client).stream())
    assert [event.event.value for event in again] == ["output", "done"]


def test_a_refusal_is_the_clients_error(client: Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run("me/half", input={"x": [[1.0, 2.0, 3.0]]})
    assert (caught.value.status, caught.value.title) == (400, "Invalid request")
    assert caught.value.type == "urn:predict-worker:invalid_request"
    assert str(caught.value.detail).startswith("input.x[0]: expected a list of 2")
    with pytest.raises(ReplicateError) as caught:
        client.run("me/nobody", input=HALF)
    assert caught.value.status == 404
    with pytest.raises(ReplicateError) as caught:
        client.predictions.get("0-" + "0" * 32)
    assert caught.value.status == 404


def test_a_failure_is_the_clients_error(client: Client, stack: Stack) -> None:
    """A job past its deadline is a prediction that failed."""
    assert stack.http.post("/api/models/single/pause").status_code == 200
    late = stack.predict("single", busy(0.1), deadline_s=0.2).json()["id"]
    prediction = client.predictions.get(late)
    prediction.wait()
    assert (prediction.status, "deadline" in str(prediction.error)) == ("failed", True)
    with pytest.raises(RuntimeError, match="deadline"):
        list(prediction.stream())
    with pytest.raises(ModelError, match="deadline"):
        list(prediction.output_iterator())
    assert stack.http.post("/api/models/single/resume").status_code == 200


def test_the_asynchronous_client_does_all_of_it(stack: Stack) -> None:
    async def work(client: Client) -> None:
        assert await client.async_run("me/half", input=HALF) == ANSWER
        prediction = await client.predictions.async_create(version="busy", input={"x": busy(0.5)})
        await prediction.async_wait()
        assert prediction.output == busy(0.5)
        await prediction.async_reload()
        assert (await client.predictions.async_get(prediction.id)).status == "succeeded"
        assert prediction.id in [one.id for one in await client.predictions.async_list()]
        events = [event async for event in await client.async_stream("me/half", input=HALF)]
        assert [event.event.value for event in events] == ["output", "done"]
        other = await client.predictions.async_create(version="busy", input={"x": busy(2.0)})
        await other.async_cancel()
        assert other.status == "canceled"
        together = [client.async_run("me/half", input={"x": [[float(n), 0.0]]}) for n in range(16)]
        assert await asyncio.gather(*together) == [[[n / 2 + 2, 2.0]] for n in range(16)]

    run_async(stack, work)


@pytest.mark.parametrize("example", examples("replicate"), ids=str)
def test_the_page_does_what_it_says(example: Example, stack: Stack, tmp_path: Path) -> None:
    example.run(f"127.0.0.1:{stack.port}", tmp_path)


def test_the_page_has_its_examples() -> None:
    assert len(examples("replicate")) == 6
