"""The API's paths, to be included at the root: ``path("", include("api.urls"))``."""

from __future__ import annotations

from django.urls import include, path, re_path

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

urlpatterns = [
    path("api/jobs", jobs.Jobs.as_view(), name="jobs"),
    path("api/jobs/<str:job_id>", jobs.OneJob.as_view(), name="job"),
    path("api/jobs/<str:job_id>/cancel", jobs.Cancel.as_view(), name="cancel"),
    path("api/jobs/<str:job_id>/events", events.Events.as_view(), name="events"),
    path("api/jobs/<str:job_id>/redrive", dead.Redrive.as_view(), name="redrive"),
    path("api/jobs/<str:job_id>/result", jobs.Result.as_view(), name="result"),
    path("api/models", catalogue.Models.as_view(), name="models"),
    path("api/models/<str:name>", catalogue.OneModel.as_view(), name="model"),
    path("api/models/<str:name>/dead", dead.Dead.as_view(), name="dead"),
    path("api/models/<str:name>/dead/redrive", dead.RedriveAll.as_view(), name="redrive-all"),
    path("api/models/<str:name>/drain", operating.SetMode.as_view(mode=Mode.DRAINING), name="drain"),
    path("api/models/<str:name>/labels/<str:label>", labels.Label.as_view(), name="label"),
    path("api/models/<str:name>/pause", operating.SetMode.as_view(mode=Mode.PAUSED), name="pause"),
    path("api/models/<str:name>/purge", operating.Purge.as_view(), name="purge"),
    path("api/models/<str:name>/resume", operating.SetMode.as_view(mode=Mode.SERVING), name="resume"),
    path("api/workers", catalogue.Workers.as_view(), name="workers"),
    path("", include(hooks)),
    path("", include(schema)),
    path("healthz", ops.Health.as_view(), name="healthz"),
    path("readyz", ops.Readiness.as_view(), name="readyz"),
    # No other path under api/: a project may have some of its own.
    re_path(r"^api/(docs|hooks|jobs|models|schema|workers)/", NoSuchPath.as_view()),
    path("", include(oip)),
    path("", include(replicate)),
    path("", include(tfserving)),
]
