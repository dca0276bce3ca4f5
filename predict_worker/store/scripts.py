"""Loads the Lua scripts (one transition a file) and calls them by their SHA-1."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeVar

import redis

from ..core.errors import QueueFull, StoreUnavailable
from ..core.inbox import apart
from .config import StoreConfig
from .keys import Keys

Argument = str | bytes | int | float
Answer = TypeVar("Answer")

_SHARED = ("common", "lose")
_DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_REFUSED = re.compile(r"\b(READONLY|NOREPLICAS|MISCONF|BUSY|MASTERDOWN)\b")
"""Answers of a Redis that fails over, cannot write its file, or runs another's script: they pass."""


class Scripts:
    """The scripts of one key prefix, on one client.

    Redis forgets scripts at a restart or SCRIPT FLUSH; a call then sends the text again.
    """

    def __init__(self, client: redis.Redis, keys: Keys, config: StoreConfig) -> None:
        # Any: redis-py types its answers as all that any of its modes may give.
        self._client: Any = client
        self._keys = keys
        self._shared = "\n\n".join((keys.lua_prelude(), _settings(config), *map(_text, _SHARED)))
        self._known: dict[str, tuple[str, str]] = {}

    def call(
        self,
        name: str,
        bucket: int,
        arguments: Sequence[Argument],
        *,
        after: Sequence[Sequence[Argument]] = (),
        repeatable: bool = False,
    ) -> tuple[Any, list[Any]]:
        """Run a script in one round trip with plain commands after it.

        Returns its answer and theirs. ``repeatable`` says that running it twice does no harm: then a
        broken connection (a stale one after a restart of Redis) is tried again.
        Raises StoreUnavailable, and QueueFull where Redis is out of memory.
        """
        text, sha = self._script(name)
        call = (self._keys.base(bucket), arguments)

        def run() -> list[Any]:
            if not after:
                return [self._run_one(text, sha, *call)]
            answers = self._run_many(text, sha, [call], (), after)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

        answer, *rest = guarded(run, repeatable)
        return answer, rest

    def call_many(
        self,
        name: str,
        calls: Sequence[tuple[int, Sequence[Argument]]],
        *,
        before: Sequence[Sequence[Argument]] = (),
        repeatable: bool = False,
    ) -> list[Any]:
        """Run a script with each bucket and arguments, in one round trip with plain commands before.

        A call that fails leaves its error in the place of its answer. Raises StoreUnavailable.
        """
        text, sha = self._script(name)
        based = [(self._keys.base(bucket), arguments) for bucket, arguments in calls]

        def run() -> list[Any]:
            if len(based) == 1 and not before:
                answers = [self._run_or_fail(text, sha, *based[0])]
            else:
                answers = self._run_many(text, sha, based, before, ())
            return [told_or_answer(answer) for answer in answers]

        return guarded(run, repeatable)

    def _run_one(self, text: str, sha: str, base: str, arguments: Sequence[Argument]) -> Any:
        try:
            return self._client.execute_command("EVALSHA", sha, 1, base, *arguments)
        except redis.exceptions.NoScriptError:
            return self._client.execute_command("EVAL", text, 1, base, *arguments)

    def _run_or_fail(self, text: str, sha: str, base: str, arguments: Sequence[Argument]) -> Any:
        """The answer, or the error that it is."""
        try:
            return self._run_one(text, sha, base, arguments)
        except redis.exceptions.ResponseError as error:
            return error

    def _run_many(
        self,
        text: str,
        sha: str,
        calls: Sequence[tuple[str, Sequence[Argument]]],
        before: Sequence[Sequence[Argument]],
        after: Sequence[Sequence[Argument]],
    ) -> list[Any]:
        """The answers of the calls and of what comes after them, errors among them."""

        def send(*how: str) -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                for command in before:
                    pipe.execute_command(*command)
                for base, arguments in calls:
                    pipe.execute_command(*how, 1, base, *arguments)
                for command in after:
                    pipe.execute_command(*command)
                answers: list[Any] = pipe.execute(raise_on_error=False)
                return answers[len(before) :]

        answers = send("EVALSHA", sha)
        if any(isinstance(answer, redis.exceptions.NoScriptError) for answer in answers):
            answers = send("EVAL", text)
        return answers

    def _script(self, name: str) -> tuple[str, str]:
        if name not in self._known:
            text = _with_definitions(self._shared, _text(name))
            self._known[name] = text, sha1(text.encode(), usedforsecurity=False).hexdigest()
        return self._known[name]


def _with_definitions(shared: str, script: str) -> str:
    """The script below those shared paragraphs that it needs, directly or not.

    Redis builds every function anew at each call: what is not used would cost some 0.2 µs each.
    """
    kept = script
    for paragraph in reversed(shared.split("\n\n")):
        names = _DEFINED.findall(paragraph)
        if any(re.search(rf"\b{name}\b", kept) for name in names):
            kept = f"{paragraph}\n\n{kept}"
    return kept


def _settings(config: StoreConfig) -> str:
    """What the scripts need of the configuration, in their units (TTLs in ms, the rest in µs)."""
    values = {
        "result_ttl_ms": int(config.result_ttl_s * 1e3),
        "delivered_ttl_ms": int(config.delivered_ttl_s * 1e3),
        "record_ttl_ms": int(config.record_ttl_s * 1e3),
        "queue_max_jobs": config.queue_max_jobs,
        "max_strikes": config.max_strikes,
        "max_node_losses": config.max_node_losses,
        "lease_us": int(config.lease_s * 1e6),
        "lease_ms": int(config.lease_s * 1e3),
        "sent_retry_us": int(config.sent_retry_s * 1e6),
        "sent_retry_max_us": int(config.sent_retry_max_s * 1e6),
        "spread_us": int(config.spread_ms * 1e3),
        "max_memory_share": config.max_memory_share,
        "max_deliveries": config.max_deliveries,
        "deliveries_ttl_ms": int(config.deliveries_ttl_s * 1e3),
    }
    return "local settings = {" + ", ".join(f"{name} = {value}" for name, value in values.items()) + "}"


def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def guarded(run: Callable[[], Answer], repeatable: bool = False) -> Answer:
    """Run a call of Redis, its errors told in the words of this service."""
    return apart(partial(_guarded, run, repeatable))


def _guarded(run: Callable[[], Answer], repeatable: bool) -> Answer:
    try:
        try:
            return run()
        except redis.exceptions.TimeoutError:
            raise
        except redis.exceptions.ConnectionError:
            if not repeatable:
                raise
            return run()
    except redis.exceptions.RedisError as error:
        raise told(error) from error


def told_or_answer(answer: Any) -> Any:
    """An answer as it is, an error in its place in the words of this service."""
    return told(answer) if isinstance(answer, Exception) else answer


def told(error: Exception) -> Exception:
    """An error of Redis in the words of this service; what is a defect stays as it is."""
    if isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM" in str(error):
        return QueueFull("Redis is out of memory", retry_after_s=5.0)
    if isinstance(error, redis.exceptions.ReadOnlyError) or _REFUSED.search(str(error)):
        return StoreUnavailable(f"Redis refused: {error}")
    if isinstance(error, (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)):
        return StoreUnavailable(f"Redis did not answer: {error}")
    return error
