"""Which model versions are loaded in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .codec.dtypes import Array, dtype_name
from .core.errors import InvalidRepository, InvalidRequest, ModelLoadError, ModelNotFound, PredictionError
from .core.ports import VersionStatus
from .core.spec import ModelSpec, TensorSpec
from .inputs import shape_fits
from .repository.artefact import Artefact
from .repository.directory import ModelRepository, RepositoryModel
from .repository.manifest import Manifest
from .runtimes.base import Runnable, Runtime, runtime_for
from .warmup import warm

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One version, ready to run. ``load_ms``: loading and warming."""

    spec: ModelSpec
    runnable: Runnable
    load_ms: float

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name.

        Raises InvalidRequest where ``inputs`` do not fit the signature (TensorFlow itself checks no
        shape here, and some of its kernels abort the whole process on a wrong one); whatever the
        model raises.
        """
        for tensor in self.spec.signatures[signature_name].inputs:
            _check(tensor, inputs[tensor.name])
        return self.runnable.run(signature_name, inputs)


def _check(tensor: TensorSpec, array: Array) -> None:
    if dtype_name(array) != tensor.dtype or not shape_fits(array.shape, tensor.shape):
        got = f"{dtype_name(array)} of shape {array.shape}"
        raise InvalidRequest(f"inputs.{tensor.name}", f"{tensor.dtype} of shape {tensor.shape}", got)


class ModelRegistry:
    """Loads versions from a repository. ``loads`` counts them, over the life of the process.

    One thread at a time loads and unloads; any may ask meanwhile.
    """

    def __init__(
        self,
        repository: ModelRepository,
        runtimes: Callable[[str], Runtime] = runtime_for,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository, self._runtimes, self._clock = repository, runtimes, clock
        self._loaded: dict[str, dict[int, LoadedModel]] = {}
        self._wanted: dict[str, tuple[int, ...]] = {}
        self.loads = 0

    def get(self, name: str, version: int | None) -> LoadedModel:
        """That version, or of the versions to serve the newest that is loaded. Raises ModelNotFound."""
        versions = self._loaded.get(name, {})
        if version is None:
            version = max(versions.keys() & self._wanted.get(name, ()) or versions, default=None)
        if version is None or version not in versions:
            raise ModelNotFound(f"{name}{'' if version is None else f', version {version},'} is not loaded")
        return versions[version]

    def versions(self, name: str) -> tuple[int, ...]:
        """Loaded ones, ascending."""
        return tuple(sorted(self._loaded.get(name, ())))

    def specs(self) -> tuple[ModelSpec, ...]:
        return tuple(model.spec for versions in list(self._loaded.values()) for model in versions.values())

    def timeout_s(self, name: str) -> float:
        """Hard limit of one batch of any loaded version; the default while none is."""
        versions = self._loaded.get(name, {}).values()
        return max((model.spec.timeout_s for model in versions), default=Manifest().timeout_s)

    def load_all(self, names: Iterable[str]) -> list[VersionStatus]:
        """:meth:`load_model` for each: one that fails leaves the others alone."""
        return [status for name in names for status in self.load_model(name)]

    def load_model(self, name: str) -> list[VersionStatus]:
        """Load every version to serve that is not loaded yet. Never raises: a failure is a status.

        Version 0 stands for a model that has no version to offer.
        """
        try:
            model = self._repository.read(name)
        except (ModelNotFound, InvalidRepository) as error:
            return [VersionStatus(name, 0, "END", str(error))]
        refused = [
            VersionStatus(name, version, "END", error) for version, error in sorted(model.refused.items())
        ]
        if model.error:
            return refused or [VersionStatus(name, 0, "END", model.error)]
        return refused + [self._status(name, version) for version in model.wanted]

    def _status(self, name: str, version: int) -> VersionStatus:
        try:
            loaded = self._loaded.get(name, {}).get(version) or self.load(name, version)
        except ModelLoadError as error:
            logger.warning("%s", error)
            return VersionStatus(name, version, "END", str(error))
        return VersionStatus(name, version, "AVAILABLE", load_ms=loaded.load_ms)

    def load(self, name: str, version: int) -> LoadedModel:
        """Load and warm; a version loaded before is replaced only now that the new one is ready.

        Raises ModelLoadError with the message of its cause.
        """
        started = self._clock()
        try:
            model = self._repository.read(name)
            artefact = self._repository.artefact(name, version)
            runnable = self._runtimes(artefact.kind).load(artefact, model.manifest)
            spec = _spec(name, version, artefact, model.manifest, runnable)
            warm(spec, runnable, _examples(model, version))
        except PredictionError as error:
            raise ModelLoadError(f"{name}, version {version}: {error}") from error
        except Exception as error:
            raise ModelLoadError(f"{name}, version {version}: {type(error).__name__}: {error}") from error
        loaded = LoadedModel(spec, runnable, round((self._clock() - started) * 1000, 1))
        self._loaded[name] = {**self._loaded.get(name, {}), version: loaded}
        self._wanted[name] = model.wanted
        self.loads += 1
        logger.info("%s, version %d loaded in %.0f ms", name, version, loaded.load_ms)
        return loaded

    def unload(self, name: str, version: int) -> None:
        """Forget a version; its memory goes when the last call that uses it ends."""
        versions = dict(self._loaded.get(name, {}))
        versions.pop(version, None)
        self._loaded[name] = versions


def _spec(name: str, version: int, artefact: Artefact, manifest: Manifest, runnable: Runnable) -> ModelSpec:
    return ModelSpec(
        name=name,
        version=version,
        artefact=artefact.kind,
        digest=artefact.digest,
        signatures=dict(runnable.signatures),
        batch=manifest.batch,
        timeout_s=manifest.timeout_s,
        queue_max_jobs=manifest.queue_max_jobs,
        inputs_finite=manifest.inputs_finite,
        outputs_finite=manifest.outputs_finite,
    )


def _examples(model: RepositoryModel, version: int) -> tuple[Path, ...]:
    directory = model.versions[version].parent
    return tuple(directory / file for file in model.manifest.warmup)
