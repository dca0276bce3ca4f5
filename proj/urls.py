"""Everything is mounted at the root: the dialects bring their own prefixes."""

from django.urls import include, path, re_path

from api.views import NoSuchPath

urlpatterns = [
    path("", include("api.urls")),
    re_path(r"^api(/|$)", NoSuchPath.as_view()),
]
