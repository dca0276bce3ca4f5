"""The API's description as a document."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import StoreUnavailable
from predict_worker.service import ModelView

from ..auth import OwnersOnly, may_use
from ..views import ApiView, json_response
from .missing import NotInstalled


class Schema(ApiView):
    """For everybody; what it says of models is for callers who may read, of those that they may use."""

    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        try:  # at its first use: it takes 10 MB, which a process that is never asked should not hold
            from . import document
        except ModuleNotFoundError as failure:
            raise NotInstalled(failure) from None
        return json_response(document.of(self._models(request)), headers={"Vary": "Authorization, X-Api-Key"})

    def _models(self, request: Request) -> list[ModelView]:
        if not OwnersOnly().has_permission(request, self):
            return []
        try:
            return [model for model in service().models() if may_use(request, model.entry.name)]
        except StoreUnavailable:  # the rest is true all the same
            return []
