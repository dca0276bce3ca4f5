"""The task of the comparison: one digit a call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from celery import shared_task
from celery.signals import worker_process_init

model: Callable[[Any], Any] | None = None


@worker_process_init.connect(weak=False)
def load_model(**_: object) -> None:
    global model
    import tensorflow as tf

    if os.environ["CALL"] == "predict":
        keras_model = tf.keras.models.load_model(os.environ["KERAS_MODEL"])
        model = lambda x: keras_model.predict(x, verbose=0)  # noqa: E731
    else:
        loaded = tf.saved_model.load(os.environ["SAVED_MODEL"])
        signature = loaded.signatures["serving_default"]
        model = lambda x, _=loaded: signature(x=tf.constant(x))["probabilities"].numpy()  # noqa: E731
    model(np.zeros((1, 8, 8, 1), np.float32))


@shared_task(name="naive.predict")
def predict(image: list[Any]) -> list[float]:
    assert model is not None
    answer: list[float] = model(np.array([image], np.float32))[0].tolist()
    return answer
