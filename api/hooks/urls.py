"""The paths of webhooks."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("api/hooks/deliveries", views.Deliveries.as_view(), name="deliveries"),
    path("api/hooks/deliveries/<str:delivery_id>", views.OneDelivery.as_view(), name="delivery"),
    path("api/hooks/deliveries/<str:delivery_id>/replay", views.Replay.as_view(), name="replay"),
    path("api/hooks/endpoints", views.Endpoints.as_view(), name="endpoints"),
    path("api/hooks/endpoints/<str:endpoint_id>", views.OneEndpoint.as_view(), name="endpoint"),
    path("api/hooks/endpoints/<str:endpoint_id>/enable", views.Enable.as_view(), name="enable-endpoint"),
    path("api/hooks/endpoints/<str:endpoint_id>/rotate", views.Rotate.as_view(), name="rotate-endpoint"),
]
