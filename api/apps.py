from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import request_started


class PredictionApiConfig(AppConfig):
    name = __name__.rpartition(".")[0]  # api, or predict_worker_api
    label = "prediction_api"
    verbose_name = "Prediction API"

    def ready(self) -> None:
        from . import checks  # it needs the models, which are not ready before
        from .content_type import shield

        register(checks.check_keys, checks.TAG, deploy=True)
        request_started.connect(shield)
