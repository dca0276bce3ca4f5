"""``manage.py keys``: API keys are made, listed and revoked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from predict_worker.core.rates import EXAMPLE, parse_duration
from predict_worker.management.subcommands import subcommands

from ...keys.known import TTL_S
from ...keys.models import ApiKey
from ...keys.scopes import Scope

COLUMNS = "{:<12} {:<8} {:<20} {:<20} {:<20} {:<16} {}"
HEAD = COLUMNS.format("ID", "STATE", "SCOPES", "EXPIRES", "LAST USED", "OWNER", "NAME")


class Command(BaseCommand):
    help = "Make, list and revoke API keys."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        command = subcommands(parser)
        create = command("create", "Make a key and print it: it is not shown again.")
        create.add_argument("name", metavar="NAME", help="what, or who, will ask with it")
        create.add_argument("--user", help="name of the user whose jobs its are; default: they are its own")
        create.add_argument(
            "--scope",
            action="append",
            choices=[scope.value for scope in Scope],
            help="several may be given; default: predict and read",
        )
        create.add_argument(
            "--model", action="append", help="a name or pattern; several may be given; default: all"
        )
        create.add_argument("--rate", default="", help=f"{EXAMPLE}; none: no limit; default: RATE_LIMIT")
        create.add_argument("--expires-in", metavar="DURATION", help="such as 12h or 90d; default: never")
        command("list", "All keys, the newest first.")
        revoke = command("revoke", f"Refuse keys from now on, in every process within {TTL_S:g} s.")
        revoke.add_argument("key_ids", nargs="+", metavar="ID")

    def handle(self, *_: Any, command: str, **options: Any) -> None:
        try:
            getattr(self, f"_{command}")(**options)
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error

    def _create(
        self,
        name: str,
        user: str | None,
        scope: Sequence[str] | None,
        model: Sequence[str] | None,
        rate: str,
        expires_in: str | None,
        **options: Any,
    ) -> None:
        fields: dict[str, Any] = {"name": name, "rate_limit": rate, "models": " ".join(model or ())}
        if user is not None:
            fields["user"] = _user(user)
        if scope:
            fields["scopes"] = " ".join(dict.fromkeys(scope))
        if expires_in is not None:
            fields["expires_at"] = _after(expires_in)
        key, text = ApiKey.objects.issue(**fields)
        # Alone on the standard output: KEY=$(manage.py keys create NAME).
        self.stdout.write(json.dumps({**_facts(key), "key": text}) if options["json"] else text)

    def _list(self, **options: Any) -> None:
        keys = list(ApiKey.objects.all())
        if options["json"]:
            self.stdout.write(json.dumps([_facts(key) for key in keys], ensure_ascii=False))
            return
        self.stdout.write(HEAD)
        for key in keys:
            dates = (_short(key.expires_at), _short(key.last_used_at))
            self.stdout.write(COLUMNS.format(key.id, key.state, key.scopes, *dates, key.owner, key.name))

    def _revoke(self, key_ids: Sequence[str], **options: Any) -> None:
        known = set(ApiKey.objects.filter(id__in=key_ids).values_list("id", flat=True))
        revoked = [key_id for key_id in key_ids if key_id in known]
        ApiKey.objects.revoke(*revoked)
        self.stdout.write(json.dumps({"revoked": revoked}) if options["json"] else f"{len(revoked)} revoked")
        if unknown := [key_id for key_id in key_ids if key_id not in known]:
            raise CommandError(f"no key {', '.join(map(repr, unknown))}")


def _user(name: str) -> Any:
    users = get_user_model()
    try:
        return users._default_manager.get_by_natural_key(name)  # type: ignore[attr-defined]
    except users.DoesNotExist:
        raise CommandError(f"--user: no user {name!r}") from None


def _after(duration: str) -> datetime:
    try:
        return timezone.now() + timedelta(seconds=parse_duration(duration))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--expires-in: {error}") from None


def _facts(key: ApiKey) -> dict[str, Any]:
    fields = ("id", "name", "state", "owner", "scopes", "models", "rate_limit")
    moments = ("created_at", "expires_at", "revoked_at", "last_used_at")
    shown = {name: (at := getattr(key, name)) and at.isoformat() for name in moments}
    return {**{name: getattr(key, name) for name in fields}, **shown}


def _short(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
