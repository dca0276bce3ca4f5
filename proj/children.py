"""Child processes that never outlive the process that started them."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def spawn(
    command: list[str],
    *,
    on_parent_death: signal.Signals = signal.SIGTERM,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own: a terminal's Ctrl-C reaches only its parent, who decides.

    Linux sends it ``on_parent_death`` when the thread that called this ends, even by SIGKILL.
    """
    return subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=_signalled_with_parent(on_parent_death),  # one system call: takes no lock
    )


def _signalled_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(number))


def stop(child: subprocess.Popen[bytes], grace_s: float) -> int:
    """SIGTERM, after ``grace_s`` SIGKILL; returns the exit code as the shell counts it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return exit_code(child)


def exit_code(child: subprocess.Popen[bytes]) -> int:
    """128 + the signal's number for a child that a signal ended."""
    return child.returncode if child.returncode >= 0 else 128 - child.returncode
