"""Installed apps that are made for a test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from django.conf import settings
from django.test import override_settings


def installed(folder: Path, **transforms: str) -> AbstractContextManager[None]:
    """Meanwhile there is an app for each name, with that text as its ``transforms.py``."""
    return modules_of_apps(folder, "transforms", **transforms)


@contextmanager
def modules_of_apps(folder: Path, module: str, **texts: str) -> Iterator[None]:
    """Meanwhile there is an app for each name, with that text as its module."""
    for name, text in texts.items():
        package = folder / name
        package.mkdir()
        (package / "__init__.py").touch()
        (package / f"{module}.py").write_text(text)
    importlib.invalidate_caches()
    with ExitStack() as stack:
        sys.path.insert(0, str(folder))
        stack.callback(sys.path.remove, str(folder))
        for name in texts:
            stack.callback(sys.modules.pop, name, None)
            stack.callback(sys.modules.pop, f"{name}.{module}", None)
        apps = [*settings.INSTALLED_APPS, *texts]
        stack.enter_context(override_settings(INSTALLED_APPS=apps))
        yield
