"""``manage.py jobs``: what there is in the queues, and what can be done about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...connect import service
from ...core.errors import PredictionError
from ...core.job import Job, JobState
from ...service import MAX_PAGE, Page
from ..subcommands import subcommands

COLUMNS = "{:<36} {:<10} {:<20} {:<20} {:>8}  {}"
HEAD = COLUMNS.format("ID", "STATE", "MODEL", "CREATED", "ATTEMPTS", "OWNER")


class Command(BaseCommand):
    help = "List, show and cancel jobs of anybody; list the dead letters and queue them again."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        command = subcommands(parser)
        listed = command("list", "The newest jobs.")
        listed.add_argument("--state", choices=[state.value for state in JobState])
        listed.add_argument("--model")
        listed.add_argument("--owner", help="user:<pk>, or '' for jobs of nobody; default: everybody's")
        dead = command("dead", "Dead letters: jobs that were given up, with what happened to them.")
        dead.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
        for limited in (listed, dead):
            limited.add_argument("--limit", type=_positive, default=20, help="default: 20")
        command("show", "One job.").add_argument("job_id", metavar="ID")
        command("cancel", "Cancel jobs.").add_argument("job_ids", nargs="+", metavar="ID")
        redrive = command("redrive", "Queue dead letters again.")
        redrive.add_argument("job_ids", nargs="*", metavar="ID")
        redrive.add_argument("--model", help="all of this model")

    def handle(self, *_: Any, command: str, **options: Any) -> None:
        try:
            getattr(self, f"_{command}")(**options)
        except PredictionError as error:
            raise CommandError(f"{error.title}: {error}") from error

    def _list(self, owner: str | None, state: str | None, model: str | None, **options: Any) -> None:
        wanted = None if state is None else JobState(state)

        def page(limit: int, cursor: str) -> Page:
            return service().backlog.jobs(owner, limit, cursor, wanted, model)

        self._print(_newest(page, options["limit"]), options["json"])

    def _dead(self, models: Sequence[str], **options: Any) -> None:
        limit, letters = options["limit"], service().backlog.dead
        jobs = [
            job
            for model in models or [known.entry.name for known in service().models()]
            for job in _newest(partial(letters, model, None), limit)
        ]
        self._print(jobs, options["json"])

    def _show(self, job_id: str, **options: Any) -> None:
        job = service().backlog.job(job_id, None)
        if options["json"]:
            self.stdout.write(_json(job))
            return
        for name, value in _facts(job).items():
            if name != "error" and value not in (None, "", {}):
                self.stdout.write(f"{name:<16} {value}")
        self._write_error(job)

    def _cancel(self, job_ids: Sequence[str], **options: Any) -> None:
        def cancel(job_id: str) -> None:
            service().cancel(job_id, service().backlog.job(job_id, None).owner)

        self._do(cancel, job_ids, "cancelled", options["json"])

    def _redrive(self, job_ids: Sequence[str], model: str | None, **options: Any) -> None:
        if bool(job_ids) == (model is not None):
            raise CommandError("redrive: expected ids or --model, not both")
        if model is None:
            self._do(
                lambda job_id: service().backlog.redrive(job_id, None), job_ids, "redriven", options["json"]
            )
            return
        part = service().backlog.redrive_all(model, None)
        done, gone = list(part.job_ids), list(part.gone)
        while part.cursor:
            part = service().backlog.redrive_all(model, None, part.cursor)
            done += part.job_ids
            gone += part.gone
        self._tell(done, "redriven", options["json"])
        if gone:
            raise CommandError(f"{len(gone)} not redriven, their inputs are gone: {', '.join(gone)}")

    def _do(self, act: Callable[[str], object], job_ids: Sequence[str], done: str, as_json: bool) -> None:
        """For each by itself; what could not be done is told at the end."""
        succeeded, failed = [], []
        for job_id in job_ids:
            try:
                act(job_id)
                succeeded.append(job_id)
            except PredictionError as error:
                failed.append(str(error))
        self._tell(succeeded, done, as_json)
        if failed:
            raise CommandError("\n".join(failed))

    def _tell(self, job_ids: Sequence[str], done: str, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({done: job_ids}))
            return
        for job_id in job_ids:
            self.stdout.write(f"{job_id} {done}")
        self.stdout.write(f"{len(job_ids)} {done}")

    def _print(self, jobs: Sequence[Job], as_json: bool) -> None:
        if as_json:
            self.stdout.write(_json(jobs))
            return
        self.stdout.write(HEAD)
        for job in jobs:
            created = job.created_at.strftime("%Y-%m-%d %H:%M:%S")
            self.stdout.write(
                COLUMNS.format(job.id, job.state, job.model, created, job.attempts, job.owner).rstrip()
            )
            self._write_error(job)

    def _write_error(self, job: Job) -> None:
        if job.error is None:
            return
        self.stdout.write(f"    {job.error.code}: {job.error.detail}")
        for attempt in job.error.attempts:
            what = attempt.get("loss") or f"{attempt.get('code')}: {attempt.get('detail')}"
            alone = " (alone)" if attempt.get("alone") else ""
            self.stdout.write(f"    attempt {attempt['attempt']} at {attempt['at']}: {what}{alone}")


def _newest(page: Callable[[int, str], Page], limit: int) -> list[Job]:
    return [job for _, job in zip(range(limit), _all(page, min(limit, MAX_PAGE)), strict=False)]


def _all(page: Callable[[int, str], Page], size: int) -> Iterator[Job]:
    found = page(size, "")
    yield from found.jobs
    while found.cursor:
        found = page(size, found.cursor)
        yield from found.jobs


def _facts(job: Job) -> dict[str, Any]:
    facts = asdict(job)
    return {**facts, **{f"timings.{name}": value for name, value in facts.pop("timings").items()}}


def _json(shown: Job | Sequence[Job]) -> str:
    whole = asdict(shown) if isinstance(shown, Job) else [asdict(job) for job in shown]
    return json.dumps(whole, default=lambda moment: moment.isoformat(), ensure_ascii=False)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
