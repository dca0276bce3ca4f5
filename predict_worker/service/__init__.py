"""The prediction service: the one door of every API, command and page."""

from .backlog import MAX_PAGE, Page, Redriven
from .overview import ModelView
from .request import Answer, Limits, PredictRequest
from .service import PredictionService
from .webhooks import Webhooks

__all__ = [
    "MAX_PAGE",
    "Answer",
    "Limits",
    "ModelView",
    "Page",
    "PredictRequest",
    "PredictionService",
    "Redriven",
    "Webhooks",
]
