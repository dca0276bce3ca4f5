from django.apps import AppConfig


class PredictionApiConfig(AppConfig):
    name = __name__.rpartition(".")[0]  # api, or predict_worker_api
    label = "prediction_api"
    verbose_name = "Prediction API"
