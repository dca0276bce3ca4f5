"""Predictions in the tests of a project: at once, in memory, without Redis, workers or TensorFlow.

    with eager(models={"digits": lambda x: x.sum(axis=(1, 2, 3))}) as predictions:
        job = submit("digits", [[[[1.0]] * 8] * 8])
        assert get_job(job.id).outputs["output"].tolist() == [64.0]
        assert predictions.calls[0].model == "digits"

A job passes through the same service, queue and batches as in production.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .batch import run_batch
from .canvas import predict_by
from .catalogue import Catalogue
from .codec.dtypes import DTYPES, STRING, Array, canonical
from .conf import Config, get_config
from .connect import build_by, limits, store_config
from .core.errors import ModelNotFound
from .core.ports import Entry, Heartbeat, ModelEntry, Outcome, VersionStatus
from .core.spec import DEFAULT_SIGNATURE, BatchPolicy, ModelSpec, Signature, TensorSpec
from .direct import run_request
from .executor import Executor
from .registry import LoadedModel
from .repository.manifest import parse_manifest
from .service import PredictionService, PredictRequest
from .store.memory import MemoryJobStore
from .store.memory_catalogue import MemoryCatalogue
from .transforms import discovery
from .transforms.steps import make_steps
from .waiting import Waiters

__all__ = ["Call", "FakeModel", "Predictions", "TensorSpec", "eager"]

_LONG_S = 1e9


@dataclass(frozen=True)
class FakeModel:
    """A function in the place of a model.

    It is given the array of the only input, or one by name for each of several, with rows along the first
    dimension; it returns the array of the only output, or a mapping by output name. What it raises
    fails the job. As long as ``inputs`` are not declared they are one float32 array of any shape.
    ``model_toml``: the transforms and their options, as in the file of that name; files that it names are
    looked for where a worker would find them, in the model's directory of the repository.
    """

    function: Callable[..., Any]
    inputs: Sequence[TensorSpec] = (TensorSpec("input", "float32", None),)
    outputs: Sequence[TensorSpec] = ()
    version: int = 1
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    model_toml: str = ""


@dataclass(frozen=True)
class Call:
    """One call of a model: its inputs by name."""

    model: str
    inputs: Mapping[str, Array]


class Predictions:
    """What the block of :func:`eager` has asked for. ``calls``: of the models, oldest first."""

    def __init__(self) -> None:
        self.calls: list[Call] = []


@contextmanager
def eager(models: Mapping[str, FakeModel | Callable[..., Any]]) -> Iterator[Predictions]:
    """Meanwhile these are the models of this process: ``submit`` and the API's POST return when the
    job is final, and so does ``predict.delay`` where Celery's ``task_always_eager`` is set.

    Settings may be overridden inside; those of the store (lives, bounds of queues) are the ones at
    the beginning.
    """
    predictions = Predictions()
    world = _World({name: _loaded(name, model, predictions) for name, model in models.items()})
    before = predict_by(world.predict)
    try:
        with build_by(world.service):
            yield predictions
    finally:
        predict_by(before)
        world.waiters.close()


class _World:
    """A service in memory whose only worker is the thread that submits."""

    def __init__(self, models: Mapping[str, LoadedModel]) -> None:
        config = get_config()
        self._models = models
        self._store, self._catalogue = MemoryJobStore(store_config(config)), MemoryCatalogue()
        self._executor = Executor(self._store, self, "eager:0", watch=lambda *_: nullcontext(), listen_s=0.0)
        self.waiters = Waiters(self._store, config.max_waiters)
        self._store.ready_children.update(dict.fromkeys(models, 1))
        specs = [model.spec for model in models.values()]
        self._catalogue.publish_models([ModelEntry(spec.name, (spec.version,)) for spec in specs])
        self._catalogue.publish_specs(specs)
        ready = tuple(VersionStatus(spec.name, spec.version, "AVAILABLE") for spec in specs)
        beat = Heartbeat("eager:0", "localhost", 0, "ready", time.time_ns() // 1000, ready, loads=len(specs))
        self._catalogue.beat(beat, _LONG_S)

    def service(self, config: Config) -> PredictionService:
        return PredictionService(self._store, Catalogue(self._catalogue), self, self.waiters, limits(config))

    def send(self, model: str, token: str) -> None:
        """A wake-up, answered before this returns."""
        self._executor.serve(model, token, _Served(self._models[model]))

    def send_hooks(self, token: str) -> None:
        """Nobody is called: what would be sent is in the list of deliveries."""

    def predict(self, request: PredictRequest) -> dict[str, Array]:
        name = request.ref.name
        if name not in self._models:
            known = ", ".join(self._models) or "none"
            raise ModelNotFound(f"no model {name!r} among those of the test: {known}")
        return run_request(_Served(self._models[name]).resolve, request, get_config().max_body_bytes)


class _Served:
    """See :class:`predict_worker.executor.Model`."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self.policy = model.spec.batch

    def resolve(self, version: int | None) -> LoadedModel:
        if version not in (None, self._model.spec.version):
            raise ModelNotFound(f"{self._model.spec.name}, version {version}, is not loaded")
        return self._model

    def run(self, entries: Sequence[Entry]) -> list[Outcome]:
        return run_batch(self.resolve, entries)


class _Runnable:
    """See :class:`predict_worker.runtimes.base.Runnable`."""

    def __init__(self, name: str, fake: FakeModel, predictions: Predictions) -> None:
        self._name, self._fake, self._predictions = name, fake, predictions
        signature = Signature(DEFAULT_SIGNATURE, tuple(fake.inputs), tuple(fake.outputs))
        self.signatures: Mapping[str, Signature] = {DEFAULT_SIGNATURE: signature}

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._predictions.calls.append(Call(self._name, dict(inputs)))
        function, declared = self._fake.function, {spec.name: spec.dtype for spec in self._fake.outputs}
        answer = function(**inputs) if len(inputs) > 1 else function(*inputs.values())
        if not isinstance(answer, Mapping):
            answer = {next(iter(declared), "output"): answer}
        return {name: _tensor(value, declared.get(name, STRING)) for name, value in answer.items()}


def _tensor(value: Any, dtype: str) -> Array:
    """As the model's library would give it: in the declared dtype."""
    array = canonical(np.asarray(value))
    return array if dtype == STRING else array.astype(DTYPES[dtype])


def _loaded(name: str, model: FakeModel | Callable[..., Any], predictions: Predictions) -> LoadedModel:
    fake = model if isinstance(model, FakeModel) else FakeModel(model)
    runnable = _Runnable(name, fake, predictions)
    manifest, directory = parse_manifest(fake.model_toml), get_config().model_repository / name
    steps = make_steps(manifest, runnable.signatures, [directory], discovery.find)
    digest, seen = f"sha256:{0:064x}", steps.published(runnable.signatures)
    retry = replace(manifest.retry, backoff_s=0.0)  # nobody wants to wait for it
    spec = ModelSpec(name, fake.version, "fake", digest, seen, batch=fake.batch, retry=retry)
    return LoadedModel(spec, runnable, load_ms=0.0, steps=steps)
