"""Webhooks: endpoints with their secrets, and the log of what was delivered."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.connect import service
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.hooks import JOBS
from predict_worker.webhooks.endpoints import OVERLAP_S

from ..auth import owner_of, scope_of
from ..keys.scopes import Scope
from ..views import ApiView, json_response
from . import fields, render


class Deliveries(ApiView):
    def get(self, request: Request) -> HttpResponse:
        limit, cursor, job_id = fields.page(request)
        page = service().webhooks.deliveries(scope_of(request), limit, cursor, job_id)
        found = [render.delivery_object(delivery) for delivery in page.deliveries]
        return json_response({"deliveries": found, "cursor": page.cursor or None})


class OneDelivery(ApiView):
    def get(self, request: Request, delivery_id: str) -> HttpResponse:
        delivery = service().webhooks.delivery(delivery_id, scope_of(request))
        return json_response(render.delivery_object(delivery))


class Replay(ApiView):
    def post(self, request: Request, delivery_id: str) -> HttpResponse:
        delivery = service().webhooks.replay(delivery_id, scope_of(request))
        return json_response(render.delivery_object(delivery), 202)


class Endpoints(ApiView):
    def get(self, request: Request) -> HttpResponse:
        found = service().webhooks.endpoints.all(scope_of(request))
        return json_response({"endpoints": [render.endpoint_object(endpoint) for endpoint in found]})

    def post(self, request: Request) -> HttpResponse:
        given = fields.body(request, "url", "events", "secret")
        url = fields.text(given, "url")
        if url is None:
            raise InvalidRequest("url", "an http or https URL", "nothing")
        wanted, secret = fields.names(given, "events"), fields.text(given, "secret")
        added = service().webhooks.endpoints.add(owner_of(request), url, wanted, secret)
        return json_response(render.endpoint_object(added, with_secret=True), 201)


class OneEndpoint(ApiView):
    """``jobs`` is the caller's own without a URL, which signs what goes to URLs that jobs name."""

    scope = Scope.PREDICT  # a secret is shown

    def get(self, request: Request, endpoint_id: str) -> HttpResponse:
        endpoints = service().webhooks.endpoints
        if endpoint_id == JOBS:
            found = endpoints.of_jobs(owner_of(request))
        else:
            found = endpoints.find(endpoint_id, scope_of(request))
        return json_response(render.endpoint_object(found, with_secret=True))

    def delete(self, request: Request, endpoint_id: str) -> HttpResponse:
        if endpoint_id == JOBS:
            raise InvalidRequest("endpoint", "one that was registered; this one can be rotated", JOBS)
        service().webhooks.endpoints.remove(endpoint_id, scope_of(request))
        return HttpResponse(status=204)


class Rotate(ApiView):
    def post(self, request: Request, endpoint_id: str) -> HttpResponse:
        given = fields.body(request, "overlap_s", "secret")
        overlap_s, secret = fields.seconds(given, "overlap_s", OVERLAP_S), fields.text(given, "secret")
        endpoints, owner = service().webhooks.endpoints, scope_of(request)
        if endpoint_id == JOBS:
            owner = endpoints.of_jobs(owner_of(request)).owner
        rotated = endpoints.rotate(endpoint_id, owner, overlap_s, secret)
        return json_response(render.endpoint_object(rotated, with_secret=True))


class Enable(ApiView):
    def post(self, request: Request, endpoint_id: str) -> HttpResponse:
        return json_response(
            render.endpoint_object(service().webhooks.endpoints.enable(endpoint_id, scope_of(request)))
        )
