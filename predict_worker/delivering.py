"""Webhooks' part of a worker's processes: a deliverer in a child, from its first wake-up on, and a knocker in
the parent. Neither needs a model."""

from __future__ import annotations

import threading

from .conf import get_config
from .connect import job_store
from .wakeup import CeleryWakeups
from .webhooks.deliverer import Deliverer, Manners
from .webhooks.knocker import Knocker

_making = threading.Lock()
_deliverer: Deliverer | None = None
_knocker: Knocker | None = None


def wake(token: str) -> None:
    """Deliver what is due, in threads of this process; returns at once."""
    global _deliverer
    with _making:
        if _deliverer is None:
            config = get_config()
            manners = Manners(
                config.webhook_allow, config.webhook_timeout_s, config.webhook_retries_s, config.public_url
            )
            _deliverer = Deliverer(job_store(config), manners)
    _deliverer.wake(token)


def stop() -> None:
    """Before this child ends: what it has begun may come to its end."""
    global _deliverer
    deliverer, _deliverer = _deliverer, None
    if deliverer is not None:
        deliverer.stop(get_config().webhook_timeout_s)


def watch() -> None:
    """In the parent, once it is ready; again after the broker was away."""
    global _knocker
    if _knocker is None:
        _knocker = Knocker(job_store(get_config()), CeleryWakeups())
        _knocker.start()


def unwatch() -> None:
    global _knocker
    knocker, _knocker = _knocker, None
    if knocker is not None:
        knocker.stop()
