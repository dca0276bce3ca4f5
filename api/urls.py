"""The API's paths, to be included at the root: ``path("", include("api.urls"))``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from predict_worker.core.ports import Mode

from .catalogue import labels, operating
from .catalogue import views as catalogue
from .hooks import urls as hooks
from .jobs import dead, events
from .jobs import views as jobs
from .oip import urls as oip
from .ops import views as ops
from .replicate import urls as replicate
from .schema import urls as schema
from .tfserving import urls as tfserving
from .views import NoSuchPath

app_name = "prediction_api"

_API: list[URLPattern | URLResolver] = [
    path("jobs", jobs.Jobs.as_view(), name="jobs"),
    path("jobs/<str:job_id>", jobs.OneJob.as_view(), name="job"),
    path("jobs/<str:job_id>/cancel", jobs.Cancel.as_view(), name="cancel"),
    path("jobs/<str:job_id>/events", events.Events.as_view(), name="events"),
    path("jobs/<str:job_id>/redrive", dead.Redrive.as_view(), name="redrive"),
    path("jobs/<str:job_id>/result", jobs.Result.as_view(), name="result"),
    path("models", catalogue.Models.as_view(), name="models"),
    path("models/<str:name>", catalogue.OneModel.as_view(), name="model"),
    path("models/<str:name>/dead", dead.Dead.as_view(), name="dead"),
    path("models/<str:name>/dead/redrive", dead.RedriveAll.as_view(), name="redrive-all"),
    path("models/<str:name>/drain", operating.SetMode.as_view(mode=Mode.DRAINING), name="drain"),
    path("models/<str:name>/labels/<str:label>", labels.Label.as_view(), name="label"),
    path("models/<str:name>/pause", operating.SetMode.as_view(mode=Mode.PAUSED), name="pause"),
    path("models/<str:name>/purge", operating.Purge.as_view(), name="purge"),
    path("models/<str:name>/resume", operating.SetMode.as_view(mode=Mode.SERVING), name="resume"),
    path("workers", catalogue.Workers.as_view(), name="workers"),
    path("hooks/", include(hooks)),
    path("", include(schema)),
    # No other path under api/: a project may have some of its own.
    re_path(r"^(docs|hooks|jobs|models|schema|workers)/", NoSuchPath.as_view()),
]

# Each by its prefix: Django tries one pattern after the other, and nine of ten are another dialect's.
urlpatterns = [
    path("api/", include(_API)),
    path("healthz", ops.Health.as_view(), name="healthz"),
    path("readyz", ops.Readiness.as_view(), name="readyz"),
    path("", include(oip)),
    path("", include(replicate)),
    path("", include(tfserving)),
]
