"""PredictionService: resolve, check, store, wake, wait."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace

from ..catalogue import Catalogue, Resolved
from ..core.errors import JobNotFound, JobUnsuccessful, ResultGone, ResultNotReady, StoreUnavailable
from ..core.job import JOB_ID, Job, JobState
from ..core.ports import Accepted, Finished, Heartbeat, JobStore, Wakeups
from ..core.rates import Rate, Taken
from ..core.spec import ModelRef
from ..core.wake import wake
from ..intake import Intake
from ..waiting import Place, Waiters
from ..watching import Watch, Watchers
from .admission import new_id, new_job, row_ranges, share_of
from .backlog import Backlog
from .endings import ended
from .estimate import Estimate
from .overview import ModelView, Overview
from .queues import Queues
from .request import Answer, Limits, PredictRequest
from .webhooks import Webhooks

log = logging.getLogger(__name__)


class PredictionService:
    """Collaborators are ports, so it runs on Redis or in memory. Safe for threads.

    A job of another owner is as unknown as one that does not exist.
    """

    def __init__(
        self,
        store: JobStore,
        catalogue: Catalogue,
        wakeups: Wakeups,
        waiters: Waiters,
        limits: Limits,
    ) -> None:
        self._store, self._catalogue, self._wakeups, self._waiters = store, catalogue, wakeups, waiters
        self._limits = limits
        self._overview, self._estimate = Overview(catalogue), Estimate(store)
        self.backlog = Backlog(store, catalogue, wakeups)
        self.queues = Queues(store, catalogue, wakeups)
        self.webhooks = Webhooks(store, wakeups, limits.webhook_guard)
        self.watchers = Watchers(store, limits.max_streams)
        self._intake = Intake(store, self._stored)

    # ------------------------------------------------------------ jobs

    def submit(self, request: PredictRequest, wait_s: float = 0.0) -> Answer:
        """Accept a prediction; with ``wait_s`` hold the answer until the job is final or time is up.

        The store is asked once. Where no waiting place is free the answer comes at once.
        Raises InvalidRequest, PayloadTooLarge, ModelNotFound, QueueFull, IdempotencyConflict,
        StoreUnavailable.
        """
        job_id = new_id(request, self._limits.buckets)
        resolved = self._catalogue.resolve(request.ref, share_of(job_id))
        ranges = row_ranges(request, resolved.spec, self._limits.max_input_bytes)
        hooks = self.webhooks.subscriptions.hooks(request.owner, request.webhook, request.webhook_events)
        place = self._waiters.place() if wait_s > 0 else None
        if place is None:
            new = new_job(job_id, request, resolved, ranges, hooks)
            return self._accepted(self._intake.submit(new))
        with place:
            new = new_job(job_id, request, resolved, ranges, hooks, place.reply_to)
            place.expect(new.id)
            wait_s = min(wait_s, self._limits.max_wait_s)
            accepted, finished = self._intake.submit_and_wait(new, place, wait_s)
            return self._awaited(place, accepted, finished, wait_s)

    def _stored(self, accepted: Accepted) -> None:
        job = accepted.job
        log.debug("job %s accepted for %s, request %s", job.id, job.model, job.request_id)
        # The job is stored: that the broker is away makes it later, never lost.
        wake(self._store, self._wakeups, job.model, accepted.wakeup)

    def _accepted(self, accepted: Accepted) -> Answer:
        """The answer without a wait: an earlier job under the same key may be final already."""
        job, payloads = accepted.job, None
        if job.state.final:
            job, payloads = self._store.result(job.id)
        return Answer(job, payloads, accepted.replayed)

    def _awaited(self, place: Place, accepted: Accepted, finished: Finished | None, wait_s: float) -> Answer:
        job = accepted.job
        try:
            if accepted.replayed:
                place.expect(job.id)
                job = self._store.watch(job.id, place.reply_to)
                answer = self._wait(place, job, wait_s)
            else:
                answer = self._ended(job, finished, wait_s)
        except StoreUnavailable:
            answer = Answer(job, waited_s=wait_s)  # it is accepted all the same
        return replace(answer, replayed=True) if accepted.replayed else answer

    def _wait(self, place: Place, job: Job, wait_s: float) -> Answer:
        """Raises StoreUnavailable, JobNotFound if the job is deleted meanwhile."""
        return self._ended(job, None if job.state.final else place.wait(wait_s), wait_s)

    def _ended(self, job: Job, finished: Finished | None, wait_s: float) -> Answer:
        """As the end says, or else the store. Raises StoreUnavailable, JobNotFound."""
        if finished and finished.end and finished.payload is not None:
            self._waiters.delivered(job.id)
            job = ended(job, finished.end, self._limits.delivered_ttl_s)
            return Answer(job, (finished.payload,), waited_s=wait_s)
        # Failed, larger than a message holds, or perhaps final without a message.
        job, payloads = self._store.result(job.id)
        if payloads is not None:
            self._waiters.delivered(job.id)
        return Answer(job, payloads, waited_s=wait_s)

    def get(self, job_id: str, owner: str, wait_s: float = 0.0) -> Answer:
        """The job, with its outputs if it succeeded; with ``wait_s`` held until it is final or time is up.

        Raises JobNotFound, StoreUnavailable.
        """
        job, payloads = self._owned(job_id, owner)
        place = None if job.state.final or wait_s <= 0 else self._waiters.place()
        if place is None:
            return Answer(job, payloads)
        with place:
            place.expect(job_id)
            job = self._store.watch(job_id, place.reply_to)
            return self._wait(place, job, min(wait_s, self._limits.max_wait_s))

    def watch(self, job_id: str, owner: str) -> Watch:
        """The job as it goes on; one that is final takes no place.

        Raises JobNotFound, TooManyStreams, StoreUnavailable.
        """
        job = self.backlog.job(job_id, owner)
        return Watch(job) if job.state.final else self.watchers.watch(job_id)

    def result(self, job_id: str, owner: str) -> Answer:
        """A succeeded job with its outputs.

        Raises JobNotFound, ResultNotReady, JobUnsuccessful, ResultGone.
        """
        job, payloads = self._owned(job_id, owner)
        if not job.state.final:
            raise ResultNotReady(f"job {job_id} is {job.state}", self.retry_after_s(job))
        if job.state is not JobState.SUCCEEDED:
            error = asdict(job.error) if job.error else None
            raise JobUnsuccessful(f"job {job_id} is {job.state}", job.state.value, error)
        if payloads is None:
            raise ResultGone(f"the outputs of job {job_id} have expired")
        return Answer(job, payloads)

    def cancel(self, job_id: str, owner: str) -> Job:
        """Raises JobNotFound, JobConflict."""
        self._owned_job(job_id, owner)
        return self._store.cancel(job_id)

    def delete(self, job_id: str, owner: str) -> None:
        """Raises JobNotFound."""
        self._owned_job(job_id, owner)
        self._store.delete(job_id)

    def _owned(self, job_id: str, owner: str) -> tuple[Job, tuple[bytes, ...] | None]:
        if not JOB_ID.match(job_id):
            raise JobNotFound(job_id)
        job, payloads = self._store.result(job_id)
        if job.owner != owner:
            raise JobNotFound(job_id)
        return job, payloads

    def _owned_job(self, job_id: str, owner: str) -> None:
        if not JOB_ID.match(job_id) or self._store.get(job_id).owner != owner:
            raise JobNotFound(job_id)

    def take(self, caller: str, rates: Sequence[Rate], model: str) -> Taken:
        """Count a request against those of a caller's rates that concern the model.

        Raises StoreUnavailable, QueueFull.
        """
        concerned = [rate for rate in rates if rate.concerns(model)]
        return self._store.take(caller, concerned, model) if concerned else Taken(True, ())

    # ------------------------------------------------------------ models, workers, health

    def models(self) -> tuple[ModelView, ...]:
        return self._overview.models()

    def model(self, name: str) -> ModelView:
        """Raises ModelNotFound."""
        return self._overview.model(name)

    def resolve(self, ref: ModelRef) -> Resolved:
        """What such a reference means now; a canary's part of the traffic aside. Raises ModelNotFound."""
        return self._catalogue.resolve(ref)

    def move_label(self, name: str, label: str, version: int) -> ModelView:
        """Raises InvalidRequest, ModelNotFound, VersionNotReady, StoreUnavailable."""
        return self._overview.move_label(name, label, version)

    def clear_label(self, name: str, label: str) -> ModelView:
        """Raises ModelNotFound, StoreUnavailable."""
        return self._overview.clear_label(name, label)

    def workers(self) -> tuple[Heartbeat, ...]:
        return self._overview.workers()

    def ping(self) -> None:
        """Raises StoreUnavailable."""
        self._store.ping()

    def retry_after_s(self, job: Job) -> float:
        """When it is worth looking again, at least a second from now."""
        return self._estimate.retry_after_s(job)
