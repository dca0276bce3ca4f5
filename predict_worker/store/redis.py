"""The job store in Redis: streams, hashes and one Lua script a transition (see keys.py)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any

from ..core.errors import IdempotencyConflict, InputsGone, JobConflict, JobNotFound, PredictionError
from ..core.job import Job, JobState, NewJob, bucket_of
from ..core.ports import (
    Accepted,
    Claim,
    ClaimLimits,
    Entry,
    Finished,
    Lane,
    Loss,
    Outcome,
    Swept,
)
from . import records
from .config import GROUP_BYTES, GROUP_JOBS, INLINE_BYTES
from .redis_hooks import RedisHooks
from .refusals import refusal
from .replies import RedisSubscription
from .scripts import Argument, guarded, told_or_answer

# Input keys written before the script that makes them visible; it removes this life.
_ORPHAN_TTL_S = 300
_STAGE_TTL_S = 60


class RedisJobStore(RedisHooks):
    """See :class:`predict_worker.core.ports.JobStore`. Safe for threads; not across a fork."""

    # ------------------------------------------------------------ the caller's side

    def submit(self, new: NewJob) -> Accepted:
        (answer,) = self.submit_many([new])
        if isinstance(answer, PredictionError):
            raise answer
        return answer

    def submit_many(self, new: Sequence[NewJob]) -> list[Accepted | PredictionError]:
        inputs = [command for one in new for command in self._large_inputs(one)]
        groups = list(_groups(new))
        calls = [(bucket, self._submission([new[at] for at in group])) for bucket, group in groups]
        answers: list[Any] = [None] * len(new)
        replies = self._scripts.call_many("submit", calls, before=inputs, repeatable=True)
        for (_, group), reply in zip(groups, replies, strict=True):
            each = [reply] * len(group) if isinstance(reply, Exception) else map(told_or_answer, reply)
            for at, answer in zip(group, each, strict=True):
                answers[at] = self._accepted(new[at], answer)
        return answers

    def _large_inputs(self, new: NewJob) -> Iterator[Sequence[Argument]]:
        for index, part in enumerate(new.ranges):
            if len(part.payload) > INLINE_BYTES:
                key = self._keys.inputs(bucket_of(new.id), new.id, index)
                # NX: sent again after a lost answer, it must not give accepted inputs a lifetime.
                yield "SET", key, part.payload, "EX", _ORPHAN_TTL_S, "NX"

    @staticmethod
    def _submission(group: Sequence[NewJob]) -> list[Argument]:
        """The script's arguments."""
        kinds: dict[tuple[Argument, ...], int] = {}
        jobs: list[Argument] = []
        for new in group:
            jobs += [kinds.setdefault(_kind(new), len(kinds)), new.id, new.request_id, len(new.ranges)]
            for part in new.ranges:
                size = len(part.payload)
                jobs += [part.rows, size, part.payload if size <= INLINE_BYTES else b""]
        return [len(kinds), *chain.from_iterable(kinds), *jobs]

    def _accepted(self, new: NewJob, answer: Any) -> Accepted | PredictionError:
        """Or why not: whatever it is, it is no other job's affair."""
        if isinstance(answer, Exception):
            return answer if isinstance(answer, PredictionError) else PredictionError(str(answer))
        verdict, job_id, token, created, position = answer
        if verdict == b"accepted":
            return Accepted(records.new_job(new, created, position), token.decode() or None)
        if verdict == b"replayed":
            try:
                return Accepted(self.get(job_id.decode()), replayed=True)
            except PredictionError as error:  # it is gone meanwhile, or the store is
                return error
        if verdict == b"conflict":
            detail = f"job {job_id.decode()} was submitted with this key and another payload"
            return IdempotencyConflict(detail)
        return refusal(verdict.decode(), new.model, int(created) / 1e6)

    def get(self, job_id: str) -> Job:
        return _found(job_id, self.get_many([job_id])[0])

    def get_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        found: dict[str, Job] = {}
        for bucket, ids in self._by_bucket(job_ids).items():
            answer, _ = self._scripts.call("get", bucket, ids, repeatable=True)
            pairs = zip(ids, answer, strict=True)
            found |= {i: records.job_from_fields(i, fields) for i, fields in pairs if fields}
        return [found.get(job_id) for job_id in job_ids]

    def result(self, job_id: str) -> tuple[Job, tuple[bytes, ...] | None]:
        bucket = self._bucket(job_id)
        first = ("GET", self._keys.outputs(bucket, job_id, 0))
        answer, rest = self._scripts.call("get", bucket, [job_id], after=[first], repeatable=True)
        if not answer[0]:
            raise JobNotFound(job_id)
        job = records.job_from_fields(job_id, answer[0])
        ranges = int(dict(zip(answer[0][::2], answer[0][1::2], strict=True))[b"ranges"])
        if job.state is not JobState.SUCCEEDED:
            return job, None
        payloads = rest
        if ranges > 1:
            keys = [self._keys.outputs(bucket, job_id, index) for index in range(1, ranges)]
            payloads = rest + guarded(lambda: self._client.mget(keys), repeatable=True)
        return job, None if None in payloads else tuple(payloads)

    def cancel(self, job_id: str) -> Job:
        state, _ = self._scripts.call("cancel", self._bucket(job_id), [job_id], repeatable=True)
        if not state:
            raise JobNotFound(job_id)
        if JobState(state.decode()) in (JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED):
            raise JobConflict(f"job {job_id} is {state.decode()} and can no longer be cancelled")
        return self.get(job_id)

    def delete(self, job_id: str) -> None:
        removed, _ = self._scripts.call("delete", self._bucket(job_id), [job_id])
        if not removed:
            raise JobNotFound(job_id)

    def redrive(self, job_id: str, queue_max_jobs: int = 10_000) -> Accepted:
        answer, _ = self._scripts.call("redrive", self._bucket(job_id), [job_id, queue_max_jobs])
        verdict, token, model, room_us = answer
        if verdict == b"unknown":
            raise JobNotFound(job_id)
        if verdict == b"alive":
            raise JobConflict(f"job {job_id} is no dead letter")
        if verdict == b"gone":
            raise InputsGone(f"what job {job_id} would run on is no longer stored")
        if verdict != b"redriven":
            raise refusal(verdict.decode(), model.decode(), int(room_us) / 1e6)
        return Accepted(self.get(job_id), token.decode() or None)

    def watch(self, job_id: str, reply_to: str) -> Job:
        self._scripts.call("watch", self._bucket(job_id), [job_id, reply_to], repeatable=True)
        return self.get(job_id)

    def delivered(self, job_ids: Sequence[str]) -> None:
        for bucket, ids in self._by_bucket(job_ids).items():
            self._scripts.call("delivered", bucket, ids, repeatable=True)

    def subscribe(self, channel: str, deliver: Callable[[Sequence[Finished]], None]) -> RedisSubscription:
        return RedisSubscription(self._client, self._keys.reply(channel), deliver)

    # ------------------------------------------------------------ the worker's side

    def step(
        self,
        lane: Lane,
        done: Sequence[Outcome],
        limits: ClaimLimits | None,
        entry_ms: float = 0.0,
        listen_s: float = 0.0,
    ) -> Claim:
        bucket = _lane_bucket(lane)
        staged = self._staged(bucket, [o.payload for o in done])
        arguments: list[Argument] = [
            lane.model,
            lane.consumer,
            lane.token,
            int(entry_ms * 1000),
            limits.max_rows if limits else 0,
            limits.max_bytes if limits else 0,
            int(limits.holding) if limits else 0,
            # A child can block on the bell of one hash slot only.
            int(listen_s * 1e6) if self._buckets == 1 else 0,
            len(done),
        ]
        for outcome, name in zip(done, staged, strict=True):
            arguments += [
                *outcome.entry.id.split(" ", 1),
                outcome.entry.job_id,
                outcome.entry.range_index,
                b"" if name else outcome.payload or b"",
                name,
                records.facts_json(outcome),
                records.error_json(outcome.error) if outcome.error else "",
                records.retry_us(outcome),
            ]
        answer, _ = self._scripts.call("step", bucket, arguments)
        token, listening, hooks_token, *rows = answer
        return Claim(
            self._entries(bucket, rows),
            token.decode() or None,
            bool(listening),
            hooks_token.decode() or None,
        )

    def _staged(self, bucket: int, payloads: Sequence[bytes | None]) -> list[str]:
        """Writes the large outputs beside the script that makes them visible; returns a name for each.

        Empty: small enough to go through the script, or refused by a full Redis. The script is not:
        what it publishes lets the memory of the inputs go.
        """
        large = {i: uuid.uuid4().hex for i, p in enumerate(payloads) if p and len(p) > INLINE_BYTES}

        def run() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                for index, name in large.items():
                    pipe.set(self._keys.stage(bucket, name), payloads[index] or b"", ex=_STAGE_TTL_S)
                return pipe.execute(raise_on_error=False)

        written = dict(zip(large, guarded(run) if large else (), strict=True))
        return [large[i] if written.get(i) is True else "" for i in range(len(payloads))]

    def listen(self, lane: Lane, listen_s: float) -> str | None:
        key = self._keys.bell(_lane_bucket(lane), lane.consumer)
        # A little longer than the store rings, so that no ring is missed.
        rung: Any = guarded(lambda: self._client.blpop([key], timeout=listen_s + 0.01))
        return rung[1].decode() if rung else None

    def _entries(self, bucket: int, rows: Sequence[Sequence[bytes]]) -> tuple[Entry, ...]:
        """Large inputs are read in one more round trip."""
        apart = [self._keys.inputs(bucket, r[2].decode(), int(r[3])) for r in rows if r[6] is None]
        fetched = iter(guarded(lambda: self._client.mget(apart), repeatable=True) if apart else ())
        return tuple(records.entry(r, next(fetched) if r[6] is None else r[6]) for r in rows)

    def renew(self, lane: Lane, entries: Sequence[Entry]) -> None:
        ids = [part for entry in entries for part in entry.id.split(" ", 1)]
        arguments = [lane.model, lane.consumer, *ids]
        self._scripts.call("renew", _lane_bucket(lane), arguments, repeatable=True)

    def release_wakeup(self, model: str, token: str) -> None:
        key = self._keys.slots(_token_bucket(token), model)
        guarded(lambda: self._client.zrem(key, token), repeatable=True)

    def recover(self, model: str, consumer: str, loss: Loss) -> int:
        arguments = [model, consumer, loss]
        return sum(
            self._scripts.call("recover", b, arguments, repeatable=True)[0] for b in range(self._buckets)
        )

    def sweep(self, model: str) -> Swept:
        answers = [self._scripts.call("sweep", b, [model], repeatable=True)[0] for b in range(self._buckets)]
        return Swept(
            tuple(a[0].decode() for a in answers if a[0]),
            sum(a[1] for a in answers),
            sum(a[2] for a in answers),
        )

    def ping(self) -> None:
        guarded(self._client.ping, repeatable=True)

    def _by_bucket(self, job_ids: Sequence[str]) -> dict[int, list[str]]:
        """What cannot be an id is left out."""
        groups: dict[int, list[str]] = {}
        for job_id in filter(self._possible, job_ids):
            groups.setdefault(bucket_of(job_id), []).append(job_id)
        return groups


def _groups(new: Sequence[NewJob]) -> Iterator[tuple[int, list[int]]]:
    """The bucket and the places of those that go with one script: while it runs every other client waits."""
    open_groups: dict[int, tuple[list[int], int]] = {}
    for at, one in enumerate(new):
        bucket, size = bucket_of(one.id), sum([len(part.payload) for part in one.ranges])
        group, before = open_groups.get(bucket, ([], 0))
        if group and (len(group) == GROUP_JOBS or before + size > GROUP_BYTES):
            yield bucket, group
            group, before = [], 0
        group.append(at)
        open_groups[bucket] = group, before + size
    for bucket, (group, _) in open_groups.items():
        yield bucket, group


def _kind(new: NewJob) -> tuple[Argument, ...]:
    """What many jobs have in common: it is sent once."""
    return (
        new.model,
        new.priority,
        records.request_json(new),
        "" if new.deadline_s is None else int(new.deadline_s * 1e6),
        new.reply_to or "",
        _once_digest(new),
        new.fingerprint if new.idempotency_key is not None else "",
        new.queue_max_jobs,
        new.owner,
        records.short_digest(new.digest),
        records.hooks_json(new),
        records.header_json(new),
    )


def _found(job_id: str, job: Job | None) -> Job:
    if job is None:
        raise JobNotFound(job_id)
    return job


def _lane_bucket(lane: Lane) -> int:
    return _token_bucket(lane.token)


def _token_bucket(token: str) -> int:
    """A token begins with its bucket."""
    head = token.split("-", 1)[0]
    return int(head) if head.isdigit() else 0


def _once_digest(new: NewJob) -> str:
    if new.idempotency_key is None:
        return ""
    return sha256(f"{new.owner}\0{new.idempotency_key}".encode()).hexdigest()
