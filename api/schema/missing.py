"""What is said where the packages of the description are not installed."""

from __future__ import annotations

from predict_worker.core.errors import PredictionError

PACKAGES = ("drf_spectacular", "drf_spectacular_sidecar")


class NotInstalled(PredictionError):
    """The description needs packages that only the extra ``schema`` brings."""

    code = "not_offered"
    title = "Not offered"

    def __init__(self, failure: ModuleNotFoundError) -> None:
        """Raises ``failure`` itself where it is of any other package."""
        missing = (failure.name or "").partition(".")[0]
        if missing not in PACKAGES:
            raise failure
        super().__init__(f"{missing} is not installed here; the extra predict-worker[schema] brings it")
