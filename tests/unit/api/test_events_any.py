"""Streams of events, whatever becomes of a job."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any

from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predict_worker import connect
from predict_worker.core.errors import PredictionError
from predict_worker.core.job import JobError
from predict_worker.core.ports import Entry, Lane, Loss, Outcome
from tests.unit.api.asking import body, post
from tests.unit.world import DIGIT, WIDE, World

Id = tuple[int, ...]


class Life:
    """One job of three ranges, alone in its world, and who works on it."""

    def __init__(self, world: World, job_id: str) -> None:
        self.world, self.job_id = world, job_id
        self._held: list[Entry] = []

    def claim(self) -> None:
        wakeup = next(iter(self.world.store._table.queue("digits").slots), "")
        self._held += self.world.store.step(Lane("digits", "n1:1", wakeup), (), WIDE).entries

    def finish(self) -> None:
        if self._held:
            self.world.finish(self.world.outcome(self._held.pop(0), "digits"))

    def fail(self) -> None:
        if self._held:
            self.world.finish(Outcome(self._held.pop(0), error=JobError("broken", "Broken", "as asked")))

    def bury(self) -> None:
        self.world.store.recover("digits", "n1:1", Loss.CHILD)
        self._held = []
        self.world.bury()

    def redrive(self) -> None:
        with suppress(PredictionError):
            self.world.service.backlog.redrive(self.job_id, "")

    def cancel(self) -> None:
        with suppress(PredictionError):
            self.world.service.cancel(self.job_id, "")


class Listener:
    """Comes back again and again with the id of the last event it has heard."""

    def __init__(self, client: Client, at: str) -> None:
        self._client, self._at = client, at
        self.heard: list[Id] = []

    def look(self) -> int:
        """What has come since, each event once and in order; returns the status."""
        last = ".".join(map(str, self.heard[-1])) if self.heard else ""
        response: Any = self._client.get(self._at, headers={"last-event-id": last})
        if response.status_code == 200:
            lines = next(iter(response.streaming_content)).decode().split("\n")
            ids = [tuple(map(int, line[4:].split("."))) for line in lines if line.startswith("id: ")]
            response.close()
            self.heard += ids
            assert self.heard == sorted(set(self.heard))
        return int(response.status_code)


MOVES = ("claim", "finish", "fail", "bury", "redrive", "cancel")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.sampled_from(MOVES), st.booleans()), max_size=10))
def test_whatever_becomes_of_a_job_its_streams_lead_to_its_end(
    client: Client, moves: list[tuple[str, bool]]
) -> None:
    """Of both dialects, wherever in its life one looks, and by whatever end."""
    world = World()
    with closing(world), connect.use(world.service):
        life = Life(world, post(client, body(inputs=DIGIT * 5)).json()["id"])
        listeners = [
            Listener(client, f"/api/jobs/{life.job_id}/events"),
            Listener(client, f"/v1/predictions/{life.job_id}/stream"),
        ]
        told = None
        for move, looks in [*moves, ("cancel", True)]:
            getattr(life, move)()
            if not looks:
                continue
            job = world.store.get(life.job_id)
            now = job.state, job.attempts, job.ranges_done
            known = [len(listener.heard) for listener in listeners]
            assert {listener.look() for listener in listeners} <= {200, 204}
            if now != told:
                assert len(listeners[0].heard) > known[0]
            if now != told and job.state.final:  # the other tells of nothing that its client does not know
                assert len(listeners[1].heard) > known[1]
            told = now
        assert world.store.get(life.job_id).state.final
        assert [listener.look() for listener in listeners] == [204, 204]
