"""What the broker refuses reaches the children of this node."""

from __future__ import annotations

import pytest

from predict_worker.core.errors import StoreUnavailable
from predict_worker.node.handover import Handover
from predict_worker.store.memory_catalogue import MemoryWakeups


class Broker(MemoryWakeups):
    full = False

    def send(self, model: str, token: str) -> None:
        if self.full:
            raise StoreUnavailable("the broker is full")
        super().send(model, token)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def handover(broker: Broker) -> Handover:
    return Handover(broker, lambda: ("digits",))


def served(handover: Handover) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []
    handover.hand_over(lambda *wakeup: calls.append(wakeup))
    return calls


def test_what_the_broker_takes_is_not_handed_over(handover: Handover, broker: Broker) -> None:
    handover.send("digits", "0-1-1")
    assert broker.sent == [("digits", "0-1-1")]
    assert served(handover) == []


def test_what_the_broker_refuses_is_handed_over_once(handover: Handover, broker: Broker) -> None:
    broker.full = True
    handover.send("digits", "0-1-1")
    handover.send("digits", "0-2-1")
    assert served(handover) == [("digits", "0-1-1"), ("digits", "0-2-1")]
    assert served(handover) == []


def test_a_model_of_other_nodes_is_refused(handover: Handover, broker: Broker) -> None:
    broker.full = True
    with pytest.raises(StoreUnavailable):
        handover.send("elsewhere", "0-1-1")
    assert served(handover) == []
