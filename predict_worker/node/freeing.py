"""Memory of what was unloaded, given back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def free() -> None:
    """Models hold themselves in cycles, and the C library keeps what it has freed for the next to ask."""
    gc.collect()
    with suppress(OSError, AttributeError):  # a C library that keeps nothing
        ctypes.CDLL(None).malloc_trim(0)
