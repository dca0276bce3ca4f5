"""The statistics extension: what the living workers have counted together since each of them started.

What nobody counts (the time before and after the model's call, caches) is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.ports import ServedCounts
from predict_worker.service import ModelView

from ..auth import may_use
from ..views import json_response
from .errors import OipView
from .refs import model_ref


class Stats(OipView):
    """Of one version, of all of a model's, or of all models."""

    def get(self, request: Request, name: str | None = None, version: str | None = None) -> HttpResponse:
        if name is None:
            models = [model for model in service().models() if may_use(request, model.entry.name)]
            return _answered(stats for model in models for stats in _of_model(model))
        chosen = None if version is None else service().resolve(model_ref(name, version)).version
        return _answered(_of_model(service().model(name), chosen))


def _answered(stats: Iterable[dict[str, Any]]) -> HttpResponse:
    return json_response({"model_stats": list(stats)})


def _of_model(model: ModelView, version: int | None = None) -> list[dict[str, Any]]:
    name = model.entry.name
    counted = [counts for worker in model.workers for counts in worker.served if counts.model == name]
    known = {*model.entry.versions, *model.ready, *(counts.version for counts in counted)}
    versions = sorted(known) if version is None else [version]
    return [_of_version(name, one, [c for c in counted if c.version == one]) for one in versions]


def _of_version(name: str, version: int, counted: Sequence[ServedCounts]) -> dict[str, Any]:
    succeeded, failed = sum(c.succeeded for c in counted), sum(c.failed for c in counted)
    queue_ms, predict_ms = sum(c.queue_ms for c in counted), sum(c.predict_ms for c in counted)
    nothing = ("compute_input", "compute_output", "cache_hit", "cache_miss")
    return {
        "name": name,
        "version": str(version),
        "last_inference": max((c.last_us for c in counted), default=0) // 1000,
        "inference_count": sum(c.rows for c in counted),
        "execution_count": sum(c.batches for c in counted),
        "inference_stats": {
            "success": _duration(succeeded, queue_ms + predict_ms),
            "fail": _duration(failed, 0),
            "queue": _duration(succeeded, queue_ms),
            "compute_infer": _duration(succeeded, predict_ms),
            **{one: _duration(0, 0) for one in nothing},
        },
        "batch_stats": [],
    }


def _duration(count: int, milliseconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(milliseconds * 1e6)}
