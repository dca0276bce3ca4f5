"""Events of jobs over HTTP, under WSGI and ASGI: to the end, past a restart, and within their bound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs_runner import Example, examples
from tests.system.conftest import StartStack
from tests.system.models import busy
from tests.system.stack import Stack, until
from tests.unit.api.streams import Seen, events

STREAMS = 4


@pytest.fixture(scope="module", params=["wsgi", "asginl"])
def stack(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """With a bound that a test can reach."""
    shared = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_MAX_STREAMS=str(STREAMS))
    try:
        shared.redis.start()
        shared.web(request.param)
        shared.worker(children=1)
        shared.await_ready()
        yield shared
    finally:
        shared.close()


@contextmanager
def stream(stack: Stack, job_id: str, last: str = "") -> Iterator[Iterator[Seen]]:
    headers = {"Last-Event-ID": last} if last else {}
    with stack.http.stream("GET", f"/api/jobs/{job_id}/events", headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["Content-Type"] == "text/event-stream"
        yield events(response.iter_lines())


def submitted(stack: Stack, model: str, inputs: Any) -> str:
    response = stack.predict(model, inputs)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_streams_are_bounded_and_those_that_are_left_make_room(stack: Stack) -> None:
    """The first test: what others have left may still take places."""
    assert stack.http.post("/api/models/single/pause").status_code == 200
    waiting = submitted(stack, "single", busy(0.1))

    def one_more() -> bool:
        with stack.http.stream("GET", f"/api/jobs/{waiting}/events") as response:
            return response.status_code == 200

    with ExitStack() as held:
        streams = [held.enter_context(stream(stack, waiting)) for _ in range(STREAMS)]
        assert [next(heard).data["state"] for heard in streams] == ["queued"] * STREAMS
        refused = stack.http.get(f"/api/jobs/{waiting}/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
        assert int(refused.headers["Retry-After"]) >= 1
        assert stack.predict("half", [[2.0, 3.0]], wait_s=10).status_code == 200
    until(one_more, 20, "room for a stream")
    assert stack.http.post("/api/models/single/resume").status_code == 200
    stack.final(waiting)


def test_a_job_is_followed_to_its_end(stack: Stack) -> None:
    job_id = submitted(stack, "busy", busy(0.5))
    with stream(stack, job_id) as heard:
        states = [event.data["state"] for event in heard]  # ends by itself
    assert states == ["queued", "running", "succeeded"]


def test_progress_of_many_rows_is_told(stack: Stack) -> None:
    """One row a batch: as many ranges as rows, each for a while."""
    job_id = submitted(stack, "single", busy(0.7) * 4)
    with stream(stack, job_id) as heard:
        seen = list(heard)
    done = [event.data["ranges_done"] for event in seen if event.name == "progress"]
    assert done
    assert done == sorted(set(done))
    assert {(event.data["ranges"], event.data["rows"]) for event in seen} == {(4, 4)}
    assert (seen[-1].data["state"], seen[-1].data["ranges_done"]) == ("succeeded", 4)


def test_a_broken_stream_goes_on_without_repeating_anything(stack: Stack) -> None:
    job_id = submitted(stack, "single", busy(0.7) * 3)
    heard: list[str] = []
    state = ""
    while state != "succeeded":
        with stream(stack, job_id, heard[-1] if heard else "") as parts:
            event = next(parts)  # and then the connection is gone
        heard.append(event.id)
        state = event.data["state"]
    assert len(set(heard)) == len(heard) >= 3
    again = stack.http.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": heard[-1]})
    assert (again.status_code, again.content) == (204, b"")


def test_a_cancelled_job_ends_its_stream(stack: Stack) -> None:
    job_id = submitted(stack, "busy", busy(3.0))
    with stream(stack, job_id) as heard:
        next(heard)
        assert stack.http.post(f"/api/jobs/{job_id}/cancel").status_code == 200
        assert [event.data["state"] for event in heard][-1] == "cancelled"


def test_an_unknown_job_is_404(stack: Stack) -> None:
    response = stack.http.get(f"/api/jobs/0-{'0' * 32}/events")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")


def test_a_web_that_is_replaced_is_gone_on_with(new_stack: StartStack) -> None:
    """Another process knows nothing but the job's record."""
    stack = new_stack()
    stack.redis.start()
    web = stack.web()
    stack.worker(children=1)
    stack.await_ready()
    job_id = submitted(stack, "busy", busy(3.0))
    heard: list[Seen] = []
    with stream(stack, job_id) as parts:
        heard.append(next(parts))
        for process in stack.children(web):
            process.kill()
        web.kill()
        with pytest.raises(httpx.TransportError):
            heard += parts
    web.wait()
    stack.web()
    stack.await_ready()
    with stream(stack, job_id, heard[-1].id) as parts:
        heard += parts
    assert [event.data["state"] for event in heard] == ["queued", "running", "succeeded"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In which one example leaves what the next one needs."""
    return tmp_path_factory.mktemp("page")


@pytest.mark.parametrize("example", examples("events"), ids=str)
def test_the_page_does_what_it_says(example: Example, stack: Stack, folder: Path) -> None:
    example.run(f"127.0.0.1:{stack.port}", folder)


def test_the_page_has_its_examples() -> None:
    assert len(examples("events")) == 4
