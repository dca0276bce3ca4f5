"""Delivers what is due: the work of a hooks worker."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..core.errors import EndpointNotFound, PredictionError
from ..core.hooks import JOBS, Attempt, DeliveryState, Due, Endpoint, HookStore, Verdict
from ..core.job import JobState
from . import event
from .endpoints import Endpoints, signing
from .guard import Guard
from .post import PostFailed, Reply, post
from .schedule import GONE, judge
from .signing import headers
from .url import Url, parse_url

log = logging.getLogger(__name__)

Post = Callable[[Url, Mapping[str, str], bytes, Guard, float], Reply]
THREADS = 32
WIDTH = 4
"""Requests to one receiver at once: a slow one leaves the other threads to others."""

_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Manners:
    """How receivers are called. A lease outlives every request: none is sent twice at the same time."""

    guard: Guard
    timeout_s: float
    retries_s: tuple[float, ...]
    public_url: str = ""
    user_agent: str = "predict-worker"

    @property
    def lease_s(self) -> float:
        return self.timeout_s + 10


class Deliverer:
    """One of a process. A wake-up only makes its threads look: it returns at once, and a child that also
    predicts goes on with that. Each delivery happens at least once; a receiver knows one by its id."""

    def __init__(self, store: HookStore, manners: Manners, post: Post = post) -> None:
        self._store, self._manners, self._post = store, manners, post
        self._endpoints = Endpoints(store, manners.guard)
        self._tokens: dict[str, str] = {}  # by bucket
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._stopping = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="deliverer")
        self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)
        self._thread.start()

    def wake(self, token: str) -> None:
        """One for each bucket of the store is enough; others are superfluous, and lapse."""
        with self._changed:
            self._tokens.setdefault(token.split("-", 1)[0], token)
            self._changed.notify_all()

    def stop(self, timeout_s: float) -> None:
        """Claim no more; requests on their way have so long to end, and are made again where they do not."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._busy.total(), timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while (token := self._next_token()) is not None:
            try:
                if self._serve(token):
                    self.wake(token)
            except PredictionError as error:
                log.warning("deliveries: %s", error)
            except Exception:
                # The thread must outlive what it did not foresee: nobody else does its work.
                log.exception("deliveries")

    def _next_token(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or (self._tokens and self._busy.total() < THREADS))
            return None if self._stopping else self._tokens.pop(next(iter(self._tokens)))

    def _serve(self, token: str) -> bool:
        """Begin what is due; whether there may be more."""
        with self._changed:
            busy = dict(self._busy)
        free = THREADS - sum(busy.values())
        claimed = self._store.claim_deliveries(token, free, WIDTH, busy, self._manners.lease_s)
        for due in claimed.deliveries:
            with self._changed:
                self._busy[due.receiver] += 1
            self._pool.submit(self._deliver, due)
        if claimed.more and not claimed.deliveries:
            with self._changed:
                self._changed.wait(_PAUSE_S)
        return claimed.more or bool(claimed.deliveries)

    # ------------------------------------------------------------ one delivery

    def _deliver(self, due: Due) -> None:
        try:
            self.deliver(due)
        except PredictionError as error:
            log.warning("delivery %s is not logged, and will be made again: %s", due.id, error)
        except Exception:
            log.exception("delivery %s", due.id)
        finally:
            with self._changed:
                self._busy[due.receiver] -= 1
                if not self._busy[due.receiver]:
                    del self._busy[due.receiver]
                self._changed.notify_all()

    def deliver(self, due: Due) -> None:
        """One attempt, and what it leads to. Raises StoreUnavailable: then it is made again."""
        endpoint = self._endpoint(due)
        body = self._body(due)
        if endpoint is None or endpoint.disabled:
            why = (
                "the endpoint is removed"
                if endpoint is None
                else f"the endpoint is disabled: {endpoint.disabled}"
            )
            self._store.attempted(due, Attempt(None, why, 0), Verdict(DeliveryState.FAILED), body)
            return
        started, status, retry_after_s, error = time.monotonic(), None, None, ""
        try:
            reply = self._send(due, endpoint, body)
            status, retry_after_s = reply.status, reply.retry_after_s
        except PostFailed as failure:
            error = str(failure)[:300]
        verdict = judge(status, due.number, retry_after_s, self._manners.retries_s)
        if status is not None and verdict.state is not DeliveryState.DELIVERED:
            error = "a redirect, which is not followed" if 300 <= status < 400 else f"status {status}"
        took_ms = int((time.monotonic() - started) * 1000)
        self._store.attempted(due, Attempt(status, error, took_ms), verdict, body)
        if status == GONE and due.endpoint_id != JOBS:
            self._disable(endpoint)

    def _endpoint(self, due: Due) -> Endpoint | None:
        if due.endpoint_id == JOBS:
            return self._endpoints.of_jobs(due.owner)
        return self._store.endpoint(due.owner, due.endpoint_id)

    def _body(self, due: Due) -> bytes:
        job, payloads = due.job, None
        if job is None:
            return due.body or b""
        if job.state is JobState.SUCCEEDED:
            payloads = self._store.outputs(job.id, job.ranges, event.MAX_OUTPUT_BYTES)
        return event.body(due, job, payloads, self._manners.public_url)

    def _send(self, due: Due, endpoint: Endpoint, body: bytes) -> Reply:
        url = parse_url(due.url or endpoint.url)
        signed = headers(due.id, int(time.time()), body, signing(endpoint))
        sent = {"Content-Type": "application/json", "User-Agent": self._manners.user_agent, **signed}
        return self._post(url, sent, body, self._manners.guard, self._manners.timeout_s)

    def _disable(self, endpoint: Endpoint) -> None:
        try:
            self._endpoints.disable(endpoint, "it has answered 410 Gone")
            log.warning("endpoint %s of %r is disabled: 410", endpoint.id, endpoint.owner)
        except EndpointNotFound:
            log.info("endpoint %s was removed meanwhile", endpoint.id)
