"""The Open Inference Protocol's paths, with Triton's extensions; included at the root."""

from __future__ import annotations

from django.urls import include, path, re_path

from predict_worker.core.ports import Mode

from ..views import NoSuchPath
from . import metadata, repository, stats, views
from .errors import OipView, Unoffered

_ONE = "models/<str:name>"
_VERSION = f"{_ONE}/versions/<str:version>"


class NoSuchOipPath(OipView, NoSuchPath):
    """Any other path of the protocol's: a project may have some of its own under v2/."""


_V2 = [
    path("health/live", metadata.Live.as_view(), name="oip-live"),
    path("health/ready", metadata.Ready.as_view(), name="oip-ready"),
    path("models/stats", stats.Stats.as_view(), name="oip-all-stats"),
    path(_ONE, metadata.Model.as_view(), name="oip-model"),
    path(f"{_ONE}/jobs/<str:job_id>", views.OneJob.as_view(), name="oip-job"),
    path(_VERSION, metadata.Model.as_view(), name="oip-version"),
    *[
        path(f"{at}/{what}", view.as_view(), name=f"oip-{kind}-{what}")
        for kind, at in (("model", _ONE), ("version", _VERSION))
        for what, view in (
            ("config", metadata.Config),
            ("infer", views.Infer),
            ("ready", metadata.ModelReady),
            ("stats", stats.Stats),
        )
    ],
    path("repository/index", repository.Index.as_view(), name="oip-index"),
    path(
        "repository/models/<str:name>/load",
        repository.SetMode.as_view(mode=Mode.SERVING),
        name="oip-load",
    ),
    path(
        "repository/models/<str:name>/unload",
        repository.SetMode.as_view(mode=Mode.DRAINING),
        name="oip-unload",
    ),
    re_path(r"^((system|cuda)sharedmemory|trace|logging)(/|$)", Unoffered.as_view()),
    re_path(r"^models/.*/(generate|generate_stream|infer_stream|trace/setting)$", Unoffered.as_view()),
    re_path(r"^(health|models|repository)/", NoSuchOipPath.as_view()),
]

urlpatterns = [
    re_path(r"^v2/?$", metadata.Server.as_view(), name="oip-server"),
    path("v2/", include(_V2)),
]
