"""Composes predictions with tasks of the shop; prints what came of it as JSON."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
from celery import chord, group
from django.core.management import BaseCommand

from predict_worker import predict

from ....reports import total
from ...tasks import load, notify

ROW = [[2.0, 3.0]]


class Command(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        four = [predict.s("half", [[float(n), 0.0]]) for n in range(4)]
        canvases = {
            "alone": predict.s("half", ROW),
            "npy": predict.s("half", npy(np.array(ROW, np.float32)), version=1),
            "then": predict.s("half", ROW) | notify.s(),
            "between": load.s(2.0) | predict.s(model="half") | notify.s(),
            "group": group(four),
            "chord": chord(four, total.s()),
            "rows": chord([predict.s("half", npy(np.ones((1000, 2), np.float32)))], total.s()),
            "priced": predict.s("priced", [["2.00 SEK", "3.00 SEK"]]),
            "foreign": predict.s("priced", [["2.00 SEK", "3.00 EUR"]]),
            "unfit": predict.s("half", [[1.0]]),
            "version": predict.s("half", ROW, version=9),
            "astray": predict.s("ghost", ROW).set(queue="celery"),
        }
        answers = {name: answer(canvas) for name, canvas in canvases.items()}
        answers["tensorflow"] = "tensorflow" in sys.modules
        self.stdout.write(json.dumps(answers))


def answer(canvas: Any) -> Any:
    try:
        return canvas.delay().get(timeout=30)
    except Exception as error:
        return [type(error).__name__, str(error)]


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
