"""What a WSGI server runs."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

application = get_wsgi_application()

# Inputs are hundreds of lists a request, and no garbage in cycles: at its default the collector would look
# through them several times a request, and now and then through every module.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)
