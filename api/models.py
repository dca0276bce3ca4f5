"""Where Django looks for the models of an app."""

from .keys.models import ApiKey

__all__ = ["ApiKey"]
