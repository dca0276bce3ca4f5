"""Callers' rates in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..core.rates import Allowance, Rate, Taken

US = 1_000_000


class MemoryRates:
    """Implements :class:`predict_worker.core.ports.Rates` in one process. ``now`` in Unix microseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now, self._taking = now, threading.Lock()
        self._windows: dict[str, dict[str, tuple[int, int]]] = {}  # caller -> counter -> end, used

    def take(self, caller: str, rates: Sequence[Rate], model: str) -> Taken:
        with self._taking:
            now = self._now()
            windows = {c: one for c, one in self._windows.get(caller, {}).items() if one[0] > now}
            asked = {rate.counter(model): rate for rate in rates}
            current = {c: windows.get(c, (now + rate.window_s * US, 0)) for c, rate in asked.items()}
            granted = all(current[c][1] < rate.quota for c, rate in asked.items())
            if granted:
                current = {c: (end, used + 1) for c, (end, used) in current.items()}
                windows |= current
            self._windows[caller] = windows
        left = ((rate, *current[c]) for c, rate in asked.items())
        return Taken(granted, tuple(Allowance(r, r.quota - used, (end - now) / US) for r, end, used in left))
