"""What ``manage.py check --deploy`` finds beside :mod:`.checks`: how the service is deployed."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery import current_app
from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.utils.module_loading import module_has_submodule

from .celery_config import broker_url
from .checks import TAG, Check, known_config
from .conf import Config, from_settings
from .connect import catalogue_store, server
from .core.errors import InvalidRepository, PredictionError
from .core.ports import CatalogueView
from .forking import tensorflow_has_run
from .repository.directory import ModelRepository, RepositoryModel
from .store.server import ServerFacts

REDIS_ANSWERS_WITHIN_S = 1.0
NAMES_SHOWN = 5


def _warning(number: str, text: str, hint: str) -> CheckMessage:
    return checks.Warning(text, hint=hint, id=f"{TAG}.{number}")


def check_anonymous(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W007."""
    config = known_config()
    if config is None or not config.allow_anonymous or from_settings("DEBUG", False):
        return []
    hint = "Unset it: then API keys and REST_FRAMEWORK's DEFAULT_AUTHENTICATION_CLASSES decide who may ask."
    return [_warning("W007", "ALLOW_ANONYMOUS lets anybody ask, and pause models", hint)]


def check_tensorflow(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W011, E002: what the project's modules do at their import, first the web's, then the workers'."""
    messages = []
    with suppress(Exception):  # Django's own checks say what is wrong with them
        import_module(from_settings("ROOT_URLCONF"))
    if "tensorflow" in sys.modules:
        text = "the project's settings, apps or URLs import TensorFlow: so does every web process"
        hint = "Import it in the functions that need it; the web needs only what workers publish."
        messages.append(_warning("W011", text, hint))
    for app in apps.get_app_configs():
        if app.label != TAG and app.module is not None and module_has_submodule(app.module, "tasks"):
            with suppress(Exception):  # a worker says so, and this may be a machine of the web
                import_module(f"{app.name}.tasks")
    if tensorflow_has_run():
        text = "the project's modules run TensorFlow at their import (an operation, a constant, a model)"
        hint = "A worker's children would hang, so it ends instead: move that code into functions."
        messages.append(checks.Error(text, hint=hint, id=f"{TAG}.E002"))
    return messages


def check_connections(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W015, W016: of the job store's Redis and of the broker."""
    config = known_config()
    if config is None:
        return []
    urls = {"REDIS_URL": config.redis_url}
    if current_app.conf.broker_url != broker_url(config.redis_url):
        urls["CELERY_BROKER_URL"] = str(current_app.conf.broker_url)
    return [message for name, url in urls.items() for message in _of_connection(name, url)]


def _of_connection(name: str, url: str) -> Iterable[CheckMessage]:
    """The URL itself may hold a password, and is not shown."""
    parts = urlsplit(url.partition(";")[0])
    if parts.scheme not in ("redis", "rediss") or _is_local(parts.hostname or ""):
        return
    query = parse_qs(parts.query)
    if not parts.password and not query.keys() & {"password", "ssl_certfile"}:
        hint = "Whoever reaches it reads and writes every job: set requirepass, or an ACL user."
        yield _warning("W015", f"{name}: {parts.hostname} is asked without a password", hint)
    if parts.scheme == "redis":
        hint = "Inputs, results and the password go readable over the network: use rediss://."
        yield _warning("W016", f"{name}: {parts.hostname} is asked without TLS", hint)


def _is_local(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host in ("", "localhost")


def check_redis(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """W008, W012 to W014, W017; W018 where Redis does not answer."""
    config = known_config()
    if config is None:
        return []
    models = _repository_models(config)
    timeouts = {model.name: model.manifest.timeout_s for model in models if not model.error}
    bounded = replace(config, redis_timeout_s=min(config.redis_timeout_s, REDIS_ANSWERS_WITHIN_S))
    try:
        facts, view = server(bounded), catalogue_store(bounded).read()
    except PredictionError as error:
        hint = "Run the check where Redis is reachable: what it asks there is left out."
        missed = _warning("W018", f"could not ask Redis: {error}", hint)
        return [*_outlived_leases(timeouts, config), missed]
    timeouts = {spec.name: spec.timeout_s for spec in view.specs} | timeouts
    return [
        *_outlived_leases(timeouts, config),
        *_of_server(facts),
        *_of_load_time(view),
        *_unserved(models, view),
    ]


def _repository_models(config: Config) -> Sequence[RepositoryModel]:
    """A machine of the web may have none."""
    with suppress(InvalidRepository):
        return ModelRepository(config.model_repository).scan()
    return ()


def _outlived_leases(timeouts: Mapping[str, float], config: Config) -> Iterator[CheckMessage]:
    for name, timeout_s in sorted(timeouts.items()):
        if timeout_s > config.lease_s:
            text = f"model {name!r}: timeout_s is {timeout_s:g}, LEASE_S is {config.lease_s:g}"
            hint = (
                "A batch that holds Python's lock for so long cannot renew its lease, and runs twice: "
                f"set LEASE_S to {timeout_s:g} or more."
            )
            yield _warning("W012", text, hint)


def _of_server(facts: ServerFacts) -> Iterator[CheckMessage]:
    if facts.eviction != "noeviction":
        hint = "When it is full it throws jobs and results away: set maxmemory-policy noeviction."
        yield _warning("W013", f"Redis' maxmemory-policy is {facts.eviction or 'unknown'}", hint)
    if not facts.appends:
        hint = "All that was accepted is lost with its next restart: set appendonly yes."
        yield _warning("W014", "Redis keeps no append-only file", hint)


def _of_load_time(view: CatalogueView) -> Iterator[CheckMessage]:
    timeout_s = current_app.conf.worker_proc_alive_timeout
    loads = (sum(status.load_ms or 0.0 for status in worker.models) / 1000 for worker in view.workers)
    load_s = max(loads, default=0.0)
    if timeout_s < load_s:
        text = f"worker_proc_alive_timeout is {timeout_s} s, but loading has taken a worker {load_s:.0f} s"
        hint = f"Replacements of dead children would be killed while they load: set {2 * load_s:.0f} or more."
        yield _warning("W008", text, hint)


def _unserved(models: Sequence[RepositoryModel], view: CatalogueView) -> Iterator[CheckMessage]:
    """Of those that jobs are, or would be, accepted for."""
    ready = [worker for worker in view.workers if worker.state == "ready"]
    served = {status.model for worker in ready for status in worker.models if status.state == "AVAILABLE"}
    known = {entry.name for entry in view.models if not entry.error}
    known |= {model.name for model in models if not model.error}
    if missing := sorted(known - served):
        more = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
        text = f"no worker that is ready serves {', '.join(map(repr, missing[:NAMES_SHOWN]))}{more}"
        hint = "Their jobs wait: start a worker (its -Q, if any, names model.NAME), or see GET /api/workers."
        yield _warning("W017", text, hint)


BEFORE_DEPLOYMENT: Sequence[Check] = (check_anonymous, check_tensorflow, check_connections, check_redis)
