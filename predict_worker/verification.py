"""One version of a model, loaded and run in a process of its own: ``python -m predict_worker.verification``.

``manage.py models verify`` and ``warm`` start it: what loads models never runs in a process of management.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Any

from .conf import get_config
from .core.errors import PredictionError
from .registry import ModelRegistry, examples_of
from .repository.directory import ModelRepository
from .runtimes.base import runtime_for
from .runtimes.threads import set_threads, threads_per_child
from .transforms import discovery
from .warmup import run_example


def verified(name: str, version: int) -> dict[str, Any]:
    """What a worker's child would find: ``spec`` as it publishes it, ``load_ms`` with the warm-up, and how
    long each of the owner's ``examples`` then takes. Raises PredictionError's kinds."""
    config = get_config()
    set_threads(threads_per_child(1))
    repository = ModelRepository(config.model_repository)
    runtimes = partial(runtime_for, allow_python=config.allow_python_models)
    loaded = ModelRegistry(repository, runtimes, discovery.find).load(name, version)
    examples = []
    for example in examples_of(repository.model(name), version):
        started = time.monotonic()
        run_example(loaded.spec, loaded.runnable, loaded.steps, example)
        examples.append({"file": example.name, "ms": round((time.monotonic() - started) * 1000, 1)})
    return {"spec": loaded.spec.to_dict(), "load_ms": loaded.load_ms, "examples": examples}


def main(name: str, version: str) -> None:
    """Prints what it finds, or ``{"error": …}``, as JSON: alone, since libraries that print go elsewhere."""
    import django

    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    django.setup()
    try:
        found = verified(name, int(version))
    except PredictionError as error:
        found = {"error": str(error)}
    with answer:
        json.dump(found, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
