"""The run: ``python -m tests.chaos.run --minutes 10 --seed 7``; writes ``chaos.json`` and prints a table."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.system.models import make_models
from tests.system.stack import Stack

from .callers import Callers, settle
from .killer import Killer
from .ledger import Ledger

SETTLE_S = 120.0
SETTINGS = {
    "PREDICT_WORKER_LEASE_S": "6",  # so that the frozen are taken for dead within the run
    "PREDICT_WORKER_RESULT_TTL_S": "86400",
    "PREDICT_WORKER_DELIVERED_TTL_S": "86400",
    "LOG_LEVEL": "WARNING",
}


def chaos(folder: Path, models: Path, seconds: float, seed: int, callers: int = 8) -> dict[str, Any]:
    """Counts as in :meth:`Ledger.counts`, ``kills`` by kind, and ``odd``: what to look at."""
    ledger, rng = Ledger(), random.Random(seed)
    stack = Stack(folder, models, **SETTINGS)
    try:
        killer = Killer(stack, rng)
        crowd = Callers(f"http://127.0.0.1:{stack.port}", ledger, callers, seed)
        until = time.monotonic() + seconds
        crowd.start()
        while time.monotonic() < until:
            time.sleep(rng.uniform(0.5, 3.0))  # the schedule of the kills, which the seed decides
            killer.strike()
        killer.rest()
        crowd.stop()
        settle(f"http://127.0.0.1:{stack.port}", ledger, SETTLE_S)
    finally:
        stack.close()
    odd = [f"{key}: {entry}" for key, entry in ledger.odd()]
    return {**ledger.counts(), "kills": dict(killer.kills), "seed": seed, "seconds": seconds, "odd": odd}


def table(result: dict[str, Any]) -> str:
    names = [name for name in result if name not in ("kills", "odd")]
    lines = [f"{name:>14} {result[name]}" for name in names]
    lines += [f"{'killed: ' + kind:>24} {count}" for kind, count in sorted(result["kills"].items())]
    return "\n".join([*lines, *result["odd"][:20]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="keep logs and data in this folder")
    parser.add_argument("--out", type=Path, default=Path("chaos.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        (folder / "stack").mkdir(parents=True)
        models = make_models(folder / "models")
        result = chaos(folder / "stack", models, given.minutes * 60, given.seed)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    sys.exit(bool(result["lost"] or result["duplicated"] or result["wrong"]))


if __name__ == "__main__":
    main()
