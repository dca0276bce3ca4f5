"""Django signals of workers, for the apps of a project.

They are sent in a worker's children alone, never in the web, in a shell or by :mod:`predict_worker.testing`.
Receivers get ``consumer`` (``"<node>:<pid>"``, as ``GET /api/workers`` shows it) and what is listed here. One
that raises is logged by Django, and does no harm; one that takes long holds the child up.
"""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

models_ready = Signal()
"""The models are loaded and warm; the child takes its first job when the receivers have returned.
``models``: versions by name."""

model_swapped = Signal()
"""Another version answers where none is named. ``model``, ``version`` and ``before`` (None: it is new)."""

worker_draining = Signal()
"""The child finishes its batch and takes no other: its worker shuts down, or it is to be replaced."""


def tell(signal: Signal, consumer: str, **facts: Any) -> None:
    """Send it; nothing that a receiver raises comes back."""
    signal.send_robust(sender=None, consumer=consumer, **facts)
