"""A short run in every build; ``make chaos`` runs long ones with other seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.ledger import Ledger
from tests.chaos.run import chaos, table
from tests.system.models import make_models

SEED, SECONDS = 7, 40.0


@pytest.mark.timeout(400)
def test_nothing_is_lost_doubled_or_wrong_whatever_is_killed(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    result = chaos(tmp_path / "stack", make_models(tmp_path / "models"), SECONDS, SEED)
    print(table(result))
    assert result["accepted"] > 200
    assert sum(result["kills"].values()) >= 10
    assert (result["lost"], result["duplicated"], result["wrong"]) == (0, 0, 0), table(result)
    assert result["succeeded"] == result["accepted"], table(result)


def job(job_id: str, state: str, y: float = 2.5, at: str = "1") -> dict[str, object]:
    return {"id": job_id, "state": state, "finished_at": at, "error": None, "outputs": {"y": [[y, 2.0]]}}


def test_the_ledger_sees_what_is_lost_doubled_or_wrong() -> None:
    ledger = Ledger()
    for key in ("good", "lost", "two jobs", "two ends", "came back", "wrong", "unknown"):
        ledger.asked(key, 1.0)
    ledger.saw("good", job("a", "queued"))
    ledger.saw("good", job("a", "succeeded"))
    ledger.saw("lost", job("b", "queued"))
    ledger.saw("two jobs", job("c", "succeeded"))
    ledger.saw("two jobs", job("d", "succeeded"))
    ledger.saw("two ends", job("e", "succeeded"))
    ledger.saw("two ends", job("e", "failed"))
    ledger.saw("came back", job("f", "succeeded"))
    ledger.saw("came back", job("f", "running"))
    ledger.saw("wrong", job("g", "succeeded", y=3.0))
    counts = ledger.counts()
    assert (counts["accepted"], counts["lost"], counts["duplicated"], counts["wrong"]) == (6, 1, 3, 1)
    assert {key for key, _ in ledger.odd()} == {"lost", "two jobs", "two ends", "came back", "wrong"}
