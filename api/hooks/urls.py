"""The paths of webhooks, below ``api/hooks/``."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("deliveries", views.Deliveries.as_view(), name="deliveries"),
    path("deliveries/<str:delivery_id>", views.OneDelivery.as_view(), name="delivery"),
    path("deliveries/<str:delivery_id>/replay", views.Replay.as_view(), name="replay"),
    path("endpoints", views.Endpoints.as_view(), name="endpoints"),
    path("endpoints/<str:endpoint_id>", views.OneEndpoint.as_view(), name="endpoint"),
    path("endpoints/<str:endpoint_id>/enable", views.Enable.as_view(), name="enable-endpoint"),
    path("endpoints/<str:endpoint_id>/rotate", views.Rotate.as_view(), name="rotate-endpoint"),
]
