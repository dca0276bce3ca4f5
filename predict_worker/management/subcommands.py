"""What the commands of ``manage.py`` that have commands of their own share."""

from __future__ import annotations

from typing import Protocol

from django.core.management.base import CommandParser


class Subcommand(Protocol):
    def __call__(self, name: str, told: str, *, group: bool = False) -> CommandParser:
        """``group``: it has commands of its own. Any other takes ``--json``."""
        ...


def subcommands(parser: CommandParser, dest: str = "command") -> Subcommand:
    """What adds commands to this one; ``dest`` is the option that tells which was given."""
    commands = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper())

    def command(name: str, told: str, *, group: bool = False) -> CommandParser:
        added: CommandParser = commands.add_parser(name, help=told, description=told)
        if not group:
            added.add_argument("--json", action="store_true", help="print JSON")
        return added

    return command
