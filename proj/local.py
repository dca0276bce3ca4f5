"""What this checkout keeps beside itself, in the folder ``var``."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"


def secret_key(folder: Path = VAR) -> str:
    """This checkout's own key, made at the first call and readable by its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret_key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()
