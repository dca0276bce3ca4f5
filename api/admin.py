"""Where Django's admin, if the project has it, looks for what an app registers."""

from .keys import admin

__all__ = ["admin"]
