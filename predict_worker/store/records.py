"""Between Redis' bytes and the core's values: job hashes, stream headers, reply frames."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from ..core.job import (
    Job,
    JobError,
    JobState,
    NewJob,
    Priority,
    Timings,
    from_micros,
)
from ..core.ports import Entry, Finished, JobEnd, Outcome

_FRAME = struct.Struct(">II")
_NO_PAYLOAD = 0xFFFFFFFF
_SHA256 = "sha256:"


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def request_json(new: NewJob) -> bytes:
    """What the job's record keeps of its submit and no script needs to read. Short: Redis stores a hash of
    values up to 64 bytes in less than half the memory."""
    return orjson.dumps([new.version, new.artefact, new.signature_name, new.rows, new.metadata])


def short_digest(digest: str | None) -> str:
    return (digest or "").removeprefix(_SHA256)


def _digest(raw: bytes) -> str | None:
    text = raw.decode()
    return text if ":" in text or not text else _SHA256 + text


def header_json(new: NewJob) -> bytes:
    """What a worker must know of an entry: the same text for all like jobs of a model."""
    return orjson.dumps([new.version, new.digest, new.pinned, new.signature_name, new.outputs])


@lru_cache(maxsize=1024)
def _header(text: bytes) -> tuple[int | None, str | None, bool, str, tuple[str, ...]]:
    version, digest, pinned, signature_name, outputs = json.loads(text)
    return version, digest, pinned, signature_name, tuple(outputs)


def entry(raw: Sequence[Any], payload: bytes | None) -> Entry:
    """From one row of step.lua's answer."""
    priority, entry_id, job_id, range_index, rows, header, _, queue_us, attempt, retries, postponed = raw
    version, digest, pinned, signature_name, outputs = _header(header)
    return Entry(
        id=(priority + b" " + entry_id).decode(),
        job_id=job_id.decode(),
        range_index=int(range_index),
        rows=int(rows),
        version=version,
        digest=digest,
        pinned=pinned,
        signature_name=signature_name,
        outputs=outputs,
        attempt=attempt,
        queue_ms=queue_us / 1000,
        payload=payload,
        retries=retries,
        postponed=postponed,
    )


def hooks_json(new: NewJob) -> str:
    """Whom the end of a job is told, as the scripts read it; empty for nobody."""
    if not new.hooks:
        return ""
    return dump([[hook.endpoint_id, hook.url, hook.receiver, " ".join(hook.events)] for hook in new.hooks])


def facts_json(outcome: Outcome) -> bytes:
    """The timings; and what ran, unless it is what submit had resolved."""
    timings, entry = outcome.timings, outcome.entry
    version, digest = outcome.version, outcome.digest
    facts: list[Any] = [timings.queue_ms, timings.predict_ms, timings.batch_rows]
    if (version, digest) not in ((entry.version, entry.digest), (None, None)):
        facts += [version, digest, outcome.artefact]
    return orjson.dumps(facts)


def _facts(raw: bytes) -> list[Any]:
    facts = orjson.loads(raw)
    return facts if len(facts) > 3 else [*facts, None, None, None]


def retry_us(outcome: Outcome) -> str:
    """As step.lua takes it."""
    if outcome.retry_in_s is not None:
        return f"{'+' if outcome.postponed else ''}{int(outcome.retry_in_s * 1e6)}"
    return "dead" if outcome.given_up else ""


def error_json(error: JobError) -> str:
    return dump({"code": error.code, "title": error.title, "detail": error.detail})


def job_from_fields(job_id: str, fields: Sequence[bytes]) -> Job:
    """From get.lua's flat list of names and values."""
    raw = {fields[i]: fields[i + 1] for i in range(0, len(fields), 2)}
    version, artefact, signature_name, rows, metadata = orjson.loads(raw[b"request"])
    state = JobState(raw[b"state"].decode())
    facts = _facts(raw.get(b"facts", b"[null,null,null]"))
    return Job(
        id=job_id,
        model=raw[b"model"].decode(),
        state=state,
        owner=raw[b"owner"].decode(),
        version=_or(facts[3], version),
        digest=_or(facts[4], _digest(raw[b"digest"])),
        artefact=_or(facts[5], artefact),
        signature_name=signature_name,
        priority=Priority(raw[b"priority"].decode()),
        rows=rows,
        attempts=int(raw.get(b"attempts", 0)),
        queue_position=int(raw[b"position"]) if state is JobState.QUEUED else None,
        created_at=from_micros(int(raw[b"created"])),
        started_at=_moment(raw.get(b"started")),
        finished_at=_moment(raw.get(b"finished")),
        deadline_at=_moment(raw.get(b"deadline")),
        expires_at=_moment(raw.get(b"expires")),
        timings=Timings(*facts[:3]),
        error=_error(raw.get(b"error"), raw.get(b"history")) if state is JobState.FAILED else None,
        metadata=metadata,
        request_id=raw[b"request_id"].decode(),
        ranges=int(raw[b"ranges"]),
        ranges_done=int(raw[b"ranges"]) - int(raw[b"left"]),
    )


@lru_cache(maxsize=8)
def _created(raw: bytes) -> datetime:
    """The same for all jobs that one script has stored."""
    return from_micros(int(raw))


_UNKNOWN = Timings()


def new_job(new: NewJob, created_us: bytes, position: int) -> Job:
    """What a submit has just stored."""
    created = _created(created_us)
    return Job(
        id=new.id,
        model=new.model,
        state=JobState.QUEUED,
        owner=new.owner,
        version=new.version,
        digest=new.digest,
        artefact=new.artefact,
        signature_name=new.signature_name,
        priority=new.priority,
        rows=new.rows,
        attempts=0,
        queue_position=position,
        created_at=created,
        deadline_at=None if new.deadline_s is None else created + timedelta(seconds=new.deadline_s),
        timings=_UNKNOWN,
        metadata=new.metadata,
        request_id=new.request_id,
        ranges=len(new.ranges),
    )


def frames(message: bytes) -> Iterator[Finished]:
    """The finished jobs of one message on a reply channel."""
    at = 0
    while at < len(message):
        meta_size, payload_size = _FRAME.unpack_from(message, at)
        at += _FRAME.size
        meta = message[at : at + meta_size]
        at += meta_size
        payload = None
        if payload_size != _NO_PAYLOAD:
            payload = message[at : at + payload_size]
            at += payload_size
        yield _finished(meta, payload)


def _finished(meta: bytes, payload: bytes | None) -> Finished:
    parts = meta.decode().split("\n")
    if len(parts) == 1:
        return Finished(parts[0])
    job_id, state, started, finished, attempts, facts, error = parts
    values = _facts(facts.encode())
    end = JobEnd(
        state=JobState(state),
        started_us=int(started),
        finished_us=int(finished),
        attempts=int(attempts),
        timings=Timings(*values[:3]),
        error=_error(error.encode(), None),
        version=values[3],
        digest=values[4],
        artefact=values[5],
    )
    return Finished(job_id, end, payload)


def _moment(raw: bytes | None) -> Any:
    return None if raw is None else from_micros(int(raw))


def _or(first: Any, second: Any) -> Any:
    return second if first is None else first


def _error(raw: bytes | None, history: bytes | None) -> JobError | None:
    if not raw:
        return None
    error = json.loads(raw)
    attempts = tuple(_attempt(a) for a in json.loads(history or b"[]"))
    return JobError(error["code"], error["title"], error["detail"], attempts)


def _attempt(raw: dict[str, Any]) -> dict[str, Any]:
    """Of a run whose process was lost, or that came to a retryable error."""
    told: dict[str, Any] = {name: raw[name] for name in ("loss", "alone", "code", "detail") if name in raw}
    return {"attempt": raw["attempt"], **told, "at": from_micros(int(raw["at_us"])).isoformat()}
