"""Which workers take deliveries, and that none of it needs a model's library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import current_app, signals

from predict_worker import boot, delivering
from predict_worker.tasks import deliver
from predict_worker.wakeup import DELIVER, HOOKS_QUEUE, CeleryWakeups

ROOT = Path(__file__).parents[2]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The receivers that a worker's options connect."""
    receivers: list[Any] = []
    for signal, _ in (*boot.RECEIVERS, *boot.HOOKS_RECEIVERS):
        monkeypatch.setattr(signal, "connect", lambda receiver, **_: receivers.append(receiver))
    steps: set[Any] = set()
    monkeypatch.setattr(boot, "current_app", type("App", (), {"steps": {"worker": steps}}))
    return receivers


@pytest.mark.parametrize(
    ("queues", "delivers", "predicts"),
    [
        (None, True, True),
        ("hooks", True, False),
        ("hooks,celery", True, False),
        (["hooks"], True, False),
        ("model.digits", False, True),
        ("model.digits, hooks", True, True),
        ("celery", False, False),
    ],
)
def test_queues_say_what_a_worker_does(
    connected: list[Any], queues: Any, delivers: bool, predicts: bool
) -> None:
    boot.read_options(options={"queues": queues})
    assert (boot.watch_deliveries in connected) == delivers
    assert (boot.prepare_parent in connected) == predicts


def test_wake_ups_are_taken_without_acknowledgements() -> None:
    boot.take_deliveries()
    assert current_app.amqp.queues[HOOKS_QUEUE].no_ack


def test_a_wake_up_is_a_short_message_to_the_queue_of_hooks() -> None:
    sent: list[Any] = []

    class App:
        def send_task(self, name: str, **options: Any) -> None:
            sent.append((name, options["args"], options["queue"]))

    app: Any = App()
    CeleryWakeups(app).send_hooks("0-1")
    assert sent == [(DELIVER, ("0-1",), HOOKS_QUEUE)]


def test_the_task_wakes_the_deliverer_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []

    class Noting:
        def __init__(self, *_: Any) -> None: ...

        def wake(self, token: str) -> None:
            woken.append(token)

        def stop(self, timeout_s: float) -> None:
            woken.append("stopped")

    monkeypatch.setattr(delivering, "Deliverer", Noting)
    for _ in range(2):
        deliver.run("0-1")
    delivering.stop()
    delivering.stop()
    assert woken == ["0-1", "0-1", "stopped"]


def test_a_parent_looks_from_when_it_is_ready_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    class Noting:
        def __init__(self, *_: Any) -> None: ...

        def start(self) -> None:
            looked.append("start")

        def stop(self) -> None:
            looked.append("stop")

    monkeypatch.setattr(delivering, "Knocker", Noting)
    for _ in range(2):  # the broker was away meanwhile
        boot.watch_deliveries()
    boot.leave_deliveries()
    boot.leave_deliveries()
    assert looked == ["start", "stop"]
    assert signals.worker_ready in [signal for signal, _ in boot.HOOKS_RECEIVERS]


LOAD = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from predict_worker import boot, delivering
boot.read_options(options={"queues": "hooks"})
boot.take_deliveries()
sys.exit(" ".join(name for name in ("tensorflow", "keras", "onnxruntime", "PIL") if name in sys.modules))
"""


def test_a_hooks_worker_imports_no_library_of_models() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""
