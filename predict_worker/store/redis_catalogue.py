"""The catalogue in Redis: four hashes, read in one round trip."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

import redis

from ..core.ports import CatalogueView, Heartbeat, ModelEntry, ServedCounts, ShadowCounts, VersionStatus
from ..core.spec import ModelSpec
from .keys import Keys
from .records import dump
from .scripts import guarded

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class RedisCatalogue:
    """See :class:`predict_worker.core.ports.CatalogueStore`."""

    def __init__(self, client: redis.Redis, prefix: str = "pw", buckets: int = 1) -> None:
        self._client: Any = client
        self._keys, self._buckets = Keys(prefix), buckets
        self._ready_for: dict[str, set[str]] = {}  # what the children that beat through here were ready for

    def read(self) -> CatalogueView:
        def run() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                for part in ("models", "specs", "workers", "labels"):
                    pipe.hgetall(self._keys.catalogue(part))
                pipe.time()
                answers: list[Any] = pipe.execute()
                return answers

        models, specs, workers, labels, (seconds, micros) = guarded(run, repeatable=True)
        now_us = seconds * 1_000_000 + micros
        beats = _readable(partial(_heartbeat, now_us), _sorted(workers))
        return CatalogueView(
            models=tuple(_readable(_model_entry, _sorted(models))),
            specs=tuple(_readable(ModelSpec.from_dict, _sorted(specs))),
            workers=tuple(beat for beat in beats if beat is not None),
            labels=_labels(labels),
        )

    def publish_models(self, models: Sequence[ModelEntry]) -> None:
        self._write("models", {model.name: dump(asdict(model)) for model in models})

    def publish_specs(self, specs: Sequence[ModelSpec]) -> None:
        self._write("specs", {f"{spec.name}/{spec.version}": dump(spec.to_dict()) for spec in specs})

    def retract_model(self, name: str) -> None:
        def run() -> None:
            for part in ("specs", "labels"):
                key = self._keys.catalogue(part)
                fields = [f for f in self._client.hkeys(key) if f.startswith(f"{name}/".encode())]
                if fields:
                    self._client.hdel(key, *fields)
            self._client.hdel(self._keys.catalogue("models"), name)

        guarded(run, repeatable=True)

    def retract_spec(self, name: str, version: int) -> None:
        key = self._keys.catalogue("specs")
        guarded(lambda: self._client.hdel(key, f"{name}/{version}"), repeatable=True)

    def move_label(self, name: str, label: str, version: int | None) -> None:
        key, field = self._keys.catalogue("labels"), f"{name}/{label}"
        if version is None:
            guarded(lambda: self._client.hdel(key, field), repeatable=True)
        else:
            guarded(lambda: self._client.hset(key, field, version), repeatable=True)

    def _write(self, part: str, values: dict[str, str]) -> None:
        if values:
            key = self._keys.catalogue(part)
            guarded(lambda: self._client.hset(key, mapping=values), repeatable=True)

    def beat(self, heartbeat: Heartbeat, ttl_s: float) -> None:
        """Also says, for each model and bucket, that this child is ready for it: the scripts count them."""
        available = {s.model for s in heartbeat.models if s.state == "AVAILABLE"}
        ready = available if heartbeat.state == "ready" else set()
        before = self._ready_for.get(heartbeat.consumer, set())

        def run() -> None:
            now_us = self._now_us()
            until_us = now_us + int(ttl_s * 1e6)
            raw = {**asdict(heartbeat), "at_us": now_us, "until_us": until_us}
            with self._client.pipeline(transaction=False) as pipe:
                pipe.hset(self._keys.catalogue("workers"), heartbeat.consumer, dump(raw))
                for bucket in range(self._buckets):
                    for model in ready:
                        pipe.zadd(self._keys.ready(bucket, model), {heartbeat.consumer: until_us})
                    for model in before - ready:
                        pipe.zrem(self._keys.ready(bucket, model), heartbeat.consumer)
                pipe.execute()

        guarded(run, repeatable=True)
        self._ready_for[heartbeat.consumer] = ready

    def leave(self, consumer: str) -> None:
        def run() -> None:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.hdel(self._keys.catalogue("workers"), consumer)
                for model in self._ready_for.get(consumer, set()):
                    for bucket in range(self._buckets):
                        pipe.zrem(self._keys.ready(bucket, model), consumer)
                pipe.execute()

        guarded(run, repeatable=True)
        self._ready_for.pop(consumer, None)

    def beat_node(self, node: str, ttl_s: float) -> None:
        key = self._keys.catalogue("nodes")
        guarded(lambda: self._client.zadd(key, {node: self._now_us() + int(ttl_s * 1e6)}), repeatable=True)

    def lapsed_nodes(self) -> tuple[str, ...]:
        key = self._keys.catalogue("nodes")
        lapsed = guarded(lambda: self._client.zrangebyscore(key, "-inf", self._now_us()), repeatable=True)
        return tuple(node.decode() for node in lapsed)

    def forget_node(self, node: str) -> None:
        def run() -> None:
            key = self._keys.catalogue("workers")
            children = [name for name in self._client.hkeys(key) if name.startswith(f"{node}:".encode())]
            if children:
                self._client.hdel(key, *children)
            self._client.zrem(self._keys.catalogue("nodes"), node)

        guarded(run, repeatable=True)

    def sweeping(self, node: str, ttl_s: float) -> bool:
        def run() -> bool:
            key, ttl_ms = self._keys.sweeper, int(ttl_s * 1000)
            holder = self._client.get(key)
            if holder == node.encode():  # first, since a full Redis refuses any SET
                self._client.pexpire(key, ttl_ms)
                return True
            return holder is None and bool(self._client.set(key, node, nx=True, px=ttl_ms))

        return guarded(run, repeatable=True)

    def _now_us(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1_000_000 + int(micros)


def _sorted(records: Mapping[bytes, bytes]) -> list[bytes]:
    return [records[name] for name in sorted(records)]


def _readable(make: Callable[[Any], Value], records: Iterable[bytes]) -> list[Value]:
    """One record that another release wrote otherwise must not hide the rest."""
    values = []
    for record in records:
        try:
            values.append(make(json.loads(record)))
        except (KeyError, TypeError, ValueError):
            log.warning("catalogue: record not understood: %.200r", record)
    return values


def _labels(raw: Mapping[bytes, bytes]) -> dict[str, dict[str, int]]:
    labels: dict[str, dict[str, int]] = {}
    for field, version in sorted(raw.items()):
        name, _, label = field.decode().partition("/")
        labels.setdefault(name, {})[label] = int(version)
    return labels


def _model_entry(raw: dict[str, Any]) -> ModelEntry:
    pairs = {
        name: tuple((label, value) for label, value in raw.get(name, ())) for name in ("labels", "canary")
    }
    return ModelEntry(**{**raw, "versions": tuple(raw["versions"]), **pairs})


def _heartbeat(now_us: int, raw: dict[str, Any]) -> Heartbeat | None:
    """None when it has lapsed."""
    if raw["until_us"] <= now_us:
        return None
    fields = {name: value for name, value in raw.items() if name not in ("at_us", "until_us")}
    models = tuple(VersionStatus(**status) for status in raw["models"])
    shadows = tuple(ShadowCounts(**counts) for counts in raw.get("shadows", ()))
    served = tuple(ServedCounts(**counts) for counts in raw.get("served", ()))
    beat = Heartbeat(**{**fields, "models": models, "shadows": shadows, "served": served})
    return replace(beat, age_s=max(0.0, (now_us - raw["at_us"]) / 1e6))
