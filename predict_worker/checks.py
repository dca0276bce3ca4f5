"""Django's system checks: what ``manage.py check`` finds before a worker or a request runs into it.

A model that is not right is a warning: it must not keep ``migrate`` from running. What ``--deploy`` adds
is in :mod:`predict_worker.deployment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celery import current_app
from django.apps import AppConfig, apps
from django.core import checks
from django.core.checks import CheckMessage
from django.utils.module_loading import module_has_submodule

from .celery_config import BOOT
from .conf import Config, get_config
from .core.errors import InvalidConfig, InvalidRepository
from .repository.directory import ModelRepository, RepositoryModel
from .repository.transforms import SHIPPED, Chosen

TAG = "predict_worker"
SHORTEST_ALIVE_TIMEOUT_S = 60
PICKLE = frozenset({"pickle", "application/x-python-serialize"})

Check = Callable[..., Sequence[CheckMessage]]


def known_config() -> Config | None:
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
    """W001, W002, W003, W009, W010. A machine of the web may have no repository."""
    config = known_config()
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
        if version not in model.versions:
            there = ", ".join(map(str, sorted(model.versions))) or "none"
            text = f"model {model.name!r}: label {label!r} points to version {version}, which does not exist"
            yield checks.Warning(text, hint=f"Versions that exist: {there}.", id="predict_worker.W003")
    for transform in (model.manifest.pre, model.manifest.post):
        if transform:
            yield from _of_transform(model, transform)


def _of_transform(model: RepositoryModel, transform: Chosen) -> Iterable[CheckMessage]:
    """What can be seen without importing any app's ``transforms``, as workers alone do."""
    if not transform.shipped and not any(map(_may_have_transforms, apps.get_app_configs())):
        shipped = ", ".join(name for stage in SHIPPED.values() for name in stage)
        text = f"model {model.name!r}: transform {transform.name!r} is none of {shipped}, nor is any app's"
        hint = "Register it in transforms.py of an app in INSTALLED_APPS."
        yield checks.Warning(text, hint=hint, id="predict_worker.W009")
    for version in sorted({*model.wanted, *model.labelled}):
        directory = model.versions[version]
        for file in transform.files:
            if not (directory / file).is_file() and not (directory.parent / file).is_file():
                what = f"no file {file}, which [{transform.section}] names"
                text = f"model {model.name!r}, version {version}: {what}"
                hint = "Put it beside the artefact, or beside model.toml."
                yield checks.Warning(text, hint=hint, id="predict_worker.W010")


def _may_have_transforms(app: AppConfig) -> bool:
    return app.label != TAG and app.module is not None and module_has_submodule(app.module, "transforms")


def check_celery(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W004, W005, W006."""
    if known_config() is None:
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


ALWAYS: Sequence[Check] = (check_settings, check_repository, check_celery)
