"""``docker/compose.yml``: what Compose makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system_root import compose

pytestmark = pytest.mark.needs("docker-compose")


def test_nothing_starts_without_a_secret_key(tmp_path: Path) -> None:
    refused = compose.read(tmp_path)
    assert refused.returncode != 0
    assert "SECRET_KEY" in refused.stderr
    assert "is not set" in refused.stderr


def test_web_and_workers_wait_for_redis_and_web_for_its_tables(tmp_path: Path) -> None:
    services = compose.services(tmp_path, SECRET_KEY="any")
    assert services["worker"]["depends_on"]["redis"]["condition"] == "service_healthy"
    awaited = {name: how["condition"] for name, how in services["web"]["depends_on"].items()}
    assert awaited == {"redis": "service_healthy", "migrate": "service_completed_successfully"}


def test_redis_keeps_what_it_has_accepted(tmp_path: Path) -> None:
    command = " ".join(compose.services(tmp_path, SECRET_KEY="any")["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_a_worker_can_be_scaled(tmp_path: Path) -> None:
    worker = compose.services(tmp_path, SECRET_KEY="any")["worker"]
    assert not worker.keys() & {"container_name", "ports", "hostname"}


def test_images_are_built_on_the_base_that_is_named(tmp_path: Path) -> None:
    services = compose.services(tmp_path, SECRET_KEY="any", BASE="debian:somewhat")
    bases = {name: services[name]["build"]["args"]["BASE"] for name in ("web", "migrate", "worker")}
    assert set(bases.values()) == {"debian:somewhat"}


def test_only_what_is_named_reaches_the_processes(tmp_path: Path) -> None:
    services = compose.services(tmp_path, SECRET_KEY="any", LOG_LEVEL="DEBUG", HOME_PHONE="5550100")
    for name in ("web", "worker"):
        environment = compose.environment_of(services[name])
        assert environment["REDIS_URL"] == "redis://redis:6379/0"
        assert environment["LOG_LEVEL"] == "DEBUG"
        assert "PREDICT_WORKER_ALLOW_ANONYMOUS" not in environment
        assert "HOME_PHONE" not in environment
