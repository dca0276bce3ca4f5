"""The settings and bounds that every implementation of the job store obeys."""

from __future__ import annotations

from dataclasses import dataclass

INLINE_BYTES = 16 * 1024
"""Payloads up to this size travel inside stream entries, scripts and reply messages, larger ones
beside them: while a script moves payloads every other client waits."""

MESSAGE_BYTES = 1024 * 1024
"""Outputs in one reply message, all jobs together: a larger one could kill its subscriber."""

GROUP_JOBS, GROUP_BYTES = 50, 256 * 1024
"""Jobs that one script stores at most, and the inputs that it moves for them where they are several."""

SKIPPED_PER_STEP = 300
"""Entries of cancelled or overdue jobs that one step passes over at most."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """``*_ttl_s`` count from the final state: outputs, outputs already delivered, the job's record.

    ``queue_max_jobs`` bounds the entries of all models together. ``max_strikes`` deaths while running
    alone, or ``max_node_losses`` deaths of the node, bury a job. A wake-up not answered within
    ``sent_retry_s`` is sent again, doubling up to ``sent_retry_max_s``. One more child is woken for each
    ``spread_ms`` of work that waits, and where something has waited for ``sent_retry_s``. A child counts
    as ready for ``ready_ttl_s`` after its heartbeat. Submits are refused above ``max_memory_share`` of
    the server's memory bound, and those with webhooks where ``max_deliveries`` are not over; the list of
    deliveries goes back for ``deliveries_ttl_s``.
    """

    result_ttl_s: float = 3600
    delivered_ttl_s: float = 300
    record_ttl_s: float = 86400
    queue_max_jobs: int = 100_000
    max_strikes: int = 3
    max_node_losses: int = 15
    lease_s: float = 30.0
    sent_retry_s: float = 0.5
    sent_retry_max_s: float = 60.0
    spread_ms: float = 10.0
    ready_ttl_s: float = 10.0
    max_memory_share: float = 0.8
    max_deliveries: int = 100_000
    deliveries_ttl_s: float = 7 * 86400
