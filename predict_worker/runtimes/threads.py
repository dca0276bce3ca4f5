"""How many threads a child's numeric libraries may use, so that children do not fight for cores."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLES = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
ONE = "TF_NUM_INTEROP_THREADS"
"""Operations side by side: a child runs one batch at a time, and a second thread that looks for work costs
more than small models' branches gain. Threads within an operation are what large ones use."""
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cores(cpu_max: Path = _CPU_MAX) -> int:
    """Cores that this process may use: its CPU affinity, and its container's quota (rounded down)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota_us, period_us = cpu_max.read_text("ascii").split()
        return max(1, min(affinity, int(quota_us) // int(period_us)))
    except (OSError, ValueError):  # no cgroup version 2, or the quota is "max"
        return affinity


def threads_per_child(children: int) -> int:
    return max(1, cores() // children)


def set_threads(threads: int) -> None:
    """Before the first operation of a library, which reads these variables then. What the
    environment already says stays."""
    os.environ.setdefault(ONE, "1")
    for name in VARIABLES:
        os.environ.setdefault(name, str(threads))


def threads() -> int:
    """As many as the environment says, for libraries that do not look there themselves."""
    return int(os.environ.setdefault("OMP_NUM_THREADS", str(cores())))
