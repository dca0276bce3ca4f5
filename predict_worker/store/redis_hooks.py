"""Endpoints and deliveries in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis

from ..core.errors import DeliveryNotFound
from ..core.hooks import (
    DELIVERY_ID,
    JOBS,
    Attempt,
    Claimed,
    Delivery,
    DeliveryPage,
    DeliveryState,
    Due,
    Endpoint,
    Verdict,
)
from ..core.job import bucket_of
from . import hook_records, listing
from .redis_rates import RedisRates
from .scripts import Argument, guarded


class RedisHooks(RedisRates):
    """See :class:`predict_worker.core.hooks.HookStore`."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        key = self._keys.hooks("endpoints")
        raw: Any = guarded(lambda: self._client.hvals(key), repeatable=True)
        return tuple(sorted(map(hook_records.endpoint, raw), key=lambda endpoint: endpoint.created_at))

    def endpoint(self, owner: str, endpoint_id: str) -> Endpoint | None:
        key, name = self._endpoint(owner, endpoint_id)
        raw: Any = guarded(lambda: self._client.hget(key, name), repeatable=True)
        return None if raw is None else hook_records.endpoint(raw)

    def _endpoint(self, owner: str, endpoint_id: str) -> tuple[str, str]:
        """The hash that holds it, and its field."""
        if endpoint_id == JOBS:
            return self._keys.hooks("secrets"), owner
        return self._keys.hooks("endpoints"), f"{owner}/{endpoint_id}"

    def change_endpoint(
        self, owner: str, endpoint_id: str, change: Callable[[Endpoint | None], Endpoint | None]
    ) -> Endpoint | None:
        key, name = self._endpoint(owner, endpoint_id)

        client: Any = self._client

        def run() -> Endpoint | None:
            with client.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch(key)
                        raw = pipe.hget(key, name)
                        changed = change(None if raw is None else hook_records.endpoint(raw))
                        pipe.multi()
                        if changed is None:
                            pipe.hdel(key, name)
                        else:
                            pipe.hset(key, name, hook_records.endpoint_json(changed))
                        pipe.execute()
                        return changed
                    except redis.WatchError:
                        continue

        return guarded(run)

    def claim_deliveries(
        self, token: str, limit: int, width: int, busy: Mapping[str, int], lease_s: float
    ) -> Claimed:
        bucket = int(token.split("-", 1)[0])
        arguments: list[Argument] = [token, limit, width, int(lease_s * 1e6)]
        for receiver, number in busy.items():
            arguments += [receiver, number]
        (more, *claimed), _ = self._scripts.call("deliver", bucket, arguments)
        raw = self._deliveries(bucket, [delivery_id.decode() for delivery_id, _ in claimed])
        found = (
            hook_records.due(delivery_id.decode(), tries, fields)
            for (delivery_id, tries), (fields, _) in zip(claimed, raw, strict=True)
            if fields
        )
        return Claimed(tuple(found), bool(more))

    def attempted(self, due: Due, attempt: Attempt, verdict: Verdict, body: bytes) -> None:
        again = verdict.state is DeliveryState.PENDING
        arguments: list[Argument] = [
            due.id,
            due.receiver,
            due.number,
            int(verdict.retry_in_s * 1e6) if again else verdict.state,
            int(verdict.hold_s * 1e3),
            hook_records.attempt_json(attempt),
            body,
        ]
        self._scripts.call("attempted", bucket_of(due.id), arguments)

    def due_wakeups(self) -> tuple[str, ...]:
        answers = [self._scripts.call("knock", bucket, [])[0] for bucket in range(self._buckets)]
        return tuple(token.decode() for token in answers if token)

    def replay(self, delivery_id: str) -> str | None:
        (found, token), _ = self._scripts.call("replay", self._delivery_bucket(delivery_id), [delivery_id])
        if not found:
            raise DeliveryNotFound(delivery_id)
        return token.decode() or None

    def delivery(self, delivery_id: str) -> Delivery:
        ((fields, due_us),) = self._deliveries(self._delivery_bucket(delivery_id), [delivery_id])
        if not fields:
            raise DeliveryNotFound(delivery_id)
        return hook_records.delivery(delivery_id, fields, due_us)

    def deliveries(
        self, owner: str | None, limit: int = 100, cursor: str = "", job_id: str | None = None
    ) -> DeliveryPage:
        moment, last_id = listing.parse(cursor, DELIVERY_ID) or ("+inf", "")
        arguments: list[Argument] = [
            limit,
            moment,
            last_id,
            owner or "",
            int(owner is not None),
            job_id or "",
        ]
        calls = [(bucket, arguments) for bucket in range(self._buckets)]
        page = listing.merged(self._scripts.call_many("deliveries", calls, repeatable=True), limit)
        found: dict[str, Delivery] = {}
        for bucket in {bucket_of(delivery_id) for delivery_id in page.job_ids}:
            ids = [delivery_id for delivery_id in page.job_ids if bucket_of(delivery_id) == bucket]
            for delivery_id, (fields, due_us) in zip(ids, self._deliveries(bucket, ids), strict=True):
                if fields:
                    found[delivery_id] = hook_records.delivery(delivery_id, fields, due_us)
        return DeliveryPage(tuple(found[i] for i in page.job_ids if i in found), page.cursor)

    def _deliveries(self, bucket: int, ids: list[str]) -> list[tuple[dict[bytes, bytes], float | None]]:
        """Of each its fields, and the moment from which it may be claimed."""
        if not ids:
            return []

        def run() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                for delivery_id in ids:
                    pipe.hgetall(self._keys.delivery(bucket, delivery_id))
                fields = pipe.execute()
                for delivery_id, raw in zip(ids, fields, strict=True):
                    receiver = raw.get(b"receiver", b"").decode()
                    pipe.zscore(self._keys.receiver(bucket, receiver), delivery_id)
                return list(zip(fields, pipe.execute(), strict=True))

        return guarded(run, repeatable=True)

    def _delivery_bucket(self, delivery_id: str) -> int:
        """Raises DeliveryNotFound for what cannot be an id."""
        if not DELIVERY_ID.match(delivery_id) or bucket_of(delivery_id) >= self._buckets:
            raise DeliveryNotFound(delivery_id)
        return bucket_of(delivery_id)

    def outputs(self, job_id: str, ranges: int, max_bytes: int) -> tuple[bytes, ...] | None:
        keys = [self._keys.outputs(bucket_of(job_id), job_id, index) for index in range(ranges)]

        def run() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.strlen(key)
                sizes = pipe.execute()
            return self._client.mget(keys) if all(sizes) and sum(sizes) <= max_bytes else [None]

        payloads = guarded(run, repeatable=True)
        return None if None in payloads else tuple(payloads)
