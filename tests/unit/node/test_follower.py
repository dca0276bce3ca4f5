"""What is loaded follows the repository."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predict_worker.catalogue import Catalogue
from predict_worker.core.errors import ModelLoadError
from predict_worker.core.ports import Heartbeat, VersionStatus
from predict_worker.node.follower import AGAIN_S, GRACE_S, Follower
from predict_worker.node.loads import MAX_DEATHS, Loads
from predict_worker.node.served import Served
from predict_worker.registry import ModelRegistry
from predict_worker.repository.directory import ModelRepository
from predict_worker.store.memory_catalogue import MemoryCatalogue
from tests.unit.models import FunctionRunnable


class Texts:
    """A runtime for which an artefact is what its file says: ``broken`` does not load."""

    def __init__(self) -> None:
        self.loading: Callable[[], object] = lambda: None

    def __call__(self, kind: str) -> Texts:
        return self

    def load(self, artefact: Any, manifest: Any) -> FunctionRunnable:
        self.loading()
        if (artefact.path / "saved_model.pb").read_text() == "broken":
            raise ModelLoadError("file is truncated")
        return FunctionRunnable()


class Scene:
    """A child that serves all of a repository, beside other children of which a test says what they hold."""

    def __init__(self, root: Path, only: list[str] | None = None) -> None:
        self.root, self.now = root, 100.0
        self.runtime, self.loads = Texts(), Loads(4)
        self.served = Served(ModelRepository(root), only)
        self.registry = ModelRegistry(self.served.repository, self.runtime)
        self.store = MemoryCatalogue()
        self.shown: list[tuple[VersionStatus, ...]] = []
        self.swaps: list[tuple[Any, ...]] = []
        self.follower = self.make()

    def make(self) -> Follower:
        return Follower(
            self.served,
            self.registry,
            Catalogue(self.store, max_age_s=-1),
            self.loads,
            0,
            changed=self.beat,
            swapped=lambda *facts: self.swaps.append(facts),
            clock=lambda: self.now,
        )

    def put(self, name: str, content: str = "fine") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def start(self) -> None:
        self.served.scan()
        self.follower.start()
        self.beat()

    def beat(self) -> None:
        self.shown.append(self.follower.statuses)
        self.store.beat(Heartbeat("n1:1", "host", 1, "ready", 0, self.follower.statuses), 60)

    def other(self, *versions: int) -> None:
        held = tuple(VersionStatus("m", version, "AVAILABLE") for version in versions)
        self.store.beat(Heartbeat("n2:1", "host", 1, "ready", 0, held), 60)

    def turn(self, times: int = 2) -> None:
        """As many turns as a change needs to be taken."""
        for _ in range(times):
            self.follower.turn()

    def turn_later(self, seconds: float = GRACE_S) -> None:
        self.turn(1)
        self.now += seconds
        self.turn(1)

    @property
    def states(self) -> list[tuple[int, str]]:
        return [(s.version, s.state) for s in self.follower.statuses if s.model == "m"]

    def error(self, version: int) -> str:
        return next(s.error for s in self.follower.statuses if s.version == version)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.put("m/1/saved_model.pb")
    return scene


# ---------------------------------------------------------------- at the start


def test_versions_to_serve_are_loaded_at_the_start(scene: Scene) -> None:
    scene.put("m/model.toml", "[versions]\ncount = 2\n[labels]\nold = 1")
    for version in (2, 3, 4):
        scene.put(f"m/{version}/saved_model.pb")
    scene.start()
    assert scene.registry.versions("m") == (1, 3, 4), "a version that a label points to is served"
    assert scene.registry.get("m", None).spec.version == 4
    scene.turn()
    assert scene.registry.loads == 3


def test_model_that_fails_to_load_fails_alone(scene: Scene) -> None:
    scene.put("bad/1/saved_model.pb", "broken")
    scene.put("typo/1/saved_model.pb")
    scene.put("typo/model.toml", "timeout = 3")
    scene.put("twice/1/a.keras")
    scene.put("twice/1/b.keras")
    scene.put("spelled/1/saved_model.pb")
    scene.put("spelled/01/saved_model.pb")
    scene.start()
    states = {s.model: (s.version, s.state, s.error) for s in scene.follower.statuses}
    assert states.pop("m") == (1, "AVAILABLE", "")
    assert states["bad"] == (1, "END", "bad, version 1: file is truncated")
    assert states["typo"][:2] == (0, "END")
    assert "unknown key 'timeout'" in states["typo"][2]
    assert states["twice"][:2] == (1, "END")
    assert states["spelled"] == (0, "END", "01/ and 1/ are one version")
    assert scene.registry.names() == ("m",)


def test_model_that_is_named_and_absent_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ["absent"])
    scene.start()
    assert scene.follower.why_not("absent") == "version 0: no model 'absent' in the repository of this worker"


def test_older_version_stands_in_for_one_that_does_not_load(scene: Scene) -> None:
    scene.put("m/2/saved_model.pb", "broken")
    scene.start()
    assert scene.states == [(1, "AVAILABLE"), (2, "END")]
    assert scene.registry.get("m", None).spec.version == 1


# ---------------------------------------------------------------- the new


def test_new_version_is_loaded_beside_the_old_one_and_answers(scene: Scene) -> None:
    scene.start()
    scene.put("m/2/saved_model.pb")
    scene.turn(1)
    assert scene.registry.versions("m") == (1,), "it may be half copied"
    scene.runtime.loading = lambda: scene.shown.append(scene.follower.statuses)
    scene.turn(1)
    assert scene.registry.versions("m") == (1, 2)
    assert scene.registry.get("m", None).spec.version == 2
    assert [(s.version, s.state) for s in scene.shown[-2]] == [(1, "AVAILABLE"), (2, "LOADING")]
    assert scene.states == [(1, "AVAILABLE"), (2, "AVAILABLE")]


def test_it_is_told_which_version_answers_now(scene: Scene) -> None:
    scene.start()
    scene.put("m/2/saved_model.pb")
    scene.put("other/7/saved_model.pb")
    scene.turn()
    scene.put("m/3/saved_model.pb", "broken")
    scene.put("m/model.toml", "timeout_s = 3")
    scene.turn()
    assert sorted(scene.swaps) == [("m", 2, 1), ("other", 7, None)]
    shutil.rmtree(scene.root / "m" / "2")
    scene.turn()
    assert scene.swaps[2:] == [("m", 1, 2)], "one goes back"


def test_new_version_that_fails_leaves_the_old_one_and_is_tried_again_when_it_changes(scene: Scene) -> None:
    scene.start()
    scene.put("m/2/saved_model.pb", "broken")
    scene.turn()
    scene.turn_later()
    assert scene.states == [(1, "AVAILABLE"), (2, "END")]
    assert scene.error(2) == "m, version 2: file is truncated"
    tried: list[bool] = []
    scene.runtime.loading = lambda: tried.append(True)
    scene.turn()
    assert tried == []
    scene.put("m/2/saved_model.pb", "repaired")
    scene.turn(1)
    assert tried == [], "it may be half copied again"
    scene.turn(1)
    assert scene.states == [(1, "AVAILABLE"), (2, "AVAILABLE")]


def test_new_model_is_served_too(scene: Scene) -> None:
    scene.start()
    scene.put("other/1/saved_model.pb")
    assert scene.follower.awaited("other")
    scene.turn(1)
    assert scene.follower.awaited("other")
    scene.turn(1)
    assert scene.registry.versions("other") == (1,)
    assert not scene.follower.awaited("other")


def test_child_awaits_what_lies_there_and_has_not_failed(scene: Scene) -> None:
    scene.start()
    assert not scene.follower.awaited("m", 2)
    scene.put("m/2/saved_model.pb", "broken")
    assert scene.follower.awaited("m", 2)
    scene.turn(1)
    assert scene.follower.awaited("m", 2)
    scene.turn(1)
    assert not scene.follower.awaited("m", 2)
    assert not scene.follower.awaited("m", 1)
    assert not scene.follower.awaited("absent")


def test_old_version_that_is_not_to_be_served_is_not_awaited(scene: Scene) -> None:
    scene.put("m/2/saved_model.pb")
    scene.start()
    assert not scene.follower.awaited("m", 1)


def test_changed_model_toml_is_taken(scene: Scene) -> None:
    scene.start()
    scene.put("m/model.toml", "[batch]\nmax_rows = 7")
    scene.turn()
    assert scene.registry.get("m", 1).spec.batch.max_rows == 7
    assert scene.registry.loads == 2
    scene.put("m/model.toml", "[batch]\nmax_rows = 7\n[labels]\nstable = 1")
    scene.turn()
    assert scene.registry.loads == 2, "labels are no reason to load"


@pytest.mark.parametrize("toml", ["[batch", "[[warmup]]\nfile = 'none.npy'"])
def test_model_toml_that_is_wrong_leaves_the_model_as_it_was(scene: Scene, toml: str) -> None:
    scene.start()
    scene.put("m/model.toml", toml)
    scene.turn()
    scene.turn_later()
    assert scene.registry.get("m", None).spec.version == 1
    assert any(s.error for s in scene.follower.statuses)
    scene.put("m/model.toml", "")
    scene.turn()
    assert scene.follower.statuses == scene.shown[0]


def test_what_nothing_is_loaded_of_is_tried_again_when_a_job_asks(scene: Scene) -> None:
    scene.put("m/1/saved_model.pb", "broken")
    scene.start()
    scene.runtime.load = lambda *_: FunctionRunnable()  # type: ignore[method-assign]
    scene.follower.ask_again("m")
    assert not scene.follower.awaited("m")
    scene.now += AGAIN_S
    scene.follower.ask_again("m")
    assert scene.follower.awaited("m")
    scene.follower.turn(scan=False)
    assert scene.states == [(1, "AVAILABLE")]


def test_version_that_a_label_was_moved_to_is_served(scene: Scene) -> None:
    scene.put("m/2/saved_model.pb")
    scene.store.move_label("m", "stable", 1)
    scene.start()
    assert scene.registry.versions("m") == (1, 2)
    assert scene.registry.get("m", None).spec.version == 2
    scene.store.move_label("m", "stable", None)
    scene.turn_later()
    assert scene.registry.versions("m") == (2,)


# ---------------------------------------------------------------- the old


def test_old_version_goes_when_all_hold_the_new_one_for_a_while(scene: Scene) -> None:
    scene.start()
    scene.other(1)
    scene.put("m/2/saved_model.pb")
    scene.turn()
    scene.turn_later()
    assert scene.registry.versions("m") == (1, 2), "another child has not got it yet"
    scene.other(1, 2)
    scene.turn_later(GRACE_S / 2)
    assert scene.registry.versions("m") == (1, 2)
    scene.turn_later(GRACE_S / 2)
    assert scene.states == [(2, "AVAILABLE")]


def test_removed_version_goes_and_the_last_one_stays(scene: Scene) -> None:
    scene.put("m/model.toml", '[versions]\npolicy = "all"')
    scene.put("m/2/saved_model.pb")
    scene.start()
    shutil.rmtree(scene.root / "m" / "1")
    scene.turn_later()
    assert scene.states == [(2, "AVAILABLE")]


def test_old_version_whose_directory_goes_stays_while_the_new_one_does_not_load(scene: Scene) -> None:
    scene.start()
    scene.put("m/2/saved_model.pb", "broken")
    scene.turn()
    shutil.rmtree(scene.root / "m" / "1")
    scene.turn_later()
    assert scene.states == [(1, "AVAILABLE"), (2, "END")]


@pytest.mark.parametrize("gone", ["m", "m/1"])
def test_removed_model_goes(scene: Scene, gone: str) -> None:
    scene.start()
    shutil.rmtree(scene.root / gone)
    scene.turn(1)
    assert scene.registry.versions("m") == (1,)
    scene.turn_later()
    assert scene.registry.versions("m") == ()
    assert [s.state for s in scene.follower.statuses] == ([] if gone == "m" else ["END"])


def test_version_that_comes_back_in_time_stays(scene: Scene) -> None:
    scene.start()
    shutil.move(scene.root / "m", scene.root / ".m")
    scene.turn(1)
    scene.now += GRACE_S / 2
    shutil.move(scene.root / ".m", scene.root / "m")
    scene.turn()
    scene.turn_later()
    assert (scene.registry.versions("m"), scene.registry.loads) == ((1,), 1)


# ---------------------------------------------------------------- loads that end their process


def end_in_load(scene: Scene, times: int) -> None:
    for _ in range(times):
        with pytest.raises(SystemExit), scene.loads.loading(1, "m/2"):
            raise SystemExit
        scene.loads.died([1], [])


def test_version_that_ended_another_child_is_not_loaded_beside_what_serves(scene: Scene) -> None:
    scene.start()
    end_in_load(scene, 1)
    scene.put("m/2/saved_model.pb")
    scene.turn(3)
    assert scene.states == [(1, "AVAILABLE")]
    assert scene.follower.awaited("m", 2)
    end_in_load(scene, MAX_DEATHS - 1)
    scene.turn()
    assert scene.states == [(1, "AVAILABLE"), (2, "END")]
    assert "has ended 3 processes in a row" in scene.error(2)


def test_child_that_starts_tries_until_it_has_happened_often(scene: Scene) -> None:
    scene.put("m/2/saved_model.pb")
    end_in_load(scene, MAX_DEATHS)
    scene.start()
    assert scene.states == [(1, "AVAILABLE"), (2, "END")], "the older version stands in"
