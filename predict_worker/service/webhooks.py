"""Webhooks, for every API and command: endpoints, and the log of what was delivered."""

from __future__ import annotations

from ..core.errors import DeliveryNotFound
from ..core.hooks import Delivery, DeliveryPage
from ..core.ports import JobStore, Wakeups
from ..core.wake import wake_hooks
from ..webhooks.endpoints import Endpoints
from ..webhooks.guard import Guard
from ..webhooks.subscriptions import Subscriptions


class Webhooks:
    """For every ``owner``: what is his alone; None stands for an operator, who may see everybody's."""

    def __init__(self, store: JobStore, wakeups: Wakeups, guard: Guard) -> None:
        self._store, self._wakeups = store, wakeups
        self.endpoints = Endpoints(store, guard)
        self.subscriptions = Subscriptions(store, guard)

    def deliveries(
        self, owner: str | None, limit: int = 100, cursor: str = "", job_id: str | None = None
    ) -> DeliveryPage:
        """By the moment they were made. A page may hold fewer than ``limit`` though others follow.

        Raises InvalidRequest for a cursor that no page has given, StoreUnavailable.
        """
        return self._store.deliveries(owner, limit, cursor, job_id)

    def delivery(self, delivery_id: str, owner: str | None) -> Delivery:
        """Raises DeliveryNotFound, StoreUnavailable."""
        delivery = self._store.delivery(delivery_id)
        if owner not in (None, delivery.owner):
            raise DeliveryNotFound(delivery_id)
        return delivery

    def replay(self, delivery_id: str, owner: str | None) -> Delivery:
        """Deliver again, now, with the same id and body, whatever became of it.

        Raises DeliveryNotFound, QueueFull, StoreUnavailable.
        """
        self.delivery(delivery_id, owner)
        wake_hooks(self._wakeups, self._store.replay(delivery_id))
        return self._store.delivery(delivery_id)
