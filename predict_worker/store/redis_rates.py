"""Callers' rates in Redis: one counter that expires for each."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from ..core.rates import Allowance, Rate, Taken
from .redis_modes import RedisModes


class RedisRates(RedisModes):
    """See :class:`predict_worker.core.ports.Rates`."""

    def take(self, caller: str, rates: Sequence[Rate], model: str) -> Taken:
        counted = [part for rate in rates for part in (rate.counter(model), rate.quota, rate.window_s * 1000)]
        bucket = crc32(caller.encode()) % self._buckets
        # A broken connection may count it twice, which harms less than a refusal.
        (granted, *left), _ = self._scripts.call("rate", bucket, [caller, *counted], repeatable=True)
        pairs = zip(rates, left[::2], left[1::2], strict=True)
        return Taken(bool(granted), tuple(Allowance(rate, n, ms / 1000) for rate, n, ms in pairs))
