"""The catalogue and the wake-ups in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..core.errors import StoreUnavailable
from ..core.ports import CatalogueView, Heartbeat, ModelEntry
from ..core.spec import ModelSpec
from .memory import unix_micros


class MemoryCatalogue:
    """Implements :class:`predict_worker.core.ports.CatalogueStore` in one process."""

    def __init__(self, now: Callable[[], int] = unix_micros) -> None:
        self._clock = now
        self._lock = threading.Lock()
        self._models: dict[str, ModelEntry] = {}
        self._specs: dict[tuple[str, int], ModelSpec] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._beats: dict[str, tuple[Heartbeat, int, int]] = {}  # with its moment and its end
        self._nodes: dict[str, int] = {}  # with the end of its sign of life
        self._sweeper = ("", 0)  # the node that sweeps, and until when

    def read(self) -> CatalogueView:
        with self._lock:
            now = self._clock()
            self._beats = {consumer: beat for consumer, beat in self._beats.items() if beat[2] > now}
            return CatalogueView(
                tuple(self._models[name] for name in sorted(self._models)),
                tuple(self._specs[key] for key in sorted(self._specs)),
                tuple(
                    replace(beat, age_s=(now - at) / 1e6) for _, (beat, at, _) in sorted(self._beats.items())
                ),
                {name: dict(labels) for name, labels in self._labels.items() if labels},
            )

    def publish_models(self, models: Sequence[ModelEntry]) -> None:
        with self._lock:
            self._models.update((model.name, model) for model in models)

    def publish_specs(self, specs: Sequence[ModelSpec]) -> None:
        with self._lock:
            self._specs.update(((spec.name, spec.version), spec) for spec in specs)

    def retract_model(self, name: str) -> None:
        with self._lock:
            self._models.pop(name, None)
            self._labels.pop(name, None)
            self._specs = {key: spec for key, spec in self._specs.items() if key[0] != name}

    def retract_spec(self, name: str, version: int) -> None:
        with self._lock:
            self._specs.pop((name, version), None)

    def move_label(self, name: str, label: str, version: int | None) -> None:
        with self._lock:
            labels = self._labels.setdefault(name, {})
            if version is None:
                labels.pop(label, None)
            else:
                labels[label] = version

    def beat(self, heartbeat: Heartbeat, ttl_s: float) -> None:
        with self._lock:
            now = self._clock()
            self._beats[heartbeat.consumer] = heartbeat, now, now + int(ttl_s * 1e6)

    def leave(self, consumer: str) -> None:
        with self._lock:
            self._beats.pop(consumer, None)

    def beat_node(self, node: str, ttl_s: float) -> None:
        with self._lock:
            self._nodes[node] = self._clock() + int(ttl_s * 1e6)

    def lapsed_nodes(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(node for node, end in self._nodes.items() if end <= self._clock())

    def forget_node(self, node: str) -> None:
        with self._lock:
            self._nodes.pop(node, None)
            self._beats = {
                name: beat for name, beat in self._beats.items() if not name.startswith(f"{node}:")
            }

    def sweeping(self, node: str, ttl_s: float) -> bool:
        with self._lock:
            now = self._clock()
            holder, end = self._sweeper
            if holder != node and end > now:
                return False
            self._sweeper = (node, now + int(ttl_s * 1e6))
            return True


class MemoryWakeups:
    """Implements :class:`predict_worker.core.ports.Wakeups` by a list; refuses while ``failing``."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.sent_hooks: list[str] = []
        self.failing = False

    def send(self, model: str, token: str) -> None:
        if self.failing:
            raise StoreUnavailable("the broker does not answer")
        self.sent.append((model, token))

    def send_hooks(self, token: str) -> None:
        if self.failing:
            raise StoreUnavailable("the broker does not answer")
        self.sent_hooks.append(token)
