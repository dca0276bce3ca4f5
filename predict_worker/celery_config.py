"""Celery settings that predictions need, for the app of any project.

    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.add_defaults(celery_defaults)

``CELERY_…`` of Django's settings win over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from .conf import from_settings, get_config
from .wakeup import route_predict

BOOT = "predict_worker.boot"
"""By name: only workers import it, never the web."""

CELERY_DEFAULTS: Mapping[str, Any] = {
    # Jobs and results live in the job store.
    "result_backend": None,
    "task_create_missing_queues": True,
    "accept_content": ("json",),
    "task_serializer": "json",
    "result_serializer": "json",
    # A child takes one wake-up at a time and leaves the others to its neighbours.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_pool": "prefork",
    # A child that loads for longer than this is killed; the default of 4 s would kill every replacement.
    "worker_proc_alive_timeout": 600,
    # Heartbeats in the store say more and cost less; with it on, a lost broker can kill the parent.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    # A worker outlives its broker's absence, however long.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A publish fails within two seconds instead of hanging: the sweeper sends lost wake-ups again. One retry,
    # at once, because a pooled connection may be one that the broker closed meanwhile.
    "broker_pool_limit": 16,
    "broker_pool_acquire_timeout": 1.0,
    "task_publish_retry": True,
    "task_publish_retry_policy": dict.fromkeys(("interval_start", "interval_step", "interval_max"), 0)
    | {"max_retries": 1},
    "broker_transport_options": {
        "socket_timeout": 0.6,
        "socket_connect_timeout": 1.0,
        "socket_keepalive": True,
        "retry_on_timeout": False,
        "max_retries": 0,  # of connecting, inside one attempt to publish
    },
}


def celery_defaults() -> dict[str, Any]:
    """``CELERY_DEFAULTS`` and the job store's Redis as the broker, less what the project decides itself.

    What ``add_defaults`` takes would win over ``CELERY_…`` of Django's settings: those are left out,
    but for the project's ``imports`` and ``task_routes``, to which ours are added.
    """
    defaults = {**CELERY_DEFAULTS, "broker_url": broker_url(get_config().redis_url)}
    return {
        **{name: value for name, value in defaults.items() if _named(name, _UNNAMED) is _UNNAMED},
        "imports": (*_listed(_named("imports")), BOOT),
        "task_routes": (*_listed(_named("task_routes")), route_predict),
    }


_UNNAMED = object()


def _named(name: str, default: Any = None) -> Any:
    return from_settings(f"CELERY_{name.upper()}", default)


def _listed(given: Any) -> Sequence[Any]:
    """A setting of which Celery takes one or several."""
    if given is None:
        return ()
    return given if isinstance(given, (list, tuple)) else (given,)


def broker_url(redis_url: str) -> str:
    """The same Redis as kombu spells it: ``unix:///path?db=1`` is ``redis+socket:///path?virtual_host=1``."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    query = dict(parse_qsl(parts.query))
    database = query.pop("db", "0")
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    path = quote(unquote(parts.path))
    return f"redis+socket://{login}{path}?{urlencode({'virtual_host': database, **query})}"
