"""Why a job is not taken, in the words of a caller."""

from __future__ import annotations

from ..core.errors import DeadlineUnreachable, ModelDraining, QueueFull

_FULL = {
    "full": "the queue of model {model!r} is full",
    "full_total": "the queues are full",
    "full_memory": "the job store has no memory left for this input",
    "full_hooks": "as many webhooks wait for their receivers as may",
    "late": "the work that waits for model {model!r} takes {room_s:.1f} s longer than the deadline leaves",
    "draining": "model {model!r} is draining: it takes no more jobs until it is resumed",
}
_KINDS = {"late": DeadlineUnreachable, "draining": ModelDraining}
_SHORTEST_S = {"draining": 30.0}  # which a person ends


def refusal(verdict: str, model: str, room_s: float) -> QueueFull:
    """``room_s`` until there is room, as measured: to come back sooner than in a second is never worth it."""
    kind, shortest_s = _KINDS.get(verdict, QueueFull), _SHORTEST_S.get(verdict, 1.0)
    return kind(_FULL[verdict].format(model=model, room_s=room_s), max(shortest_s, room_s))
