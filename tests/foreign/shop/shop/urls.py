from django.urls import include, path

from .api.views import orders

urlpatterns = [
    path("", include("api.urls")),
    path("api/orders", orders),
]
