from django.apps import AppConfig


class PredictionApiConfig(AppConfig):
    name = "api"
    label = "prediction_api"
    verbose_name = "Prediction API"
