"""From a request and the version it means to the job that is stored."""

from __future__ import annotations

import random
import zlib
from typing import Any

from ..catalogue import Resolved
from ..codec import Arrays, Columnar, Instances, RawInputs, pack, pack_raw
from ..core.errors import InvalidRequest
from ..core.job import Hook, NewJob, RowRange, new_job_id
from ..core.spec import ModelSpec
from ..inputs import bind, check_outputs, split
from .request import PredictRequest


def row_ranges(request: PredictRequest, spec: ModelSpec | None, max_bytes: int) -> tuple[RowRange, ...]:
    """The inputs, checked against the signature and packed, in ranges that each fit one batch (or in one,
    where answers of different batches might not fit each other).

    Without a spec (no worker has loaded the model yet) they stay as they came and the worker checks
    them. Raises InvalidRequest, PayloadTooLarge.
    """
    if spec is None:
        return (RowRange(0, _rows(request.inputs), pack_raw(request.inputs)),)
    signature = spec.signatures.get(request.signature_name)
    if signature is None:
        raise InvalidRequest(
            "signature_name", f"one of {', '.join(spec.signatures)}", repr(request.signature_name)
        )
    check_outputs(signature, request.outputs)
    bound = bind(signature, request.inputs, inputs_finite=spec.inputs_finite, max_bytes=max_bytes)
    if bound.rows == 1 or not signature.divisible:
        return (RowRange(0, bound.rows, pack(bound.arrays)),)
    parts = split(signature, bound.arrays, spec.batch.max_rows, spec.batch.max_bytes)
    return tuple(RowRange(start, stop, pack(arrays)) for start, stop, arrays in parts)


def _rows(raw: RawInputs) -> int:
    """How many rows unchecked inputs seem to have: at least one."""
    if isinstance(raw, Instances):
        return len(raw.rows)
    value: Any = raw.value if isinstance(raw, Columnar) else raw.arrays
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    if isinstance(raw, Arrays):
        return max(1, value.shape[0]) if value is not None and value.ndim else 1
    return max(1, len(value)) if isinstance(value, list) else 1


def new_id(request: PredictRequest, buckets: int) -> str:
    return new_job_id(_bucket(request, buckets))


def share_of(job_id: str) -> float:
    """Where from 0 to 1 a job falls: what goes by shares of the traffic goes by this, again and again."""
    return zlib.crc32(job_id.encode()) / 2**32


def new_job(
    job_id: str,
    request: PredictRequest,
    to: Resolved,
    ranges: tuple[RowRange, ...],
    hooks: tuple[Hook, ...] = (),
    reply_to: str | None = None,
) -> NewJob:
    spec = to.spec if to.settled else None
    return NewJob(
        id=job_id,
        model=to.entry.name,
        ranges=ranges,
        owner=request.owner,
        version=to.version if to.settled else None,
        pinned=request.ref.version is not None,
        digest=spec.digest if spec else None,
        artefact=spec.artefact if spec else None,
        signature_name=request.signature_name,
        outputs=request.outputs,
        priority=request.priority,
        deadline_s=request.deadline_s,
        metadata=request.metadata,
        request_id=request.request_id,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
        reply_to=reply_to,
        queue_max_jobs=to.entry.queue_max_jobs,
        hooks=hooks,
    )


def _bucket(request: PredictRequest, buckets: int) -> int:
    """One key of one owner always meets the same bucket, so the store sees it again there."""
    if buckets == 1:
        return 0
    if request.idempotency_key is None:
        return random.randrange(buckets)  # noqa: S311 - spreads load, guards nothing
    return zlib.crc32(f"{request.owner}\0{request.idempotency_key}".encode()) % buckets
