"""A job as every caller sees it: in answers of the jobs API, and in webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from .codec import join_ranges, to_json
from .core.job import Job


def job_object(job: Job, payloads: Sequence[bytes] | None, urls: Mapping[str, str | None]) -> dict[str, Any]:
    """What is not known yet is null, never missing."""
    timings = job.timings
    return {
        "id": job.id,
        "model": job.model,
        "version": None if job.version is None else str(job.version),
        "digest": job.digest,
        "signature_name": job.signature_name,
        "artefact": job.artefact,
        "state": job.state.value,
        "priority": job.priority.value,
        "rows": job.rows,
        "attempts": job.attempts,
        "queue_position": job.queue_position,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "deadline_at": rfc3339(job.deadline_at),
        "expires_at": rfc3339(job.expires_at),
        "timings": {
            "queue_ms": timings.queue_ms,
            "predict_ms": timings.predict_ms,
            "batch_rows": timings.batch_rows,
        },
        "outputs": None if payloads is None else outputs_object(payloads),
        "error": asdict(job.error) if job.error else None,
        "metadata": job.metadata,
        "urls": urls,
    }


def outputs_object(payloads: Sequence[bytes]) -> dict[str, Any]:
    """By output name, always with the batch dimension."""
    return {name: to_json(array) for name, array in join_ranges(payloads).items()}


def rfc3339(moment: datetime | None) -> str | None:
    """UTC in milliseconds, with ``Z``; the store's moments are in UTC already."""
    return None if moment is None else moment.isoformat(timespec="milliseconds")[:-6] + "Z"
