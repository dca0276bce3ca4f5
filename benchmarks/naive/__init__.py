"""The way of most tutorials, honestly written: a DRF view, ``task.delay(list)``, Celery's result backend.

Each worker process loads the model once. ``CALL`` chooses ``predict`` (Keras' own) or ``traced`` (the
SavedModel's signature).
"""
