"""The checks of ``manage.py check --deploy``: what each finds, and where it is silent."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, current_app
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from predict_worker import checks, deployment
from predict_worker.celery_config import celery_defaults
from predict_worker.core.ports import Heartbeat, ModelEntry, VersionStatus
from predict_worker.core.spec import ModelSpec
from predict_worker.store.memory_catalogue import MemoryCatalogue
from predict_worker.store.server import ServerFacts
from tests.contract.backends import REDIS_SERVERS, running_redis
from tests.unit.apps import modules_of_apps

SOUND = ServerFacts("noeviction", appends=True)


@dataclass
class Deployed:
    """A deployment on a Redis that answers, with one model that one worker serves."""

    folder: Path
    settings: dict[str, Any]
    catalogue: MemoryCatalogue = field(default_factory=MemoryCatalogue)
    facts: ServerFacts = SOUND

    def model(self, name: str, manifest: str = "") -> None:
        (self.folder / name / "1").mkdir(parents=True)
        (self.folder / name / "1" / "saved_model.pb").touch()
        (self.folder / name / "model.toml").write_text(manifest)

    def serve(self, *names: str, load_ms: float = 1.0, state: str = "ready") -> None:
        statuses = tuple(VersionStatus(name, 1, "AVAILABLE", load_ms=load_ms) for name in names)
        self.catalogue.beat(Heartbeat("n:1", "host", 1, state, 0, statuses), ttl_s=60)

    def found(self, **changed: Any) -> dict[str, CheckMessage]:
        """By id; every message has a hint."""
        with override_settings(PREDICT_WORKER={**self.settings, **changed}):
            messages: Sequence[CheckMessage] = run_checks(tags=[checks.TAG], include_deployment_checks=True)
        assert all(message.hint for message in messages)
        return {str(message.id).removeprefix("predict_worker."): message for message in messages}


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    before: Any = current_app._get_current_object()  # type: ignore[attr-defined]
    settings = {"MODEL_REPOSITORY": tmp_path, "REDIS_URL": "unix:///nowhere/redis.sock"}
    deployed = Deployed(tmp_path, settings)
    deployed.model("good")
    deployed.serve("good")
    monkeypatch.setattr(deployment, "catalogue_store", lambda config: deployed.catalogue)
    monkeypatch.setattr(deployment, "server", lambda config: deployed.facts)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    app = Celery("project")
    with override_settings(PREDICT_WORKER=settings):
        app.add_defaults(celery_defaults)
        app.conf.broker_url  # noqa: B018  made of these settings now
    yield deployed
    before.set_current()


def test_sound_deployment_has_no_messages(deployed: Deployed) -> None:
    assert deployed.found() == {}


def test_anonymous_use_is_told_of_unless_debugging(deployed: Deployed) -> None:
    assert list(deployed.found(ALLOW_ANONYMOUS=True)) == ["W007"]
    with override_settings(DEBUG=True):
        assert deployed.found(ALLOW_ANONYMOUS=True) == {}


# ---------------------------------------------------------------- Redis


@pytest.mark.parametrize(
    ("facts", "number", "says"),
    [
        (ServerFacts("allkeys-lru", appends=True), "W013", "allkeys-lru"),
        (ServerFacts("noeviction", appends=False), "W014", "append-only"),
    ],
)
def test_redis_that_forgets_is_told_of(
    deployed: Deployed, facts: ServerFacts, number: str, says: str
) -> None:
    deployed.facts = facts
    messages = deployed.found()
    assert list(messages) == [number]
    assert says in messages[number].msg


@pytest.mark.skipif(not REDIS_SERVERS, reason="no redis-server found")
def test_a_real_redis_is_asked(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with running_redis(next(iter(REDIS_SERVERS.values()))) as client:
        client.config_set("maxmemory-policy", "volatile-ttl")
        url = f"unix://{client.connection_pool.connection_kwargs['path']}"
        messages = deployed.found(REDIS_URL=url)
    assert {"W013", "W014", "W017"} <= set(messages)
    assert "volatile-ttl" in messages["W013"].msg


def test_redis_that_is_away_is_a_warning_in_bounded_time(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    started = time.monotonic()
    messages = deployed.found()
    assert time.monotonic() - started < 5
    assert messages["W018"].msg.startswith("could not ask Redis: ")
    assert not messages.keys() & {"W013", "W014", "W017"}


def test_a_server_that_is_no_redis_is_a_warning(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        messages = deployed.found(REDIS_URL=f"unix://{tmp_path / 's'}")
        thread.join(5)
    assert messages["W018"].msg.startswith("could not ask Redis: ")


@pytest.mark.parametrize(
    ("url", "numbers"),
    [
        ("redis://127.0.0.1:6379/0", []),
        ("redis://localhost:6379/0", []),
        ("redis://[::1]:6379/0", []),
        ("unix:///run/redis.sock", []),
        ("redis://redis.example:6379/0", ["W015", "W016"]),
        ("redis://:secret@redis.example:6379/0", ["W016"]),
        ("rediss://redis.example:6379/0", ["W015"]),
        ("rediss://redis.example:6379/0?ssl_certfile=me.pem", []),
        ("rediss://:secret@10.0.0.7:6379/0", []),
    ],
)
def test_redis_of_another_host_wants_a_password_and_tls(
    deployed: Deployed, url: str, numbers: list[str]
) -> None:
    current_app.conf.update(broker_url=url)
    messages = deployed.found(REDIS_URL=url)
    assert sorted(messages) == numbers
    assert not any("secret" in message.msg for message in messages.values())


def test_the_broker_wants_them_too(deployed: Deployed) -> None:
    current_app.conf.update(broker_url="redis://broker.example/0")
    messages = deployed.found()
    assert sorted(messages) == ["W015", "W016"]
    assert all("CELERY_BROKER_URL: broker.example" in message.msg for message in messages.values())


# ---------------------------------------------------------------- workers


def test_a_lease_shorter_than_a_hard_limit_is_told_of(deployed: Deployed) -> None:
    deployed.model("slow", "timeout_s = 45")
    deployed.serve("good", "slow")
    messages = deployed.found()
    assert list(messages) == ["W012"]
    assert "model 'slow': timeout_s is 45, LEASE_S is 30" in messages["W012"].msg
    assert deployed.found(LEASE_S=45) == {}


def test_a_web_without_repository_knows_the_hard_limits_of_the_workers(deployed: Deployed) -> None:
    deployed.catalogue.publish_specs([ModelSpec("far", 1, "onnx", "sha256:0", {}, timeout_s=99.0)])
    assert list(deployed.found(MODEL_REPOSITORY=deployed.folder / "none")) == ["W012"]


def test_alive_timeout_is_compared_with_what_loading_took(deployed: Deployed) -> None:
    current_app.conf.worker_proc_alive_timeout = 100
    deployed.serve("good", "other", load_ms=60_000)
    messages = deployed.found()
    assert list(messages) == ["W008"]
    assert "100 s" in messages["W008"].msg
    assert "120 s" in messages["W008"].msg
    assert "240" in str(messages["W008"].hint)


def test_models_that_nobody_serves_are_named(deployed: Deployed) -> None:
    deployed.model("idle")
    deployed.model("broken", "timeout_s = 0")
    deployed.catalogue.publish_models([ModelEntry("elsewhere", (1,))])
    messages = deployed.found()
    assert sorted(messages) == ["W001", "W017"]
    assert messages["W017"].msg == "no worker that is ready serves 'elsewhere', 'idle'"
    deployed.serve("good", "idle", "elsewhere", state="draining")
    assert "'good'" in deployed.found()["W017"].msg


# ---------------------------------------------------------------- TensorFlow


def test_tensorflow_in_a_process_of_the_web_is_told_of(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace())
    messages = deployed.found()
    assert list(messages) == ["W011"]
    assert not messages["W011"].is_serious()


TENSORFLOW = """
import sys
from types import SimpleNamespace

sys.modules["tensorflow"] = SimpleNamespace()
sys.modules["tensorflow.python.eager.context"] = SimpleNamespace(_context=SimpleNamespace(_initialized=RUN))
"""


def test_tasks_that_only_import_tensorflow_are_fine_and_those_that_run_it_are_an_error(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("tensorflow", "tensorflow.python.eager.context"):
        monkeypatch.setitem(sys.modules, name, None)  # so that the test's are gone afterwards
        monkeypatch.delitem(sys.modules, name)
    with modules_of_apps(tmp_path_factory.mktemp("imports"), "tasks", imports=f"RUN = False{TENSORFLOW}"):
        assert deployed.found() == {}
    for name in ("tensorflow", "tensorflow.python.eager.context"):
        monkeypatch.delitem(sys.modules, name)
    with modules_of_apps(tmp_path_factory.mktemp("runs"), "tasks", runs=f"RUN = True{TENSORFLOW}"):
        messages = deployed.found()
    assert list(messages) == ["E002"]
    assert messages["E002"].is_serious()


def test_tasks_that_cannot_be_imported_here_are_a_workers_affair(
    deployed: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with modules_of_apps(tmp_path_factory.mktemp("fails"), "tasks", fails="import nothing_of_that_name"):
        assert deployed.found() == {}
