"""A job's events under WSGI and ASGI: in order, each once, to the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from api import sse
from predict_worker.core.job import JobError, JobState, new_job_id
from predict_worker.core.ports import Loss
from tests.unit.api.asking import body, post, refused
from tests.unit.api.streams import AsgiStream, Seen, events, read
from tests.unit.world import DIGIT, World

BROKEN = JobError("broken", "Broken", "the model refused these rows")


@pytest.fixture
def at(client: Client) -> str:
    """The path of a queued job's events."""
    return str(post(client).json()["urls"]["events"])


@pytest.fixture
def quick(world: World) -> None:
    """Watches look often."""
    world.service.watchers._look_s = 0.01


def told(seen: list[Seen]) -> list[tuple[str, str]]:
    return [(event.id, event.data["state"]) for event in seen]


class Listener:
    """Reads a stream in a thread of its own."""

    def __init__(self, client: Client, at: str, **headers: str) -> None:
        self.response: Any = client.get(at, headers={n.replace("_", "-"): v for n, v in headers.items()})
        assert self.response.status_code == 200
        self.seen: list[Seen] = []
        self._came = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _lines(self) -> Iterator[str]:
        for part in self.response.streaming_content:
            yield from part.decode().split("\n")[:-1]

    def _read(self) -> None:
        for event in events(self._lines()):
            self.seen.append(event)
            self._came.release()

    def next(self) -> Seen:
        assert self._came.acquire(timeout=5), self.seen
        return self.seen[-1]

    def end(self) -> list[Seen]:
        self._thread.join(5)
        assert not self._thread.is_alive(), self.seen
        self.response.close()
        return self.seen


# ---------------------------------------------------------------- what is told


def test_a_jobs_life_is_told_from_its_beginning(client: Client, world: World, at: str, quick: None) -> None:
    listener = Listener(client, at)
    assert listener.next().data["state"] == "queued"
    entries = world.claim()
    assert listener.next().data["state"] == "running"
    world.finish(*(world.outcome(entry, "digits") for entry in entries))
    seen = listener.end()
    assert told(seen) == [("0.0.0", "queued"), ("1.0.1", "running"), ("1.1.2", "succeeded")]
    assert {event.name for event in seen} == {"state"}
    assert [event.data["attempts"] for event in seen] == [0, 1, 1]
    moments = [event.data["at"] for event in seen]
    assert moments == sorted(moments)


def test_a_job_that_is_over_is_told_in_full_and_takes_no_place(client: Client, world: World, at: str) -> None:
    world.run()
    response = client.get(at)
    assert world.service.watchers.watching == 0
    assert told(read(response)) == [("0.0.0", "queued"), ("1.0.1", "running"), ("1.1.2", "succeeded")]


def test_an_event_says_all_that_there_is_to_say(client: Client, world: World, at: str) -> None:
    world.run()
    job = client.get(at.removesuffix("/events")).json()
    assert read(client.get(at))[-1].data == {
        "id": job["id"],
        "state": "succeeded",
        "attempts": 1,
        "ranges_done": 1,
        "ranges": 1,
        "rows": 1,
        "at": job["finished_at"],
        "error": None,
    }


def test_progress_is_told_range_by_range(client: Client, world: World, quick: None) -> None:
    at = post(client, body(inputs=DIGIT * 5)).json()["urls"]["events"]
    listener = Listener(client, at)
    listener.next()
    entries = world.claim()
    listener.next()
    for entry in entries:
        world.finish(world.outcome(entry, "digits"))
        listener.next()
    seen = listener.end()
    assert [(event.name, event.data["ranges_done"]) for event in seen] == [
        ("state", 0),
        ("state", 0),
        ("progress", 1),
        ("progress", 2),
        ("state", 3),
    ]
    assert {(event.data["ranges"], event.data["rows"]) for event in seen} == {(3, 5)}


def test_a_further_attempt_is_told(client: Client, world: World, at: str, quick: None) -> None:
    listener = Listener(client, at)
    for attempts in range(3):
        assert (listener.next().data["attempts"], listener.seen[-1].name) == (attempts, "state")
        world.store.recover("digits", "n1:1", Loss.CHILD)
        world.claim()
    world.store.cancel(at.split("/")[3])
    assert listener.end()[-1].data["state"] == "cancelled"


def test_a_failure_is_told_with_its_error(client: Client, world: World, at: str) -> None:
    world.run(error=BROKEN)
    last = read(client.get(at))[-1].data
    assert (last["state"], last["error"]["code"]) == ("failed", "broken")


@pytest.mark.parametrize("end", [JobState.CANCELLED, JobState.EXPIRED])
def test_a_job_that_never_ran_ends_as_well(client: Client, world: World, end: JobState) -> None:
    job = post(client, body(deadline_s=5)).json()
    if end is JobState.CANCELLED:
        world.store.cancel(job["id"])
    else:
        clock = world.store._clock
        world.store._clock = lambda: clock() + 6_000_000
    assert [state for _, state in told(read(client.get(job["urls"]["events"])))] == ["queued", end.value]


def test_a_redriven_dead_letter_goes_on(client: Client, world: World, at: str, quick: None) -> None:
    world.bury()
    last = read(client.get(at))[-1]
    assert (last.id, last.data["state"]) == ("3.0.2", "failed")
    world.service.backlog.redrive(last.data["id"], "")
    listener = Listener(client, at, last_event_id=last.id)
    listener.next()
    world.run()
    seen = listener.end()
    assert (seen[0].id, seen[0].data["state"]) == ("3.0.3", "queued")
    assert (seen[-1].id, seen[-1].data["state"]) == ("4.1.2", "succeeded")


def test_a_deleted_jobs_stream_ends(client: Client, world: World, at: str) -> None:
    listener = Listener(client, at)
    listener.next()
    world.store.delete(at.split("/")[3])
    assert told(listener.end()) == [("0.0.0", "queued")]


# ---------------------------------------------------------------- going on


def test_any_process_goes_on_where_another_has_stopped(client: Client, world: World) -> None:
    """After each event of a job, at each of its states: nothing twice, nothing left out, the end for sure."""
    at = post(client, body(inputs=DIGIT * 5)).json()["urls"]["events"]
    job_id = at.split("/")[3]
    first, second, third = world.claim()
    heard = ["0.0.0", "1.0.1"]
    world.finish(world.outcome(first, "digits"))
    world.finish(world.outcome(second, "digits"))
    heard.append("1.2.1")
    world.finish(world.outcome(third, "digits"))
    assert world.store.get(job_id).state is JobState.SUCCEEDED
    whole = ["0.0.0", "1.0.1", "1.3.2"]
    assert [event.id for event in read(client.get(at))] == whole
    for last in heard:
        resumed = read(client.get(at, headers={"last-event-id": last}))
        assert [event.id for event in resumed] == [i for i in whole if i > last], last


def test_who_has_heard_the_end_is_told_to_stay_away(client: Client, world: World, at: str) -> None:
    world.run()
    last = read(client.get(at))[-1].id
    response = client.get(at, headers={"last-event-id": last})
    assert (response.status_code, response.content) == (204, b"")


def test_who_has_heard_more_than_the_store_remembers_is_told_the_end(
    client: Client, world: World, at: str
) -> None:
    """Redis may have lost the last second of its writes."""
    world.run()
    seen = read(client.get(at, headers={"last-event-id": "2.0.1"}))
    assert told(seen) == [("1.1.2", "succeeded")]


@pytest.mark.parametrize("given", ["x", "1", "1.2", "1.2.3.4.5", "1.-2.3", "1.2.", "9" * 5000, "\u0661.2.3"])
def test_an_id_that_no_event_has_is_refused_by_name(
    client: Client, world: World, at: str, given: str
) -> None:
    refused(client.get(at, headers={"last-event-id": given}), 400, "invalid_request", "Last-Event-ID")
    assert world.service.watchers.watching == 0


# ---------------------------------------------------------------- who may, and how many


@pytest.mark.parametrize("job_id", [new_job_id(0), "x", "%00"])
def test_an_unknown_jobs_events_are_404(client: Client, world: World, job_id: str) -> None:
    refused(client.get(f"/api/jobs/{job_id}/events"), 404, "job_not_found")


def test_streams_are_bounded_and_give_their_place_back(client: Client, world: World, at: str) -> None:
    world.service.watchers._limit = 2
    open_ones = [client.get(at), client.get(at)]
    response = client.get(at)
    refused(response, 503, "too_many_streams")
    assert int(response["Retry-After"]) >= 1
    open_ones.pop().close()  # nobody has begun to read it
    open_ones.append(client.get(at))
    assert open_ones[-1].status_code == 200
    for stream in open_ones:
        stream.close()
    assert world.service.watchers.watching == 0


def test_a_stream_says_what_it_is(client: Client, world: World, at: str) -> None:
    response = client.get(at)
    assert response["Cache-Control"] == "no-store"
    assert response["X-Accel-Buffering"] == "no"
    assert response["X-Request-ID"]
    assert "Content-Length" not in response
    response.close()
    head = client.head(at)
    assert (head.status_code, head["Content-Type"]) == (200, "text/event-stream")
    assert world.service.watchers.watching == 0


def test_a_silent_stream_shows_whether_anybody_listens(
    client: Client, world: World, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.01)
    response: Any = client.get(at)
    parts = iter(response.streaming_content)
    assert b"queued" in next(parts)
    beats = {next(parts) for _ in range(5)}
    assert beats == {b":\n\n"}
    response.close()


def test_a_store_that_is_away_is_503(client: Client, world: World, at: str) -> None:
    world.store.away = {"*"}
    refused(client.get(at), 503, "store_unavailable")


# ---------------------------------------------------------------- ASGI


def test_under_asgi_many_streams_hold_few_threads(world: World, client: Client, quick: None) -> None:
    world.service.watchers._limit = 100
    before = threading.active_count()
    at = post(client).json()["urls"]["events"]

    async def listen() -> list[str]:
        streams = [AsgiStream(at) for _ in range(100)]
        for stream in streams:
            assert "queued" in await stream.part()
        # Those that render are a bounded pool.
        assert threading.active_count() < before + 60
        await asyncio.to_thread(world.run)
        return [await stream.rest() for stream in streams]

    for text in asyncio.run(listen()):
        assert [event.data["state"] for event in events(text.split("\n"))][-1] == "succeeded"
    assert world.service.watchers.watching == 0


def test_under_asgi_a_silent_stream_shows_whether_anybody_listens(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.01)
    at = post(client).json()["urls"]["events"]

    async def listen() -> list[str]:
        stream = AsgiStream(at)
        parts = [await stream.part() for _ in range(4)]
        await stream.leave()
        return parts

    first, *beats = asyncio.run(listen())
    assert "queued" in first
    assert set(beats) == {":\n\n"}


def test_under_asgi_who_leaves_makes_room_at_once(world: World, client: Client) -> None:
    at = post(client).json()["urls"]["events"]

    async def listen() -> int:
        stream = AsgiStream(at)
        await stream.part()
        watching = world.service.watchers.watching
        await stream.leave()
        return watching

    assert asyncio.run(listen()) == 1
    assert world.service.watchers.watching == 0
