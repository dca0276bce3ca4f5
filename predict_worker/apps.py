from django.apps import AppConfig
from django.core.checks import register

from . import checks, deployment


class PredictWorkerConfig(AppConfig):
    name = "predict_worker"
    label = "predict_worker"
    verbose_name = "Predictions"

    def ready(self) -> None:
        for check in checks.ALWAYS:
            register(check, checks.TAG)
        for check in deployment.BEFORE_DEPLOYMENT:
            register(check, checks.TAG, deploy=True)
