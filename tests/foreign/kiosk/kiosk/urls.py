from django.urls import include, path

urlpatterns = [
    path("", include("predict_worker_api.urls")),
    path("api/", include("api.urls")),
]
