"""Django's system checks: what ``manage.py check`` finds before a worker or a request runs into it.

A model that is not right is a warning: it must not keep ``migrate`` from running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from celery import current_app
from django.core import checks
from django.core.checks import CheckMessage

from .celery_config import BOOT
from .conf import Config, from_settings, get_config
from .connect import catalogue_store
from .core.errors import InvalidConfig, InvalidRepository, PredictionError
from .repository.directory import ModelRepository, RepositoryModel

TAG = "predict_worker"
SHORTEST_ALIVE_TIMEOUT_S = 60
REDIS_ANSWERS_WITHIN_S = 0.25
PICKLE = frozenset({"pickle", "application/x-python-serialize"})

Check = Callable[..., Sequence[CheckMessage]]


def _config() -> Config | None:
    """None: :func:`check_settings` says why."""
    try:
        return get_config()
    except InvalidConfig:
        return None


def check_settings(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """E001."""
    try:
        get_config()
    except InvalidConfig as error:
        hint = "Correct it in the setting PREDICT_WORKER or in the environment."
        return [checks.Error(error.detail, hint=hint, id="predict_worker.E001")]
    return []


def check_repository(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W001, W002, W003. A machine of the web may have no repository."""
    config = _config()
    if config is None or not config.model_repository.is_dir():
        return []
    try:
        models = ModelRepository(config.model_repository).scan()
    except InvalidRepository as error:
        hint = "Let this user read the directory."
        return [checks.Warning(error.detail, hint=hint, id="predict_worker.W001")]
    return [message for model in models for message in _of_model(model)]


def _of_model(model: RepositoryModel) -> Iterable[CheckMessage]:
    if model.error:
        hint = "No worker will serve it until this is corrected, or its directory moved elsewhere."
        yield checks.Warning(f"model {model.name!r}: {model.error}", hint=hint, id="predict_worker.W001")
        return
    for version, error in sorted(model.refused.items()):
        hint = "The other versions are served; correct this one or remove it."
        text = f"model {model.name!r}, version {version}: {error}"
        yield checks.Warning(text, hint=hint, id="predict_worker.W002")
    for label, version in sorted(model.manifest.labels.items()):
        if version not in model.wanted:
            what = "is not served: see [versions]" if version in model.versions else "does not exist"
            served = ", ".join(map(str, model.wanted)) or "none"
            text = f"model {model.name!r}: label {label!r} points to version {version}, which {what}"
            yield checks.Warning(text, hint=f"Versions that are served: {served}.", id="predict_worker.W003")


def check_celery(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W004, W005, W006."""
    if _config() is None:
        return []
    conf = current_app.conf
    if BOOT not in (*conf.imports, *conf.include):
        hint = (
            "Write app.add_defaults(celery_defaults) beside the Celery app, and import that app in the "
            "project's __init__.py."
        )
        text = f"the Celery app {current_app.main!r} of this process does not know the predictions' settings"
        return [checks.Warning(text, hint=hint, id="predict_worker.W004")]
    messages: list[CheckMessage] = []
    if conf.worker_proc_alive_timeout < SHORTEST_ALIVE_TIMEOUT_S:
        text = f"worker_proc_alive_timeout is {conf.worker_proc_alive_timeout} s"
        hint = "A worker's child that loads its models for longer is killed, again and again: set 600."
        messages.append(checks.Warning(text, hint=hint, id="predict_worker.W005"))
    if not PICKLE.isdisjoint((*conf.accept_content, *(conf.result_accept_content or ()))):
        hint = "Whoever can write to the broker can run code in the workers: accept json alone."
        messages.append(checks.Warning("Celery accepts pickle", hint=hint, id="predict_worker.W006"))
    return messages


def check_anonymous(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W007, with ``--deploy``."""
    config = _config()
    if config is None or not config.allow_anonymous or from_settings("DEBUG", False):
        return []
    hint = "Unset it, and let REST_FRAMEWORK's DEFAULT_AUTHENTICATION_CLASSES decide who may ask."
    return [checks.Warning("ALLOW_ANONYMOUS lets anybody ask", hint=hint, id="predict_worker.W007")]


def check_load_time(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W008, with ``--deploy``: it asks Redis, and says nothing where that does not answer at once."""
    config = _config()
    if config is None:
        return []
    try:
        workers = catalogue_store(replace(config, redis_timeout_s=REDIS_ANSWERS_WITHIN_S)).read().workers
    except PredictionError:
        return []
    loads = (sum(status.load_ms or 0.0 for status in worker.models) / 1000 for worker in workers)
    return list(_shorter_than(max(loads, default=0.0)))


def _shorter_than(load_s: float) -> Iterable[CheckMessage]:
    timeout_s = current_app.conf.worker_proc_alive_timeout
    if timeout_s < load_s:
        text = f"worker_proc_alive_timeout is {timeout_s} s, but loading has taken a worker {load_s:.0f} s"
        hint = f"Replacements of dead children would be killed while they load: set {2 * load_s:.0f} or more."
        yield checks.Warning(text, hint=hint, id="predict_worker.W008")


ALWAYS: Sequence[Check] = (check_settings, check_repository, check_celery)
BEFORE_DEPLOYMENT: Sequence[Check] = (check_anonymous, check_load_time)
