"""The transforms of the installed apps."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from ..core.errors import ModelLoadError
from .registration import Factory, find_registered, registered

log = logging.getLogger(__name__)


def find(stage: str, name: str) -> Factory:
    """As registered by us, else by an app: their modules are imported when a model first asks for one of
    them. Raises ModelLoadError, with the modules that could not be imported."""
    if name in registered(stage):
        return registered(stage)[name]
    broken = import_all()
    try:
        return find_registered(stage, name)
    except ModelLoadError as error:
        raise ModelLoadError("; ".join((error.detail, *broken))) from None


@cache
def import_all() -> tuple[str, ...]:
    """Import every app's ``transforms``, once in a process; returns what is wrong with those that fail."""
    broken = []
    for app in apps.get_app_configs():
        if app.module is None or not module_has_submodule(app.module, "transforms"):
            continue
        module = f"{app.name}.transforms"
        try:
            import_module(module)
        except Exception as error:  # one app's mistake is not the others'
            log.exception("%s cannot be imported", module)
            broken.append(f"{module} cannot be imported: {type(error).__name__}: {error}")
    return tuple(broken)
