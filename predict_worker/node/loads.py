"""Loads that end their process: what a child must know of those before it. Memory shared across the fork."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CHILD = struct.Struct("q88s")  # process, version that it is loading: NAME/VERSION, 83 characters at most
_MODEL = struct.Struct("88sqd")  # NAME/VERSION, deaths in a row, moment until which it is left alone
_MAX_MODELS = 256

MAX_DEATHS = 3
LEFT_ALONE_S = 60.0
_TURN_S = 0.1


class Loads:
    """One for a node, to be made before the fork. Children are told apart by their index in the pool."""

    def __init__(self, max_children: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._models = _CHILD.size * max_children
        self._memory = mmap.mmap(-1, self._models + _MODEL.size * _MAX_MODELS)
        self._turn, path = tempfile.mkstemp()  # what the system locks must be a file, if one without a name
        Path(path).unlink()
        weakref.finalize(self, os.close, self._turn)

    @contextmanager
    def loading(self, index: int, name: str) -> Iterator[None]:
        """Around a load, in the child. Only one that returns is noted as over."""
        _CHILD.pack_into(self._memory, _CHILD.size * index, os.getpid(), name.encode("ascii"))
        yield
        _CHILD.pack_into(self._memory, _CHILD.size * index, 0, b"")
        at = self._find(name)
        if at is not None:
            self._write(at, name, 0, 0.0)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One process of the node at a time, unless another takes too long; one that dies gives its turn
        back."""
        until = time.monotonic() + LEFT_ALONE_S
        while time.monotonic() < until:
            try:
                fcntl.lockf(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(_TURN_S)
        try:
            yield
        finally:
            fcntl.lockf(self._turn, fcntl.LOCK_UN)

    def died(self, indexes: Iterable[int], alive: Collection[int]) -> list[tuple[int, str]]:
        """In the parent: indexes and models of children that have died of a load since the last call; their
        deaths are counted. ``alive`` holds the pool's processes."""
        found: list[tuple[int, str]] = []
        for index in indexes:
            pid, raw = _CHILD.unpack_from(self._memory, _CHILD.size * index)
            if pid and pid not in alive:
                _CHILD.pack_into(self._memory, _CHILD.size * index, 0, b"")
                found.append((index, _text(raw)))
        for _, name in found:
            self._count(name)
        return found

    def _count(self, name: str) -> None:
        at = self._find(name)
        if at is None:
            at = self._find("")
        if at is not None:
            self._write(at, name, self._read(at)[1] + 1, self._monotonic() + LEFT_ALONE_S)

    def deaths(self, name: str, tolerated: int = MAX_DEATHS - 1) -> int:
        """How many loads in a row ended their process, if so many that it is left alone for now; else 0."""
        at = self._find(name)
        if at is None:
            return 0
        _, deaths, until = self._read(at)
        return deaths if deaths > tolerated and self._monotonic() < until else 0

    def _find(self, name: str) -> int | None:
        """Where a model is; of the empty name, where there is room for one."""
        ends = self._models + _MODEL.size * _MAX_MODELS
        places = range(self._models, ends, _MODEL.size)
        return next((at for at in places if self._read(at)[0] == name), None)

    def _read(self, at: int) -> tuple[str, int, float]:
        raw, deaths, until = _MODEL.unpack_from(self._memory, at)
        return _text(raw), deaths, until

    def _write(self, at: int, name: str, deaths: int, until: float) -> None:
        _MODEL.pack_into(self._memory, at, name.encode("ascii"), deaths, until)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("ascii")
