"""The jobs there are, page by page, and the way back for those that were given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..catalogue import Catalogue
from ..core.errors import InputsGone, JobConflict, JobNotFound, QueueFull
from ..core.job import JOB_ID, Job, JobState
from ..core.ports import JobStore, Listing, Wakeups
from ..core.wake import wake

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, without their outputs. ``cursor`` leads to the next page; empty on the last."""

    jobs: tuple[Job, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Redriven:
    """Ids of dead letters: those that are queued again, and those whose inputs are gone. ``cursor`` leads to
    those that have not been looked at; empty if there are none."""

    job_ids: tuple[str, ...]
    gone: tuple[str, ...] = ()
    cursor: str = ""


class Backlog:
    """For every ``owner``: his jobs alone; None stands for an operator, who may see everybody's."""

    def __init__(self, store: JobStore, catalogue: Catalogue, wakeups: Wakeups) -> None:
        self._store, self._catalogue, self._wakeups = store, catalogue, wakeups

    def jobs(
        self,
        owner: str | None,
        limit: int = 100,
        cursor: str = "",
        state: JobState | None = None,
        model: str | None = None,
    ) -> Page:
        """By their submit. A page may hold fewer than ``limit`` though others follow.

        Raises InvalidRequest for a cursor that no page has given, StoreUnavailable.
        """
        return self._page(self._store.jobs(owner, limit, cursor, state, model))

    def job(self, job_id: str, owner: str | None) -> Job:
        """Raises JobNotFound, StoreUnavailable."""
        if not JOB_ID.match(job_id):
            raise JobNotFound(job_id)
        job = self._store.get(job_id)
        if owner not in (None, job.owner):
            raise JobNotFound(job_id)
        return job

    def dead(self, model: str, owner: str | None, limit: int = 100, cursor: str = "") -> Page:
        """The dead letters of a model, by their death. Raises as :meth:`jobs` does, and ModelNotFound."""
        page = self._page(self._store.dead(model, owner, limit, cursor))
        if not page.jobs:
            self._catalogue.entry(model)
        return page

    def redrive(self, job_id: str, owner: str | None) -> Job:
        """Queue a dead letter again.

        Raises JobNotFound, JobConflict where it is none, InputsGone, ModelNotFound, QueueFull,
        StoreUnavailable.
        """
        model = self.job(job_id, owner).model
        return self._redrive(job_id, model, self._catalogue.entry(model).queue_max_jobs)

    def redrive_all(self, model: str, owner: str | None, cursor: str = "") -> Redriven:
        """Queue the dead letters of a model again, a page at most.

        Raises as :meth:`redrive` does; QueueFull when there is no more room: what is queued by then stays.
        """
        bound = self._catalogue.entry(model).queue_max_jobs
        listing = self._store.dead(model, owner, MAX_PAGE, cursor)
        redriven, gone = [], []
        for job_id in listing.job_ids:
            try:
                self._redrive(job_id, model, bound)
                redriven.append(job_id)
            except InputsGone:
                gone.append(job_id)
            except (JobConflict, JobNotFound):
                continue  # somebody else was faster
            except QueueFull as full:
                detail = f"{full.detail}; {len(redriven)} of {len(listing.job_ids)} jobs are redriven"
                raise QueueFull(detail, full.retry_after_s) from None
        return Redriven(tuple(redriven), tuple(gone), listing.cursor)

    def _redrive(self, job_id: str, model: str, bound: int) -> Job:
        accepted = self._store.redrive(job_id, bound)
        wake(self._store, self._wakeups, model, accepted.wakeup)
        return accepted.job

    def _page(self, listing: Listing) -> Page:
        jobs: Sequence[Job | None] = self._store.get_many(listing.job_ids)
        return Page(tuple(job for job in jobs if job is not None), listing.cursor)
