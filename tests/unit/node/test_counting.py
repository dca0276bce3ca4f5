"""What a child counts of its answers."""

from __future__ import annotations

from predict_worker.core.job import JobError, Timings
from predict_worker.core.ports import Entry, Outcome
from predict_worker.node.counting import Counts

FAILED = JobError("model_error", "Model failed", "no")


def outcome(rows: int = 1, version: int | None = 1, error: JobError | None = None, **more: float) -> Outcome:
    entry = Entry("1-0", "0-1", 0, rows, None, False, "serving_default", (), 1, 2.0, b"")
    payload = None if error else b""
    return Outcome(entry, payload, error, Timings(2.0, 0.5, rows), version, retry_in_s=more.get("retry_in_s"))


def test_answers_are_added_up_by_model_and_version() -> None:
    counts = Counts()
    counts.ran("m", [outcome(), outcome(rows=3), outcome(error=FAILED), outcome(version=2)])
    counts.ran("m", [outcome(error=FAILED)])
    first, second = counts.all
    assert (first.model, first.version, first.succeeded, first.failed, first.rows) == ("m", 1, 2, 2, 4)
    assert (first.batches, first.queue_ms, first.predict_ms) == (1, 4.0, 1.0)
    assert (second.version, second.succeeded, second.rows) == (2, 1, 1)
    assert first.last_us > second.last_us - 1 > 1_700_000_000_000_000


def test_what_runs_again_or_in_no_version_is_not_counted() -> None:
    counts = Counts()
    counts.ran("m", [outcome(error=FAILED, retry_in_s=1.0), outcome(version=None, error=FAILED)])
    assert counts.all == ()
