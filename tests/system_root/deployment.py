"""The services of ``docker/compose.yml`` in containers of buildah, all on the host's loopback address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.system.stack import _free_port, until
from tests.system_root import compose, images
from tests.system_root.containers import Container, Unpacked

USER = 10001


class Deployment:
    """As ``docker compose up --scale worker=2``; ``close`` ends and removes all of it."""

    def __init__(self, folder: Path, services: Mapping[str, Any], models: Path) -> None:
        self.services, self._folder, self._models = services, folder, models
        self._ports = {"redis": _free_port(), "web": _free_port()}
        self._unpacked: dict[str, Unpacked] = {}
        self.containers: list[Container] = []
        url = f"http://127.0.0.1:{self._ports['web']}"
        self._stack = ExitStack()
        self.http = self._stack.enter_context(httpx.Client(base_url=url, timeout=40, trust_env=False))
        self.users, self._jobs = self.volume("users"), self.volume("jobs")
        self.heartbeats = [self.volume(name) / "heartbeat" for name in ("first", "second")]

    def start(self) -> None:
        images.buildah("rm", "--all")  # what a run that was killed has left
        self.redis = self._redis()
        self.redis.start()
        until(self.redis.healthy, 20, "a healthy Redis")
        self.web = self._container("web", {"/data": self.users})
        assert self.web.run(*self.services["migrate"]["command"]), self.said()
        self.web.start()
        self.workers = [
            self._container("worker", {"/models:ro": self._models, "/tmp": file.parent})
            for file in self.heartbeats
        ]
        for worker in self.workers:
            worker.start()
        until(self._all_ready, 90, "two ready workers")

    def _all_ready(self) -> bool:
        assert all(worker.processes() for worker in self.workers), self.said()
        return len(self.ready_children()) == 2

    def ready_children(self) -> list[dict[str, Any]]:
        try:
            answer = self.http.get("/api/workers")
        except httpx.TransportError:
            return []
        return [child for child in answer.json().get("workers", ()) if child["state"] == "ready"]

    def grace_s(self, name: str) -> int:
        return compose.grace_s(self.services[name])

    def said(self) -> str:
        return "\n".join(f"---- {c.log.name}\n{c.said()[-3000:]}" for c in self.containers if c.log.exists())

    def close(self) -> None:
        self._stack.close()

    def volume(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        os.chown(folder, USER, USER)
        return folder

    def _redis(self) -> Container:
        """Debian's, in the place of the official image."""
        service, port = self.services["redis"], str(self._ports["redis"])
        kind, check = service["healthcheck"]["test"]
        return self._add(
            images.base(),
            "redis",
            environment={},
            volumes={"/data": self._jobs},
            command=[*service["command"], "--port", port, "--bind", "127.0.0.1", "--dir", "/data"],
            health=[kind, check.replace("redis-cli", f"redis-cli -p {port}")],
            user=f"{USER}:{USER}",
        )

    def _container(self, name: str, volumes: Mapping[str, Path]) -> Container:
        given = compose.environment_of(self.services[name])
        given["REDIS_URL"] = f"redis://127.0.0.1:{self._ports['redis']}/0"
        if name == "web":
            given |= {"HOST": "127.0.0.1", "PORT": str(self._ports["web"])}
        return self._add(images.built(name), name, environment=given, volumes=volumes)

    def _add(self, image: str, name: str, **how: Any) -> Container:
        if image not in self._unpacked:
            self._unpacked[image] = Unpacked(image)
            self._stack.callback(self._unpacked[image].remove)
        log = self._folder / f"{name}{len(self.containers)}.log"
        container = Container(self._unpacked[image], log, **how)
        self._stack.callback(container.kill)
        self.containers.append(container)
        return container
