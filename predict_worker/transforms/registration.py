"""Transforms by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..codec.dtypes import Array
from ..core.errors import ModelLoadError
from ..core.spec import Signature, TensorSpec
from ..repository.transforms import POST, PRE

Arrays = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Transform:
    """``specs``: what callers send (pre) or get (post). ``convert``: the arrays of one job by name, from
    ``specs`` to the model's inputs (pre), or from the model's outputs to ``specs`` (post).

    Rows stay rows: as many come out as went in. It raises InvalidRequest for what is the caller's fault;
    the job then fails alone, as with any other error.
    """

    specs: tuple[TensorSpec, ...]
    convert: Callable[[Arrays], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Options:
    """The section of ``model.toml`` that is called as the transform, and the files it may name.

    ``directories``: where these are looked for, in this order.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    directories: tuple[Path, ...] = ()

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def path(self, name: str) -> Path:
        """A file of that name beside the model's artefact, else beside its ``model.toml``.

        Raises ModelLoadError.
        """
        for directory in self.directories:
            if (directory / name).is_file():
                return directory / name
        raise ModelLoadError(f"no file {name} beside the model")

    def lines(self, name: str) -> list[str]:
        """Of a text file in UTF-8, without line ends. Raises ModelLoadError."""
        try:
            text = self.path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelLoadError(f"{name}: {error}") from error
        return text.removesuffix("\n").split("\n")  # read_text has made one kind of line end of all


Factory = Callable[[Signature, Options], Transform]
"""Makes a transform for a model's own signature, once, when the model is loaded. What it raises is why the
model cannot be loaded."""

_registered: dict[tuple[str, str], Factory] = {}


def pre(name: str) -> Callable[[Factory], Factory]:
    """Register a transform of what callers send to what the model takes."""
    return _register(PRE, name)


def post(name: str) -> Callable[[Factory], Factory]:
    """Register a transform of what the model answers to what callers get."""
    return _register(POST, name)


def _register(stage: str, name: str) -> Callable[[Factory], Factory]:
    def register(factory: Factory) -> Factory:
        other = _registered.get((stage, name), factory)
        if _place(other) != _place(factory):
            raise ValueError(f"a {stage}-transform {name!r} is registered already, by {_place(other)}")
        _registered[stage, name] = factory
        return factory

    return register


def _place(factory: Factory) -> str:
    return f"{factory.__module__}.{getattr(factory, '__qualname__', '')}"


def registered(stage: str) -> Mapping[str, Factory]:
    """By name."""
    return {name: factory for (of, name), factory in _registered.items() if of == stage}


def find_registered(stage: str, name: str) -> Factory:
    """Raises ModelLoadError, with the names that there are."""
    known = registered(stage)
    if name not in known:
        raise ModelLoadError(f"no {stage}-transform {name!r} is registered; there are {', '.join(known)}")
    return known[name]
