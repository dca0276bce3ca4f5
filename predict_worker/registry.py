"""Which model versions are loaded in this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .codec.dtypes import Array, dtype_name
from .core.errors import InvalidRequest, ModelLoadError, ModelNotFound, PredictionError
from .core.spec import ModelSpec, Signature, TensorSpec
from .declared import shape_fits
from .repository.artefact import Artefact
from .repository.directory import ModelRepository, RepositoryModel
from .repository.manifest import Manifest
from .runtimes.base import Runnable, Runtime, runtime_for
from .transforms.registration import find_registered
from .transforms.steps import Find, Steps, make_steps
from .warmup import warm

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One version, ready to run. ``spec`` says what callers see, ``runnable`` what the model itself takes
    and gives, ``steps`` what is done in between. ``load_ms``: loading and warming. One thread at a time runs
    it: not every runtime can do with more."""

    spec: ModelSpec
    runnable: Runnable
    load_ms: float
    steps: Steps = field(default_factory=Steps)
    running: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def run(self, signature_name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs of the model itself by name.

        Raises InvalidRequest where ``inputs`` do not fit the signature (TensorFlow itself checks no
        shape here, and some of its kernels abort the whole process on a wrong one); whatever the
        model raises.
        """
        for tensor in self.runnable.signatures[signature_name].inputs:
            _check(tensor, inputs[tensor.name])
        with self.running:
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
        transforms: Find = find_registered,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository, self._runtimes, self._clock = repository, runtimes, clock
        self._transforms = transforms
        self._loaded: dict[str, dict[int, LoadedModel]] = {}
        self._preferred: dict[str, tuple[int, ...]] = {}
        self.loads = 0

    def get(self, name: str, version: int | None) -> LoadedModel:
        """That version, or of the preferred ones the newest that is loaded. Raises ModelNotFound."""
        versions = self._loaded.get(name, {})
        if version is None:
            version = max(versions.keys() & self._preferred.get(name, ()) or versions, default=None)
        if version is None or version not in versions:
            raise ModelNotFound(f"{name}{'' if version is None else f', version {version},'} is not loaded")
        return versions[version]

    def versions(self, name: str) -> tuple[int, ...]:
        """Loaded ones, ascending."""
        return tuple(sorted(self._loaded.get(name, ())))

    def names(self) -> tuple[str, ...]:
        """Models of which a version is loaded."""
        return tuple(name for name, versions in list(self._loaded.items()) if versions)

    def specs(self) -> tuple[ModelSpec, ...]:
        return tuple(model.spec for versions in list(self._loaded.values()) for model in versions.values())

    def timeout_s(self, name: str) -> float:
        """Hard limit of one batch of any loaded version; the default while none is."""
        versions = self._loaded.get(name, {}).values()
        return max([model.spec.timeout_s for model in versions]) if versions else Manifest().timeout_s

    def load(self, name: str, version: int) -> LoadedModel:
        """Load and warm; a version loaded before is replaced only now that the new one is ready.

        Raises ModelLoadError with the message of its cause.
        """
        started = self._clock()
        try:
            model = self._repository.model(name)
            artefact = self._repository.artefact(name, version)
            runnable = self._runtimes(artefact.kind).load(artefact, model.manifest)
            directories = model.versions[version], model.versions[version].parent
            steps = make_steps(model.manifest, runnable.signatures, directories, self._transforms)
            spec = _spec(name, version, artefact, model.manifest, steps.published(runnable.signatures))
            warm(spec, runnable, steps, examples_of(model, version))
        except PredictionError as error:
            raise ModelLoadError(f"{name}, version {version}: {error}") from error
        except Exception as error:
            raise ModelLoadError(f"{name}, version {version}: {type(error).__name__}: {error}") from error
        loaded = LoadedModel(spec, runnable, round((self._clock() - started) * 1000, 1), steps)
        self._loaded[name] = {**self._loaded.get(name, {}), version: loaded}
        self.loads += 1
        logger.info("%s, version %d loaded in %.0f ms", name, version, loaded.load_ms)
        return loaded

    def prefer(self, name: str, versions: tuple[int, ...]) -> None:
        """Of these the newest is meant where none is named."""
        self._preferred[name] = versions

    def unload(self, name: str, version: int) -> None:
        """Forget a version; its memory goes when the last call that uses it ends."""
        versions = dict(self._loaded.get(name, {}))
        versions.pop(version, None)
        self._loaded[name] = versions


def _spec(
    name: str, version: int, artefact: Artefact, manifest: Manifest, signatures: Mapping[str, Signature]
) -> ModelSpec:
    return ModelSpec(
        name=name,
        version=version,
        artefact=artefact.kind,
        digest=artefact.digest,
        signatures=signatures,
        batch=manifest.batch,
        timeout_s=manifest.timeout_s,
        queue_max_jobs=manifest.queue_max_jobs,
        inputs_finite=manifest.inputs_finite,
        outputs_finite=manifest.outputs_finite,
        retry=manifest.retry,
    )


def examples_of(model: RepositoryModel, version: int) -> tuple[Path, ...]:
    directory = model.versions[version].parent
    return tuple(directory / file for file in model.manifest.warmup)
