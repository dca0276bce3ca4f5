"""``manage.py hooks``: webhooks' endpoints, and what was delivered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...connect import service
from ...core.errors import EndpointNotFound, PredictionError
from ...core.hooks import EVENTS, JOBS, Delivery, Endpoint
from ...service import MAX_PAGE
from ...webhooks.endpoints import COMPLETED, OVERLAP_S
from ..subcommands import subcommands

COLUMNS = "{:<38} {:<10} {:<14} {:<20} {:>8}  {}"
HEAD = COLUMNS.format("ID", "STATE", "TYPE", "CREATED", "ATTEMPTS", "TO")


class Command(BaseCommand):
    help = "List, show and replay deliveries of webhooks of anybody; add, rotate and remove endpoints."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        command = subcommands(parser)
        listed = command("list", "The newest deliveries.")
        listed.add_argument("--job", metavar="ID", help="of this job")
        listed.add_argument("--owner", help="user:<pk>, or '' for those of nobody; default: everybody's")
        listed.add_argument("--limit", type=int, choices=range(1, MAX_PAGE + 1), default=20, metavar="N")
        command("show", "One delivery with its attempts.").add_argument("delivery_id", metavar="ID")
        replay = command("replay", "Deliver again, now.")
        replay.add_argument("delivery_ids", nargs="+", metavar="ID")
        endpoint = command("endpoint", "Receivers of all jobs of an owner.", group=True)
        action = subcommands(endpoint, "action")
        action("list", "All endpoints.").add_argument("--owner")
        add = action("add", "Register a URL; prints its secret.")
        add.add_argument("url", metavar="URL")
        add.add_argument("--owner", default="", help="user:<pk>; default: jobs of nobody")
        add.add_argument("--event", action="append", choices=[*EVENTS, COMPLETED], help="default: completed")
        for name, what in (
            ("show", "An endpoint with its secret."),
            ("rotate", "A new secret; those before sign for a while."),
            ("enable", "Deliver again to one that was disabled by 410."),
            ("remove", "Forget an endpoint."),
        ):
            one = action(name, what)
            one.add_argument("endpoint_id", metavar="ID", help=f"{JOBS} signs what goes to URLs of jobs")
            one.add_argument("--owner", default="", help=f"whose, of the endpoint {JOBS}")
            if name == "rotate":
                one.add_argument("--overlap-s", type=float, default=OVERLAP_S, metavar="SECONDS")

    def handle(self, *_: Any, command: str, **options: Any) -> None:
        name = f"_endpoint_{options['action']}" if command == "endpoint" else f"_{command}"
        try:
            getattr(self, name)(**options)
        except PredictionError as error:
            raise CommandError(f"{error.title}: {error}") from error

    # ------------------------------------------------------------ deliveries

    def _list(self, owner: str | None, job: str | None, limit: int, **options: Any) -> None:
        page = service().webhooks.deliveries(owner, limit, "", job)
        if options["json"]:
            return self._json(page.deliveries)
        self.stdout.write(HEAD)
        for delivery in page.deliveries:
            self.stdout.write(_line(delivery))
        return None

    def _show(self, delivery_id: str, **options: Any) -> None:
        delivery = service().webhooks.delivery(delivery_id, None)
        if options["json"]:
            return self._json(delivery)
        self.stdout.write(HEAD)
        self.stdout.write(_line(delivery))
        for attempt in delivery.attempts:
            came = attempt.error or f"status {attempt.status}"
            self.stdout.write(f"    {attempt.at}: {came} after {attempt.took_ms} ms")
        if delivery.due_at:
            self.stdout.write(f"    next attempt at {delivery.due_at}")
        return None

    def _replay(self, delivery_ids: Sequence[str], **options: Any) -> None:
        self._tell([service().webhooks.replay(i, None).id for i in delivery_ids], "replayed", options)

    # ------------------------------------------------------------ endpoints

    def _endpoint_list(self, owner: str | None, **options: Any) -> None:
        found = service().webhooks.endpoints.all(owner)
        if options["json"]:
            return self._json([_open(endpoint) for endpoint in found])
        for endpoint in found:
            state = f"disabled: {endpoint.disabled}" if endpoint.disabled else " ".join(endpoint.events)
            self.stdout.write(f"{endpoint.id}  {endpoint.owner or '-':<10} {endpoint.url}  {state}")
        return None

    def _endpoint_add(self, url: str, owner: str, event: list[str] | None, **options: Any) -> None:
        self._print(service().webhooks.endpoints.add(owner, url, event), options)

    def _endpoint_show(self, endpoint_id: str, owner: str, **options: Any) -> None:
        endpoints = service().webhooks.endpoints
        jobs = endpoint_id == JOBS
        self._print(endpoints.of_jobs(owner) if jobs else endpoints.find(endpoint_id, None), options)

    def _endpoint_rotate(self, endpoint_id: str, owner: str, overlap_s: float, **options: Any) -> None:
        endpoints = service().webhooks.endpoints
        whose = endpoints.of_jobs(owner).owner if endpoint_id == JOBS else None
        self._print(endpoints.rotate(endpoint_id, whose, overlap_s), options)

    def _endpoint_enable(self, endpoint_id: str, **options: Any) -> None:
        self._tell([service().webhooks.endpoints.enable(endpoint_id, None).id], "enabled", options)

    def _endpoint_remove(self, endpoint_id: str, **options: Any) -> None:
        if endpoint_id == JOBS:
            raise EndpointNotFound(endpoint_id)
        service().webhooks.endpoints.remove(endpoint_id, None)
        self._tell([endpoint_id], "removed", options)

    # ------------------------------------------------------------ output

    def _print(self, endpoint: Endpoint, options: dict[str, Any]) -> None:
        if options["json"]:
            return self._json({**_open(endpoint), "secret": endpoint.secrets[0].text})
        self.stdout.write(f"{endpoint.id}  {endpoint.url}\n{endpoint.secrets[0].text}")
        return None

    def _tell(self, ids: Iterable[str], done: str, options: dict[str, Any]) -> None:
        if options["json"]:
            return self._json({done: list(ids)})
        for each in ids:
            self.stdout.write(f"{each} {done}")
        return None

    def _json(self, value: Any) -> None:
        if isinstance(value, Delivery):
            value = asdict(value)
        elif isinstance(value, tuple):
            value = [asdict(each) for each in value]
        self.stdout.write(json.dumps(value, default=lambda moment: moment.isoformat(), ensure_ascii=False))


def _open(endpoint: Endpoint) -> dict[str, Any]:
    """Without the secrets."""
    return {name: value for name, value in asdict(endpoint).items() if name != "secrets"}


def _line(delivery: Delivery) -> str:
    created, to = delivery.created_at.strftime("%Y-%m-%d %H:%M:%S"), delivery.url or delivery.endpoint_id
    told = (delivery.id, delivery.state, f"job.{delivery.event}", created, len(delivery.attempts), to)
    return COLUMNS.format(*told)
