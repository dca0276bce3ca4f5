"""What was accepted, and what was seen of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(slots=True)
class Entry:
    """One request: the number it asks about, the jobs that were made of it, the ends that were seen."""

    number: float
    job_ids: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)
    wrong: bool = False
    last: str = ""


class Ledger:
    """By idempotency key: a request repeated until it is accepted is one entry. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self.refused = 0

    def asked(self, key: str, number: float) -> None:
        with self._lock:
            self._entries[key] = Entry(number)

    def refuse(self) -> None:
        """A 503, or no answer at all: the caller tries again."""
        with self._lock:
            self.refused += 1

    def saw(self, key: str, job: Mapping[str, Any]) -> bool:
        """Note a job as it was shown; returns whether it is final."""
        with self._lock:
            entry = self._entries[key]
            entry.job_ids.add(job["id"])
            entry.last = f"{job['state']}, {job['error'] or ''}"
            if job["state"] not in FINAL:
                # What was final once may never be anything else.
                if entry.ends:
                    entry.ends.add(f"{job['state']} after its end")
                return False
            entry.ends.add(f"{job['state']} at {job['finished_at']}")
            if job["state"] == "succeeded":
                entry.wrong |= job["outputs"] != {"y": [[entry.number / 2 + 2, 2.0]]}
            return True

    def missed(self, key: str, answer: str) -> None:
        """What came instead of the job."""
        with self._lock:
            self._entries[key].last = answer

    def accepted(self) -> dict[str, str]:
        """A job of every accepted request, by key."""
        with self._lock:
            return {key: min(entry.job_ids) for key, entry in self._entries.items() if entry.job_ids}

    def counts(self) -> dict[str, int]:
        with self._lock:
            entries = [entry for entry in self._entries.values() if entry.job_ids]
        return {
            "accepted": len(entries),
            "finished": sum(bool(e.ends) for e in entries),
            "succeeded": sum(any(end.startswith("succeeded") for end in e.ends) for e in entries),
            "lost": sum(not e.ends for e in entries),
            "duplicated": sum(len(e.job_ids) > 1 or len(e.ends) > 1 for e in entries),
            "wrong": sum(e.wrong for e in entries),
            "refused": self.refused,
        }

    def odd(self) -> list[tuple[str, Entry]]:
        """Entries to look at: not finished, finished twice, wrong, or not succeeded."""
        with self._lock:
            return [
                (key, e)
                for key, e in self._entries.items()
                if e.job_ids
                and (
                    len(e.job_ids) > 1 or len(e.ends) != 1 or e.wrong or "succeeded" not in next(iter(e.ends))
                )
            ]
