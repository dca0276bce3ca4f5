"""What the store in Redis holds, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import redis

from ..core.errors import JobNotFound
from ..core.job import JOB_ID, JobState, bucket_of
from ..core.ports import Listing
from . import listing
from .config import StoreConfig
from .keys import Keys
from .scripts import Argument, Scripts, guarded


class RedisListing:
    """See :class:`predict_worker.core.ports.JobStore`."""

    def __init__(
        self, client: redis.Redis, config: StoreConfig, prefix: str = "pw", buckets: int = 1
    ) -> None:
        self._client, self._buckets = client, buckets
        self._keys = Keys(prefix)
        self._scripts = Scripts(client, self._keys, config)

    def jobs(
        self,
        owner: str | None,
        limit: int = 100,
        cursor: str = "",
        state: JobState | None = None,
        model: str | None = None,
    ) -> Listing:
        moment, job_id = listing.parse(cursor) or ("+", "")
        buckets = range(self._buckets)
        owned = [(b, owner) for b in buckets] if owner is not None else [*self._owners()]
        calls = [(b, [name, limit, moment, job_id, state or "", model or ""]) for b, name in owned]
        return listing.merged(self._scripts.call_many("jobs", calls, repeatable=True), limit)

    def _owners(self) -> Iterator[tuple[int, bytes]]:
        for bucket in range(self._buckets):
            start = self._keys.owned(bucket, "")
            keys: list[bytes] = guarded(partial(self._keys_like, f"{start}*"), repeatable=True)
            yield from ((bucket, key[len(start) :]) for key in keys)

    def _keys_like(self, pattern: str) -> list[bytes]:
        return list(self._client.scan_iter(pattern, count=1000))

    def dead(self, model: str, owner: str | None = None, limit: int = 100, cursor: str = "") -> Listing:
        moment, job_id = listing.parse(cursor) or ("+inf", "")
        arguments: list[Argument] = [model, limit, moment, job_id, owner or "", int(owner is not None)]
        calls = [(bucket, arguments) for bucket in range(self._buckets)]
        return listing.merged(self._scripts.call_many("dead", calls, repeatable=True), limit)

    def _possible(self, job_id: str) -> bool:
        return bool(JOB_ID.match(job_id)) and bucket_of(job_id) < self._buckets

    def _bucket(self, job_id: str) -> int:
        """Raises JobNotFound for what cannot be an id."""
        if not self._possible(job_id):
            raise JobNotFound(job_id)
        return bucket_of(job_id)
