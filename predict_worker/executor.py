"""Serves one model for a while: publish a batch, claim the next, run it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from .core.errors import PredictionError, QueueFull, StoreUnavailable
from .core.job import JobError
from .core.ports import Claim, ClaimLimits, Entry, JobStore, Lane, Loss, Outcome, Wakeups
from .core.spec import BatchPolicy
from .core.wake import wake, wake_hooks

log = logging.getLogger(__name__)

_RETRY_S = (0.05, 2.0)
"""First and longest pause while the store does not answer."""


class Model(Protocol):
    """What the executor needs of a model by name; its versions are the registry's business."""

    policy: BatchPolicy

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        """One outcome for each entry, in order; never raises for a bad one."""
        ...


class Executor:
    """One child's loop over batches.

    ``watch`` surrounds each batch: it renews the lease and sets the hard limit. Once ``draining``
    says so, no other batch is claimed. After its last batch a child listens for ``listen_s``: a job
    that comes then needs no message through the broker. ``pause`` sleeps.
    """

    def __init__(
        self,
        store: JobStore,
        wakeups: Wakeups,
        consumer: str,
        watch: Callable[[Lane, Sequence[Entry]], AbstractContextManager[None]],
        slice_s: float = 1.0,
        listen_s: float = 0.1,
        give_up_s: float = 60.0,
        draining: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._wakeups, self._consumer, self._watch = store, wakeups, consumer, watch
        self.slice_s, self._listen_s, self._give_up_s = slice_s, listen_s, give_up_s
        self._draining, self._monotonic, self._pause = draining, monotonic, pause
        self.batches = 0

    def serve(self, name: str, token: str, model: Model, until: float | None = None) -> str | None:
        """Run batches until nothing waits, or until then (a time slice from now): others have their turn.

        Returns the model that this child has been rung for while it listened, which may be the same.
        """
        lane = Lane(name, self._consumer, token)
        limits = ClaimLimits(model.policy.max_rows, model.policy.max_bytes)
        until = self._monotonic() + self.slice_s if until is None else until
        done: list[Outcome] = []
        entry_ms = 0.0
        while True:
            more = self._monotonic() < until and not self._draining()
            claim = self._step(lane, done, limits if more else None, entry_ms, self._listen_s)
            if not claim.entries:
                if claim.wakeup is None or self._draining():
                    return self._listen(lane) if claim.listening else None
                # Work waits, and nobody else can be told of it.
                done, until = [], self._monotonic() + self.slice_s
                continue
            batch, rerun = self._lingered(lane, claim.entries, model.policy)
            done, entry_ms = self._run(lane, batch, model, rerun)
            if rerun:
                self._step(lane, done, None, entry_ms)
                done, entry_ms = self._run(lane, rerun, model)

    def give_way(self, name: str, token: str) -> None:
        """Claim nothing; whoever can serve this model is woken if work waits."""
        self._step(Lane(name, self._consumer, token), (), None)

    def _run(
        self, lane: Lane, entries: Sequence[Entry], model: Model, held: Sequence[Entry] = ()
    ) -> tuple[list[Outcome], float]:
        """The outcomes, and the milliseconds that one entry took; what else is held stays leased."""
        started = self._monotonic()
        with self._watch(lane, (*entries, *held)):
            done = self._outcomes(entries, model)
        self.batches += 1
        return done, (self._monotonic() - started) * 1000 / len(entries)

    def _outcomes(self, entries: Sequence[Entry], model: Model) -> list[Outcome]:
        try:
            return model.run(entries)
        except Exception as error:  # which no model should do: its jobs end all the same, each by itself
            log.exception("a batch of %d entries", len(entries))
            if len(entries) > 1:
                return [outcome for entry in entries for outcome in self._outcomes([entry], model)]
            title, detail = PredictionError.title, f"{type(error).__name__}: {error}"
            return [Outcome(entries[0], error=JobError(PredictionError.code, title, detail))]

    def _lingered(
        self, lane: Lane, entries: tuple[Entry, ...], policy: BatchPolicy
    ) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """A batch that is not full waits for more once, if its model's policy says so.

        The second part is a rerun that has come meanwhile: it runs alone, when the batch is published.
        """
        rows = policy.max_rows - sum(entry.rows for entry in entries)
        size = policy.max_bytes - sum(len(entry.payload or b"") for entry in entries)
        is_rerun = entries[0].attempt > 1
        if policy.linger_ms <= 0 or rows <= 0 or size <= 0 or is_rerun or self._draining():
            return entries, ()
        self._pause(policy.linger_ms / 1000)
        more = self._step(lane, (), ClaimLimits(rows, size, holding=True)).entries
        return (entries, more) if more and more[0].attempt > 1 else (entries + more, ())

    def _step(
        self,
        lane: Lane,
        done: Sequence[Outcome],
        limits: ClaimLimits | None,
        entry_ms: float = 0.0,
        listen_s: float = 0.0,
    ) -> Claim:
        """The claim; its wake-up is sent, but for one that the broker does not take."""
        try:
            claim = self._store.step(lane, done, limits, entry_ms, listen_s)
        except (StoreUnavailable, QueueFull) as error:
            log.warning("store lost at a step of %s, holding %d outcomes: %s", lane.model, len(done), error)
            self._settle(lane, done)
            return Claim()
        sent = wake(self._store, self._wakeups, lane.model, claim.wakeup)
        wake_hooks(self._wakeups, claim.hooks_wakeup)
        return replace(claim, wakeup=None) if sent and claim.wakeup else claim

    def _listen(self, lane: Lane) -> str | None:
        try:
            return self._store.listen(lane, self._listen_s)
        except StoreUnavailable:
            return None  # what it would have been rung for lapses, and is sent as a wake-up

    def _settle(self, lane: Lane, done: Sequence[Outcome]) -> None:
        """Once the store is back: publish what is done, hand back what a lost answer had claimed.

        Publishing twice is harmless (only the first counts). Given up after a minute: then the
        leases lapse and the entries run again.
        """
        pause_s, longest_s = _RETRY_S
        until = self._monotonic() + self._give_up_s
        while self._monotonic() < until:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)
            try:
                claim = self._store.step(lane, done, None)
                self._store.recover(lane.model, lane.consumer, Loss.HANDBACK)
                for token in (claim.wakeup, *self._store.sweep(lane.model).wakeups):
                    wake(self._store, self._wakeups, lane.model, token)
                wake_hooks(self._wakeups, claim.hooks_wakeup)
                return
            except (StoreUnavailable, QueueFull):
                continue
        log.error("store away for %.0f s, dropping %d outcomes of %s", self._give_up_s, len(done), lane.model)
