"""Health, as orchestrators ask for it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import StoreUnavailable
from predict_worker.service import ModelView

from ..views import ApiView, json_response


class Health(ApiView):
    """This process answers; nothing else is asked."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        return json_response({"status": "ok"})


class Readiness(ApiView):
    """200 when Redis answers and at least one model has a ready worker, else 503 with the reasons."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        try:
            service().ping()
            models = service().models()
        except StoreUnavailable as failure:
            return _report(redis=False, models=(), reasons=[f"Redis: {failure.detail}"])
        ready = any(model.ready for model in models)
        reasons = [] if ready else ["no model has a ready worker" if models else "no model is known"]
        return _report(redis=True, models=models, reasons=reasons)


def _report(*, redis: bool, models: tuple[ModelView, ...], reasons: list[str]) -> HttpResponse:
    body: dict[str, Any] = {
        "ready": not reasons,
        "redis": redis,
        "models": {m.entry.name: {str(v): count for v, count in sorted(m.ready.items())} for m in models},
        "reasons": reasons,
    }
    return json_response(body, 503 if reasons else 200)
