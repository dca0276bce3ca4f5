"""The prediction service: the one door of every API, command and page."""

from .overview import ModelView
from .request import Answer, Limits, PredictRequest
from .service import PredictionService

__all__ = ["Answer", "Limits", "ModelView", "PredictRequest", "PredictionService"]
