"""What parent and children must know of each other even when one hangs: memory shared across the fork."""

from __future__ import annotations

import mmap
import struct
import time

from .loads import Loads

_CHILD = struct.Struct("dq")  # moment when its batch must be over; starts in a row, none of them over
_ERROR = struct.Struct("240s")
_HEAD = 8
MAX_CHILDREN = 4096


class Board:
    """One for a node, to be made before the fork. Children are told apart by their index in the pool.

    Moments are of the monotonic clock, which all processes of a host share.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD + _CHILD.size * MAX_CHILDREN)
        self._errors = mmap.mmap(-1, _ERROR.size * MAX_CHILDREN)
        self.loads = Loads(MAX_CHILDREN)

    @property
    def draining(self) -> bool:
        """The node is shutting down: finish the batch, take no other."""
        return self._memory[0] != 0

    def drain(self) -> None:
        self._memory[0] = 1

    def limit(self, index: int, timeout_s: float) -> None:
        """The batch that starts now must be over in that time."""
        self._write(index, time.monotonic() + timeout_s, 0)

    def clear(self, index: int) -> None:
        """No batch runs; the child is well."""
        self._write(index, 0.0, 0)

    def end(self, index: int) -> None:
        """The child is dead: its batch is over, its starts stay counted."""
        self._write(index, 0.0, self._read(index)[1])

    def overdue(self, index: int) -> bool:
        return 0.0 < self._read(index)[0] < time.monotonic()

    def starting(self, index: int) -> None:
        """A start that no :meth:`clear` follows has failed, also one that a signal ended."""
        self._write(index, 0.0, self._read(index)[1] + 1)

    def failed(self, index: int, error: str) -> None:
        """Why a start has failed, as far as the child itself could tell."""
        _ERROR.pack_into(self._errors, index * _ERROR.size, error.encode())

    def error(self, index: int) -> str:
        """Of the last start that could tell."""
        (raw,) = _ERROR.unpack_from(self._errors, index * _ERROR.size)
        return str(raw.rstrip(b"\0").decode(errors="ignore"))

    def forgive(self, index: int) -> None:
        """A failed start does not count: its cause is known, and dealt with."""
        until, starts = self._read(index)
        self._write(index, until, max(0, starts - 1))

    def failed_starts(self, index: int) -> int:
        """How many there were in a row, less the one under way."""
        return max(0, self._read(index)[1] - 1)

    def _read(self, index: int) -> tuple[float, int]:
        until, failures = _CHILD.unpack_from(self._memory, _HEAD + index * _CHILD.size)
        return until, failures

    def _write(self, index: int, until: float, failures: int) -> None:
        _CHILD.pack_into(self._memory, _HEAD + index * _CHILD.size, until, failures)
