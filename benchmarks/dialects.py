"""What a dialect costs beside the native API, for the same tensor: ``python -m benchmarks.dialects``.

CPU time of whole calls through Django's WSGI handler, jobs in memory and answered as they come, native and
dialects in turn in one run; the worker's part is a constant answer. Prints ratios to ``native json``, of
``oip binary`` to ``native npy``, and writes ``benchmarks/results/dialects.json``.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.test import override_settings  # noqa: E402

from predict_worker import connect  # noqa: E402
from predict_worker.codec import write_npy  # noqa: E402
from tests.unit.world import World, spec  # noqa: E402

from .run import RESULTS  # noqa: E402

JSON, ROWS = "application/json", (1, 32)
HANDLER = WSGIHandler()


@dataclass(frozen=True)
class Call:
    path: str
    body: bytes
    kind: str = JSON
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> bytes:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "CONTENT_TYPE": self.kind,
            "CONTENT_LENGTH": str(len(self.body)),
            "HTTP_PREFER": "wait=5",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            **self.headers,
        }
        statuses: list[str] = []
        response = HANDLER(environ, lambda status, headers: statuses.append(status))  # type: ignore[arg-type]
        content = b"".join(response)
        response.close()
        if statuses[0][:3] not in ("200", "201"):
            raise SystemExit(f"{self.path}: {statuses[0]} {content[:300]!r}")
        return content


class Eager:
    """Wake-ups that answer what waits before they return."""

    def __init__(self, world: World) -> None:
        self._world, self._sent = world, world.wakeups.send

    def __call__(self, model: str, token: str) -> None:
        self._sent(model, token)
        while self._world.run(model):
            pass
        self._world.wakeups.sent.clear()


def calls(rows: int) -> dict[str, Call]:
    array = np.random.default_rng(0).integers(0, 17, (rows, 8, 8, 1)).astype(np.float32)
    nested, raw = array.tolist(), array.tobytes()
    tensor: dict[str, Any] = {"name": "x", "shape": list(array.shape), "datatype": "FP32"}
    head = dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
            "parameters": {"binary_data_output": True},
        }
    )
    length = {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": str(len(head))}
    tf_serving, oip = "/v1/models/digits:predict", "/v2/models/digits/infer"
    return {
        "native json": Call("/api/jobs", dumps({"model": "digits", "inputs": nested})),
        "native npy": Call("/api/jobs", write_npy(array), "application/x-npy", "model=digits"),
        "tfserving rows": Call(tf_serving, dumps({"instances": nested})),
        "tfserving columns": Call(tf_serving, dumps({"inputs": nested})),
        "oip json": Call(oip, dumps({"inputs": [{**tensor, "data": array.reshape(-1).tolist()}]})),
        "oip binary": Call(oip, head + raw, "application/octet-stream", headers=length),
        "replicate": Call("/v1/predictions", dumps({"version": "digits", "input": {"x": nested}})),
    }


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


def measure(rows: int, rounds: int) -> dict[str, dict[str, float]]:
    asked = calls(rows)
    taken: dict[str, list[int]] = {name: [] for name in asked}
    for number in range(rounds + 20):
        for name, call in asked.items():
            start = time.process_time_ns()
            call()
            if number >= 20:  # the first warm up
                taken[name].append(time.process_time_ns() - start)
    return {
        name: {"min_us": min(spent) / 1000, "median_us": statistics.median(spent) / 1000}
        for name, spent in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-r", "--rounds", type=int, default=500)
    rounds = parser.parse_args().rounds
    world, results = World(), {}
    world.catalogue_store.publish_specs([spec("digits")])  # its batches hold all the rows
    world.wakeups.send = Eager(world)  # type: ignore[method-assign]
    settings = {"ALLOW_ANONYMOUS": True}
    with connect.use(world.service), override_settings(PREDICT_WORKER=settings, ALLOWED_HOSTS=["*"]):
        for rows in ROWS:
            gc.collect()
            results[f"{rows} rows"] = table = measure(rows, rounds)
            for name, row in table.items():
                base = table["native npy" if name == "oip binary" else "native json"]
                ratios = "  ".join(f"{kind} {row[kind]:7.0f} ({row[kind] / base[kind]:.2f})" for kind in row)
                print(f"{rows:3d} rows  {name:18s} {ratios}")
    world.close()
    found = {"rounds": rounds, "load_average": os.getloadavg()[0], **results}
    (RESULTS / "dialects.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
