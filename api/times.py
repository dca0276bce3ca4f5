"""Moments as the API writes them."""

from predict_worker.job_object import rfc3339

__all__ = ["rfc3339"]
