"""Celery's settings: what a project gets, and what it may overrule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from django.test import override_settings

from predict_worker.celery_config import CELERY_DEFAULTS, broker_url, celery_defaults
from predict_worker.wakeup import PREDICT


@pytest.fixture(autouse=True)
def no_broker_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)


@pytest.mark.parametrize(
    ("redis_url", "expected"),
    [
        ("redis://:secret@host:6380/2", "redis://:secret@host:6380/2"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("unix://:secret@/run/redis.sock", "redis+socket://:secret@/run/redis.sock?virtual_host=0"),
    ],
)
def test_broker_url_is_the_same_redis_in_kombus_spelling(redis_url: str, expected: str) -> None:
    assert broker_url(redis_url) == expected


@pytest.fixture
def configured() -> Callable[[], Celery]:
    def configured() -> Celery:
        app = Celery("foreign", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.add_defaults(celery_defaults)
        return app

    return configured


def test_settings_of_the_project_win_over_the_defaults(configured: Callable[[], Celery]) -> None:
    with override_settings(CELERY_WORKER_PREFETCH_MULTIPLIER=5):
        conf = configured().conf
        assert conf.worker_prefetch_multiplier == 5
        assert conf.worker_proc_alive_timeout == 600
        assert conf.imports == ("predict_worker.boot",)


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("shop.tasks", ("shop.tasks", "predict_worker.boot")),
        (["shop.tasks", "shop.more"], ("shop.tasks", "shop.more", "predict_worker.boot")),
    ],
)
def test_imports_of_the_project_stay(
    configured: Callable[[], Celery], imports: object, expected: tuple[str, ...]
) -> None:
    with override_settings(CELERY_IMPORTS=imports):
        assert configured().conf.imports == expected


@pytest.mark.parametrize(
    "routes",
    [
        {"shop.*": {"queue": "slow"}},
        [{"shop.*": {"queue": "slow"}}],
        lambda name, *_, **__: {"queue": "slow"} if name.startswith("shop.") else None,
    ],
)
def test_routes_of_the_project_stay_and_come_first(configured: Callable[[], Celery], routes: object) -> None:
    with override_settings(CELERY_TASK_ROUTES=routes):
        route = configured().amqp.router.route
        assert route({}, "shop.notify", ("half",))["queue"].name == "slow"
        assert route({}, PREDICT, ("half",))["queue"].name == "model.half"
        assert route({}, "other.task", ("half",))["queue"].name == "celery"


def test_results_of_the_projects_own_tasks_are_kept(configured: Callable[[], Celery]) -> None:
    with override_settings(CELERY_RESULT_BACKEND="cache+memory://"):
        conf = configured().conf
        assert conf.result_backend == "cache+memory://"
        assert not conf.task_ignore_result


def test_the_job_stores_redis_is_the_broker_unless_another_is_named(configured: Callable[[], Celery]) -> None:
    with override_settings(PREDICT_WORKER={"REDIS_URL": "unix:///run/redis.sock"}):
        assert configured().conf.broker_url == "redis+socket:///run/redis.sock?virtual_host=0"
        with override_settings(CELERY_BROKER_URL="amqp://host//"):
            assert configured().conf.broker_url == "amqp://host//"


def test_every_default_is_a_setting_that_celery_knows() -> None:
    assert CELERY_DEFAULTS.keys() <= {option[0] for option in flatten(NAMESPACES)}
