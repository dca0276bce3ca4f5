"""What a caller asks of the service, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..codec import RawInputs, dumps
from ..core.errors import InvalidRequest
from ..core.job import Job, Priority
from ..core.spec import DEFAULT_SIGNATURE, ModelRef
from ..webhooks.guard import Guard

MAX_DEADLINE_S = 365 * 86400
MAX_METADATA_BYTES = 1024
MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """One prediction as asked for, in whichever dialect.

    ``fingerprint`` tells two payloads under one idempotency key apart. Construction raises
    InvalidRequest for a value out of bounds.
    """

    ref: ModelRef
    inputs: RawInputs
    signature_name: str = DEFAULT_SIGNATURE
    outputs: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    deadline_s: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    fingerprint: str = ""
    owner: str = ""
    request_id: str = ""
    webhook: str | None = None  # a URL that is told of the end, in one of ``webhook_events``
    webhook_events: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        deadline_s = self.deadline_s
        if deadline_s is not None and not 0 < deadline_s <= MAX_DEADLINE_S:
            raise InvalidRequest(
                "deadline_s", f"a number above 0, at most {MAX_DEADLINE_S}", repr(deadline_s)
            )
        if self.metadata and (size := _json_size(self.metadata)) > MAX_METADATA_BYTES:
            raise InvalidRequest("metadata", f"at most {MAX_METADATA_BYTES} bytes of JSON", f"{size} bytes")
        key = self.idempotency_key
        if key is not None and not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise InvalidRequest(
                "Idempotency-Key", f"1 to {MAX_KEY_LENGTH} characters", f"{len(key)} characters"
            )


def _json_size(metadata: Mapping[str, Any]) -> int:
    try:
        return len(dumps(metadata))
    except TypeError as error:  # too deep, or no JSON at all
        raise InvalidRequest("metadata", "an object that JSON can hold", str(error)) from None


@dataclass(frozen=True, slots=True)
class Limits:
    """``buckets`` as the store has them; ``max_input_bytes`` bounds the inputs of one job;
    ``max_wait_s`` caps every wait; results that a waiter has received live for ``delivered_ttl_s``;
    ``max_streams`` jobs are watched at once; ``webhook_guard`` says where webhooks may go."""

    buckets: int = 1
    max_input_bytes: int = 32 * 1024 * 1024
    max_wait_s: float = 60.0
    delivered_ttl_s: float = 300.0
    max_streams: int = 8
    webhook_guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True, slots=True)
class Answer:
    """A job, and when it succeeded the payloads of its row ranges in order (None: expired).

    ``replayed``: an earlier submit had made this job. ``waited_s`` is the bound of the wait that
    took place, None if there was none (not asked for, or no place was free).
    """

    job: Job
    payloads: tuple[bytes, ...] | None = None
    replayed: bool = False
    waited_s: float | None = None
