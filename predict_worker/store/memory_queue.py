"""The queue of one model in memory: waiting and claimed entries, suspects, wake-ups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from ..core.job import Priority
from ..core.ports import Mode
from .config import StoreConfig
from .memory_state import QueuedEntry

URGENT_FIRST = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


@dataclass(slots=True)
class Slot:
    """A wake-up: ``interval`` microseconds after which it is sent again, 0 once it is answered."""

    due: int
    interval: int = 0


@dataclass(slots=True)
class ModelQueue:
    """Moments in Unix microseconds. A slot's name is its token, or ``@consumer`` while one runs on it."""

    config: StoreConfig
    waiting: dict[Priority, dict[str, QueuedEntry]] = field(
        default_factory=lambda: {priority: {} for priority in URGENT_FIRST}
    )
    claimed: dict[str, QueuedEntry] = field(default_factory=dict)
    suspects: dict[str, QueuedEntry] = field(default_factory=dict)
    retries: dict[str, QueuedEntry] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)  # -> moment of death
    submitted: int = 0
    gone: int = 0  # entries that no longer wait for their first claim
    turn: int = 0
    entry_ms: float = 0.0
    mode: Mode = Mode.SERVING

    def waits(self, now: int, least: Priority = URGENT_FIRST[-1]) -> int:
        """Entries that may be claimed now, and are at least so urgent."""
        urgent = URGENT_FIRST[: URGENT_FIRST.index(least) + 1]
        return len(self.suspects) + len(self.due(now)) + sum(len(self.waiting[p]) for p in urgent)

    @property
    def unclaimed(self) -> int:
        return len(self.suspects) + len(self.retries) + sum(map(len, self.waiting.values()))

    @property
    def entries(self) -> int:
        return self.unclaimed + len(self.claimed)

    def due(self, now: int) -> list[QueuedEntry]:
        """Retries whose time has come, in that order."""
        ready = [entry for entry in self.retries.values() if entry.retry_at <= now]
        return sorted(ready, key=lambda entry: entry.retry_at)

    # ------------------------------------------------------------ entries

    def add(self, entry: QueuedEntry) -> None:
        self.waiting[entry.priority][entry.id] = entry
        self.submitted += 1

    def claim(self, entry: QueuedEntry, consumer: str, until: int) -> None:
        self.remove(entry)
        self.claimed[entry.id] = entry
        entry.consumer, entry.leased_until = consumer, until

    def suspect(self, entry: QueuedEntry, now: int) -> None:
        """The entry waits for a rerun, alone; it has no lease meanwhile."""
        self.remove(entry)
        self.suspects[entry.id] = entry
        entry.waits_since = now

    def retry(self, entry: QueuedEntry, at: int, postponed: bool) -> None:
        self.remove(entry)
        self.retries[entry.id] = entry
        entry.waits_since = entry.retry_at = at
        entry.retries += not postponed
        entry.postponed += postponed

    def remove(self, entry: QueuedEntry) -> bool:
        """Returns whether the entry was still pending: claimed by anyone, or waiting for a rerun."""
        if self.waiting[entry.priority].pop(entry.id, None):
            self.gone += 1
            return False
        return any(held.pop(entry.id, None) for held in (self.claimed, self.suspects, self.retries))

    def next_waiting(self) -> Iterator[QueuedEntry]:
        """Entries in the order of their claims; the caller removes each before it asks for the next.

        Mostly the urgent first; the others lead every fourth and sixteenth time, so none starves.
        """
        turn, order = self.turn, URGENT_FIRST
        self.turn += 1
        if turn % 16 == 15:
            order = URGENT_FIRST[::-1]
        elif turn % 4 == 3:
            order = (Priority.NORMAL, Priority.HIGH, Priority.LOW)
        for priority in order:
            while self.waiting[priority]:
                yield next(iter(self.waiting[priority].values()))

    def next_retry(self, now: int) -> Iterator[QueuedEntry]:
        """Retries whose time has come; the caller removes each before it asks for the next."""
        while due := self.due(now):
            yield due[0]

    def held_by(self, lost: str) -> dict[str, list[QueuedEntry]]:
        """Claimed entries by consumer; ``lost`` is a consumer, or a node's prefix ``"<node>:"``."""
        held: dict[str, list[QueuedEntry]] = {}
        for entry in self.claimed.values():
            if entry.consumer and matches(entry.consumer, lost):
                held.setdefault(entry.consumer, []).append(entry)
        return {consumer: sorted(held[consumer], key=_by_urgency) for consumer in sorted(held)}

    def measured(self, entry_ms: float) -> None:
        if entry_ms > 0:
            self.entry_ms = 0.8 * self.entry_ms + 0.2 * entry_ms if self.entry_ms else entry_ms

    def work_s(self, entries: int, ready_children: int) -> float:
        """How long the ready children need for so many entries, as far as is measured."""
        return entries * self.entry_ms / 1000 / max(1, ready_children)

    # ------------------------------------------------------------ wake-ups

    def crowded(self, now: int, ready_children: int, late: bool = False) -> bool:
        """As many wake-ups are alive as the work is worth: one more child for each spread_ms of it; as
        there are children if it is late."""
        alive = sum(slot.due > now for slot in self.slots.values())
        wanted = math.ceil(self.entries * self.entry_ms / self.config.spread_ms)
        return alive >= max(1, ready_children if late else min(wanted, ready_children))

    def late(self, now: int) -> bool:
        """Something has waited for so long that the measured time of an entry tells nothing."""
        queues = (self.suspects, self.retries, *self.waiting.values())
        waiting = [entry for queue in queues for entry in queue.values()]
        return any(entry.waits_since + self.config.sent_retry_s * 1e6 <= now for entry in waiting)

    def wake(self, now: int, ready_children: int, late: bool = False) -> str | None:
        """A token to publish, or None if the model is paused or enough wake-ups are alive."""
        if self.mode is Mode.PAUSED or self.crowded(now, ready_children, late):
            return None
        interval = int(self.config.sent_retry_s * 1e6)
        lapsed = min(self.slots, key=lambda name: self.slots[name].due, default=None)
        if lapsed is not None and self.slots[lapsed].due <= now:
            before = self.slots.pop(lapsed).interval
            interval = min(before * 2, int(self.config.sent_retry_max_s * 1e6)) or interval
        token = uuid4().hex
        self.slots[token] = Slot(now + interval, interval)
        return token

    def answer(self, token: str, consumer: str, now: int, ready_children: int) -> bool:
        """A consumer comes with a token: may it run? A stale one may only if there is room."""
        called = self.slots.pop(token, None) is not None
        return called or running(consumer) in self.slots or not self.crowded(now, ready_children)

    def run(self, consumer: str, until: int) -> None:
        self.slots[running(consumer)] = Slot(until)

    def renew(self, consumer: str, entry_ids: Iterable[str], until: int) -> None:
        if running(consumer) in self.slots:
            self.run(consumer, until)
        for held in map(self.claimed.get, entry_ids):
            if held and held.consumer == consumer:
                held.leased_until = until

    def release(self, token: str) -> None:
        self.slots.pop(token, None)

    def free(self, consumers: Iterable[str]) -> None:
        for consumer in consumers:
            self.slots.pop(running(consumer), None)

    def forget_slots(self, lost: str, dead: bool) -> None:
        """Those that a consumer runs on (``lost`` as for :meth:`held_by`), and if it is dead every sent one:
        it may have received it."""
        for name in list(self.slots):
            if matches(name[1:], lost) if name[0] == "@" else dead:
                del self.slots[name]


def running(consumer: str) -> str:
    """Name of the slot that a consumer runs on."""
    return f"@{consumer}"


def matches(consumer: str, lost: str) -> bool:
    return consumer == lost or (lost.endswith(":") and consumer.startswith(lost))


def _by_urgency(entry: QueuedEntry) -> tuple[int, int]:
    return URGENT_FIRST.index(entry.priority), int(entry.id)
