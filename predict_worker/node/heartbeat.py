"""The parent's sign of life: the age of a file. Whoever asks starts no Python, and asks no Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..core.errors import InvalidConfig

log = logging.getLogger(__name__)

BEAT_S = 1.0
SILENT_S = 10.0
"""A loop that has not turned for so long hangs."""


class Heartbeat:
    """Touches its file (None: there is none) once a second, unless the event loop hangs.

    Without a broker there is no loop to turn, nor while the node drains: neither is mended by a restart.
    """

    def __init__(self, path: Path | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._monotonic = path, monotonic
        self._turned: float | None = None

    def start(self) -> None:
        """Raises InvalidConfig if the file cannot be written."""
        if self._path is None:
            return
        try:
            self._path.touch()
        except OSError as error:
            raise InvalidConfig(f"HEARTBEAT_FILE: expected a file that can be written: {error}") from None
        threading.Thread(target=self._run, args=[self._path], name="heartbeat", daemon=True).start()

    def turned(self) -> None:
        """The loop turns, and is expected to go on."""
        self._turned = self._monotonic()

    def left(self) -> None:
        """The loop is left, on purpose or for want of a broker."""
        self._turned = None

    def alive(self) -> bool:
        turned = self._turned
        return turned is None or self._monotonic() - turned <= SILENT_S

    def _run(self, path: Path) -> None:
        while True:
            time.sleep(BEAT_S)
            if self.alive():
                try:
                    path.touch()
                except OSError as error:
                    log.warning("no heartbeat: %s", error)
