"""Web, workers and Redis in containers of images that were built here, as ``docker compose up`` runs them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.models import busy, make_models
from tests.system.stack import until
from tests.system_root import compose
from tests.system_root.containers import Container
from tests.system_root.deployment import USER, Deployment

pytestmark = [
    pytest.mark.needs("root", "buildah", "debootstrap", "docker-compose"),
    pytest.mark.timeout(900),  # the images are built within the first test
]
WORKER_LIBRARIES = {"ai_edge_litert", "keras", "onnxruntime", "tensorflow"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    services = compose.services(
        folder, SECRET_KEY="any", CELERY_WORKER_CONCURRENCY="1", PREDICT_WORKER_ALLOW_ANONYMOUS="1"
    )
    models = make_models(folder / "models")
    models.chmod(0o777)
    deployment = Deployment(folder, services, models)
    try:
        deployment.start()
        yield deployment
    finally:
        print(deployment.said())  # pytest shows it with a failure
        deployment.close()


def predict(deployment: Deployment, model: str, inputs: object, wait_s: float = 0) -> dict[str, object]:
    headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
    answer = deployment.http.post("/api/jobs", json={"model": model, "inputs": inputs}, headers=headers)
    return dict(answer.json())


def job(deployment: Deployment, job_id: object) -> dict[str, object]:
    return dict(deployment.http.get(f"/api/jobs/{job_id}").json())


def test_one_prediction_goes_through_all_of_them(deployment: Deployment) -> None:
    answer = predict(deployment, "half", [[2.0, 3.0]], wait_s=20)
    assert (answer["state"], answer["outputs"]) == ("succeeded", {"y": [[3.0, 3.5]]})


def test_only_workers_have_the_libraries_of_models(deployment: Deployment) -> None:
    def found(container: Container) -> set[str]:
        return {path.name for path in container.unpacked.root.rglob("*")} & WORKER_LIBRARIES

    assert found(deployment.web) == set()
    assert found(deployment.workers[0]) == WORKER_LIBRARIES


def test_no_process_is_root_or_may_become_it(deployment: Deployment) -> None:
    for container in deployment.containers:
        for process in container.processes():
            assert set(process.uids()) == set(process.gids()) == {USER}
            assert "CapEff:\t0000000000000000" in Path(f"/proc/{process.pid}/status").read_text()


def test_no_process_may_change_what_it_runs(deployment: Deployment) -> None:
    for container in (deployment.web, deployment.workers[0]):
        for place in ("/app/proj", "/venv/bin", "/etc"):
            assert not container.run("touch", f"{place}/anything")
        assert container.run("touch", "/tmp/anything")
    assert not deployment.workers[0].run("touch", "/models/anything")


def test_images_hold_no_secret_and_no_tool_of_the_build(deployment: Deployment) -> None:
    for container in (deployment.web, deployment.workers[0]):
        assert "SECRET" not in str(container.unpacked.config)
        for left in ("root/.config/pip/*", "root/.cache/pip/*", "tmp/tools", "venv/**/pip"):
            assert not [*container.unpacked.root.glob(left)]


def test_users_are_kept_in_their_volume(deployment: Deployment) -> None:
    create = ["createsuperuser", "--noinput", "--username", "somebody", "--email", "somebody@example.org"]
    assert deployment.web.run("env", "DJANGO_SUPERUSER_PASSWORD=any", "python3", "manage.py", *create)
    assert b"somebody" in b"".join(file.read_bytes() for file in deployment.users.iterdir())


def test_a_web_that_does_not_answer_is_unhealthy(deployment: Deployment) -> None:
    assert deployment.web.healthy()
    standing = deployment.web.processes()
    for process in standing:
        process.suspend()
    try:
        assert not deployment.web.healthy()
    finally:
        for process in standing:
            process.resume()
    assert deployment.web.healthy()


def grow_old(heartbeat: Path) -> None:
    """As if the last one were a minute ago."""
    minute_ago = time.time() - 60
    os.utime(heartbeat, (minute_ago, minute_ago))


def test_a_worker_that_stands_still_is_unhealthy(deployment: Deployment) -> None:
    worker = deployment.workers[0]
    assert worker.healthy()
    worker.main().suspend()
    try:
        grow_old(deployment.heartbeats[0])
        assert not worker.healthy()
    finally:
        worker.main().resume()
    until(worker.healthy, 10, "a healthy worker")


def test_both_workers_serve(deployment: Deployment) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(predict, deployment, "single", busy(0.3), 40) for _ in range(16)]
    assert {answer.result()["state"] for answer in answers} == {"succeeded"}

    def nodes() -> set[str]:
        children = deployment.ready_children()
        return {child["consumer"].partition(":")[0] for child in children if child["batches"]}

    until(lambda: len(nodes()) == 2, 20, "batches of two nodes")


def test_redis_keeps_its_jobs_and_nobody_is_unhealthy_without_it(deployment: Deployment) -> None:
    done = predict(deployment, "half", [[4.0, 5.0]], wait_s=20)
    deployment.redis.kill()
    assert not deployment.redis.healthy()
    for heartbeat in deployment.heartbeats:
        grow_old(heartbeat)
    for container in (deployment.web, *deployment.workers):
        until(container.healthy, 10, "health without Redis")
    deployment.redis.start()
    until(deployment.redis.healthy, 20, "a healthy Redis")
    assert job(deployment, done["id"])["outputs"] == {"y": [[4.0, 4.5]]}
    assert predict(deployment, "half", [[2.0, 3.0]], wait_s=30)["state"] == "succeeded"


def test_all_end_in_time_when_told_to_and_the_work_is_finished(deployment: Deployment) -> None:
    """The last test: it ends the deployment."""
    running = predict(deployment, "busy", busy(3.0))["id"]
    until(lambda: job(deployment, running)["state"] == "running", 10, "a running job")
    for worker in deployment.workers:
        worker.main().terminate()
    with ThreadPoolExecutor(2) as pool:
        grace_s = deployment.grace_s("worker")
        assert [*pool.map(lambda worker: worker.ended(grace_s), deployment.workers)] == [0, 0]
    finished = job(deployment, running)
    assert (finished["state"], finished["attempts"]) == ("succeeded", 1)
    for name, container in (("web", deployment.web), ("redis", deployment.redis)):
        container.main().terminate()
        assert container.ended(deployment.grace_s(name)) == 0
    assert not deployment.web.healthy()
