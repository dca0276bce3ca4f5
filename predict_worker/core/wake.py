"""Passing on the wake-ups that the store says are due."""

from __future__ import annotations

import logging

from .errors import StoreUnavailable
from .ports import JobStore, Wakeups

log = logging.getLogger(__name__)


def wake_hooks(wakeups: Wakeups, token: str | None) -> None:
    """Tell a hooks worker, if one is to be told. What the broker does not take is made up for: hooks workers
    look by themselves, too."""
    if token is None:
        return
    try:
        wakeups.send_hooks(token)
    except StoreUnavailable as failure:
        log.warning("no worker was told of deliveries: %s", failure)


def wake(store: JobStore, wakeups: Wakeups, model: str, token: str | None) -> bool:
    """Send a wake-up if one is due. False: the broker did not take it, and it is free again: the next
    submit or sweep issues another."""
    if token is None:
        return True
    try:
        wakeups.send(model, token)
        return True
    except StoreUnavailable as failure:
        log.warning("no worker was told of work for %s: %s", model, failure)
    try:
        store.release_wakeup(model, token)
    except StoreUnavailable:
        log.warning("the wake-up of %s lapses by itself", model)
    return False
