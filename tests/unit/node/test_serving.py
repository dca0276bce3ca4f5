"""Jobs of a version that is not loaded here."""

from __future__ import annotations

from typing import Any

import pytest

from predict_worker.codec import Columnar, pack_raw
from predict_worker.core.errors import ModelNotFound
from predict_worker.core.ports import Entry
from predict_worker.node.counting import Counts
from predict_worker.node.serving import AWAITED_S, Awaited, Loaded
from predict_worker.node.shadow import Shadow
from tests.unit.models import loaded

PAYLOAD = pack_raw(Columnar([[1.0, 2.0]]))


class Registry:
    """Holds version 1 alone."""

    def versions(self, name: str) -> tuple[int, ...]:
        return (1,)

    def get(self, name: str, version: int | None) -> Any:
        if version not in (None, 1):
            raise ModelNotFound(f"{name}, version {version}, is not loaded")
        return loaded()[0]


def entry(name: str, version: int | None, *, pinned: bool = False, postponed: int = 0) -> Entry:
    return Entry(
        name, name, 0, 1, version, pinned, "serving_default", (), 1, 0.0, PAYLOAD, postponed=postponed
    )


def no_shadow(name: str) -> None:
    return None


def served(*entries: Entry, awaited: bool) -> list[Any]:
    registry: Any = Registry()
    outcomes = Loaded(
        registry, "m", lambda version, postponed: awaited, Shadow(registry, no_shadow), Counts()
    ).run(entries)
    assert [outcome.entry for outcome in outcomes] == list(entries)
    return outcomes


def test_job_whose_version_is_awaited_runs_later_and_the_others_now() -> None:
    now, later, any_version = served(entry("a", 1), entry("b", 2), entry("c", None), awaited=True)
    assert (now.version, any_version.version) == (1, 1)
    assert (later.retry_in_s, later.postponed) == (AWAITED_S[0], True)
    assert (later.error.code, later.error.detail) == (
        "model_loading",
        "m, version 2, was not loaded here yet",
    )


def test_version_that_nobody_will_have_is_gone_for_who_named_it() -> None:
    named, other = served(entry("a", 2, pinned=True), entry("b", 2), awaited=False)
    assert named.error.code == "version_gone"
    assert (other.error, other.version) == (None, 1)


@pytest.mark.parametrize(("postponed", "pause_s"), [(0, 0.1), (1, 0.2), (5, 3.2), (6, 5.0), (999, 5.0)])
def test_pauses_grow(postponed: int, pause_s: float) -> None:
    (later,) = Awaited("m").run([entry("a", None, postponed=postponed)])
    assert later.retry_in_s == pause_s
