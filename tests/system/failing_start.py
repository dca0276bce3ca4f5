"""The demo's Celery app with children that cannot start, as where what they need is not installed."""

from typing import Any

from predict_worker.node import local
from proj.celery import app

__all__ = ["app"]


def fail(*_: Any) -> None:
    raise OSError("no such device")


local.become_child = fail  # type: ignore[assignment]
