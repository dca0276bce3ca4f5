"""What the service knows of its models and workers, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from predict_worker.service import PredictionService

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Samples = Iterable[tuple[str, float]]


def exposition(service: PredictionService) -> str:
    """Gauges alone: all is read from the store, none of it is counted here. Raises StoreUnavailable."""
    models = service.models()
    stats = {model.entry.name: service.queues.stats(model.entry.name) for model in models}
    ready = [
        (f'model="{model.entry.name}",version="{version}"', count)
        for model in models
        for version, count in sorted(model.ready.items())
    ]
    workers = Counter(worker.state for worker in service.workers())
    return "".join(
        [
            _gauge(
                "queue_waiting",
                "Row ranges of jobs that wait for a worker",
                [(f'model="{name}"', of.waiting) for name, of in stats.items()],
            ),
            _gauge(
                "queue_running",
                "Row ranges of jobs that workers have claimed",
                [(f'model="{name}"', of.running) for name, of in stats.items()],
            ),
            _gauge(
                "entry_seconds",
                "Measured time of one row range, batching included; 0 while unknown",
                [(f'model="{name}"', of.entry_ms / 1000) for name, of in stats.items()],
            ),
            _gauge("model_ready_workers", "Workers that serve this version", ready),
            _gauge("workers", "Workers by state", [(f'state="{s}"', n) for s, n in sorted(workers.items())]),
        ]
    )


def _gauge(name: str, text: str, samples: Samples) -> str:
    full = f"predict_worker_{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} gauge"]
    return "\n".join([*lines, *(f"{full}{{{labels}}} {value}" for labels, value in samples), ""])
