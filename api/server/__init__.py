"""An ASGI application around Django's WSGI handler: requests that wait for a result hold no thread."""

from .asgi import Server

__all__ = ["Server"]
