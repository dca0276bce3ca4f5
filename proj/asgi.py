"""What an ASGI server runs (Procfile): a request that waits for its result holds no thread."""

import os

# As many may wait as there is memory for, not as there are threads.
os.environ.setdefault("PREDICT_WORKER_MAX_WAITERS", "500")
os.environ.setdefault("PREDICT_WORKER_MAX_STREAMS", "200")
# Should a middleware ask the database in the loop's thread: no two requests do so at once.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

from .wsgi import application as wsgi  # it sets up Django, which the next needs

# isort: split
from api.server import Server

application = Server(wsgi, threads=int(os.environ.get("WEB_THREADS") or "80"))
