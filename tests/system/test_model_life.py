"""Versions come, fail and go while jobs are answered."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.conftest import StartStack
from tests.system.stack import Stack, until

_MAKE = """
import sys
import tensorflow as tf

class Times(tf.Module):
    # y = version * x
    def __init__(self, version):
        super().__init__()
        self.version = tf.Variable(float(version))

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x * self.version}

for version in (1, 2, 3):
    module = Times(version)
    tf.saved_model.save(module, f"{sys.argv[1]}/{version}", signatures={"serving_default": module.serve})
"""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``1``, ``2`` and ``3`` of a model that multiplies by its version."""
    root = tmp_path_factory.mktemp("versions")
    subprocess.run([sys.executable, "-c", _MAKE, str(root)], check=True, capture_output=True)
    return root


@pytest.fixture
def repository(versions: Path, tmp_path: Path) -> Path:
    shutil.copytree(versions / "1", tmp_path / "models" / "times" / "1")
    return tmp_path / "models"


def put(source: Path, target: Path) -> None:
    """As one should: copied beside, and renamed into place."""
    beside = target.with_name(f".{target.name}")
    shutil.copytree(source, beside)
    beside.rename(target)


class Callers:
    """Waited jobs without a pause, whose answers are right for the version they name."""

    def __init__(self, stack: Stack, **fields: Any) -> None:
        self._http = httpx.Client(base_url=stack.http.base_url, timeout=40, trust_env=False)
        self._fields, self._over = fields, threading.Event()
        self.answers: Counter[str] = Counter()
        self.wrong: list[Any] = []

    @contextmanager
    def calling(self, threads: int = 2) -> Iterator[None]:
        running = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in running:
                thread.join()
            self._http.close()
        assert self.wrong == []

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            body = {"model": "times", "inputs": [[float(number)]], **self._fields}
            response = self._http.post("/api/jobs", json=body, headers={"Prefer": "wait=20"})
            job = response.json()
            if response.status_code != 200 or job["state"] != "succeeded":
                self.wrong.append((response.status_code, job))
            elif job["outputs"] != {"y": [[number * float(job["version"])]]}:
                self.wrong.append(job)
            else:
                self.answers[job["version"]] += 1

    def answered_by(self, version: str, more: int = 20) -> None:
        """So many further answers come of that version, and no other any more."""
        until(lambda: self.wrong or self.answers[version], 30, f"an answer of version {version}")
        until(lambda: self.wrong or self._alone(version, more), 30, f"answers of version {version} alone")

    def _alone(self, version: str, more: int) -> bool:
        before = Counter(self.answers)
        until(lambda: self.wrong or self.answers[version] >= before[version] + more, 30, "answers")
        return (self.answers - before).keys() == {version}


def states(stack: Stack) -> dict[str, set[tuple[str, str | None]]]:
    """By version, as the children say."""
    model = stack.http.get("/api/models/times").json()
    return {v["version"]: {(w["state"], w["error"]) for w in v["workers"]} for v in model.get("versions", [])}


def pids(stack: Stack) -> set[int]:
    return {worker["pid"] for worker in stack.workers()}


def test_versions_come_and_go_under_load(new_stack: StartStack, versions: Path, repository: Path) -> None:
    times = repository / "times"
    stack = new_stack(repository).start(children=2)
    until(lambda: len(stack.workers()) == 2, 20, "both children")
    before = pids(stack)
    callers = Callers(stack)
    with callers.calling():
        callers.answered_by("1")
        put(versions / "2", times / "2")
        callers.answered_by("2")
        until(lambda: states(stack).get("1") in (None, set()), 30, "version 1 unloaded")
        broken = times / ".3"
        shutil.copytree(versions / "3", broken)
        (broken / "saved_model.pb").write_bytes(b"no graph")
        broken.rename(times / "3")
        until(lambda: {s for s, _ in states(stack).get("3", ())} == {"END"}, 30, "version 3 refused")
        ((_, error), *_) = states(stack)["3"]
        assert "times, version 3" in str(error)
        callers.answered_by("2")
        shutil.rmtree(times / "1")
        shutil.rmtree(times / "3")
        until(lambda: set(states(stack)) == {"2"}, 30, "versions 1 and 3 forgotten")
        put(versions / "3", times / "3")
        callers.answered_by("3")
    assert pids(stack) == before, "the children are those of the beginning"
    named = stack.predict("times", [[1.0]], version="1", wait_s=10)
    assert named.status_code == 404


def test_version_that_is_copied_in_place_is_taken_when_it_is_whole(
    new_stack: StartStack, versions: Path, repository: Path
) -> None:
    stack = new_stack(repository).start()
    callers = Callers(stack)
    with callers.calling(1):
        target = repository / "times" / "2"
        files = sorted(path for path in (versions / "2").rglob("*") if path.is_file())
        for path in files:
            copy = target / path.relative_to(versions / "2")
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            for end in (len(content) // 2, len(content)):
                copy.write_bytes(content[:end])
                threading.Event().wait(1.0)  # faster than two scans follow each other
        callers.answered_by("2")
    assert "version 2: " not in stack.log("worker")


def test_models_come_and_go_without_a_restart(
    new_stack: StartStack, versions: Path, repository: Path
) -> None:
    stack = new_stack(repository).start(children=2)
    put(versions / "2", repository / "half-copied")  # no model: a version's files, and no version
    shutil.copytree(versions / "3", repository / ".new" / "1")
    (repository / ".new").rename(repository / "new")

    def accepted() -> dict[str, Any] | None:
        response = stack.predict("new", [[2.0]], wait_s=20)
        return None if response.status_code == 404 else dict(response.json())

    job = until(accepted, 20, "the new model") or {}
    assert (job["state"], job["outputs"]) == ("succeeded", {"y": [[6.0]]}), "the first that is accepted"
    shutil.rmtree(repository / "new")
    until(lambda: stack.http.get("/api/models/new").status_code == 404, 40, "the model to be forgotten")
    assert stack.predict("new", [[2.0]]).status_code == 404
    assert stack.predict("times", [[2.0]], wait_s=20).json()["state"] == "succeeded"


def test_versions_by_policy_label_and_share(new_stack: StartStack, versions: Path, repository: Path) -> None:
    times = repository / "times"
    put(versions / "2", times / "2")
    put(versions / "3", times / "3")
    sections = ('[versions]\npolicy = "specific"\nspecific = [2]', "[labels]\nold = 1", "[canary]\nold = 0.5")
    (times / "model.toml").write_text("\n".join(sections))
    stack = new_stack(repository).start()

    def version_of(**fields: Any) -> str:
        job = stack.predict("times", [[1.0]], wait_s=20, **fields).json()
        assert job["outputs"] == {"y": [[float(job["version"])]]}
        return str(job["version"])

    assert {version_of() for _ in range(30)} == {"1", "2"}, "the policy's, and the canary's part"
    assert version_of(label="old") == version_of(version="1") == "1"
    assert stack.predict("times", [[1.0]], version="3").status_code == 404
    moved = stack.http.put("/api/models/times/labels/old", json={"version": "3"})
    assert (moved.status_code, moved.json()["code"]) == (409, "version_not_ready")
    moved = stack.http.put("/api/models/times/labels/old", json={"version": "2"})
    assert (moved.status_code, moved.json()["labels"]) == (200, {"old": "2"})
    assert version_of(label="old") == "2"
    (times / "model.toml").write_text('[versions]\npolicy = "all"\n[batch]\nmax_rows = 7')
    until(lambda: version_of() == "3", 30, "the newest of all")

    def max_rows() -> set[int]:
        return {v["batch"]["max_rows"] for v in stack.http.get("/api/models/times").json()["versions"]}

    until(lambda: max_rows() == {7}, 30, "all loaded anew")
    assert version_of(label="old") == "2", "a moved label stays"
    put(versions / "2", times / "02")
    until(lambda: stack.http.get("/api/models/times").json()["error"], 20, "the error")
    assert stack.http.get("/api/models/times").json()["error"] == "02/ and 2/ are one version"
    assert version_of() == "3", "what is loaded is served"


def test_second_version_shadows_the_traffic(new_stack: StartStack, versions: Path, repository: Path) -> None:
    times = repository / "times"
    put(versions / "2", times / "2")
    (times / "model.toml").write_text("[shadow]\nversion = 1\ntolerance = 1.5")
    stack = new_stack(repository).start()
    for number in (1.0, 2.0):  # 1 is answered by 2 and 1, which is near enough; 2 by 4 and 2
        assert stack.predict("times", [[number]], wait_s=20).json()["outputs"] == {"y": [[2 * number]]}

    def shadows() -> Any:
        found = stack.http.get("/api/models/times").json()["shadows"]
        return found if found and found[0]["compared"] == 2 else None

    counts = {"compared": 2, "different": 1, "failed": 0, "dropped": 0, "max_difference": 2.0}
    assert until(shadows, 20, "two comparisons") == [{"version": "1", **counts}]
