"""Celery's view of one message of ours."""

from __future__ import annotations

from celery import current_app
from celery.worker.request import Request


class MaybeAcknowledged(Request):
    """A queue ``model.…`` is consumed without acknowledgements (see :mod:`predict_worker.boot`), but kombu
    would send one all the same: a transaction, which a full Redis refuses, and that ends Celery's worker."""

    def acknowledge(self) -> None:
        queue = current_app.amqp.queues.get(self.delivery_info["routing_key"] or "")
        if queue is not None and queue.no_ack:
            self.acknowledged = True
        else:
            super().acknowledge()
