"""The web serves without ever importing a model's runtime, or the workers' side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SERVE = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from django.test import Client, override_settings
from predict_worker import cancel, connect, get_job, submit, wait
from tests.unit.api.asking import post
from tests.unit.world import DIGIT, World

world = World()
with connect.use(world.service), override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True}):
    client = Client()
    with world.working():
        assert post(client, prefer="wait=5").status_code == 200
    at = post(client)["Location"]
    paths = (at, "/api/models/digits", "/api/workers", "/readyz")
    statuses = [client.get(path).status_code for path in paths]
    assert statuses == [200] * 4, statuses
    assert submit("digits", DIGIT).state == "queued"
print(json.dumps(sorted(sys.modules)))
"""
FORBIDDEN = ("tensorflow", "keras", "ai_edge_litert", "onnxruntime", "PIL")
WORKERS_ONLY = ("runtimes", "transforms", "batch", "registry", "executor", "node", "tasks", "boot")


def test_serving_imports_no_runtime_and_nothing_of_the_workers() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", SERVE], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout)
    assert "predict_worker.service.service" in modules
    assert [m for m in modules if m.split(".")[0] in FORBIDDEN] == []
    assert [
        m for m in modules if m.startswith(tuple(f"predict_worker.{name}" for name in WORKERS_ONLY))
    ] == []
