"""What a request leaves behind."""

from __future__ import annotations

import gc
import json

from django.test import Client

from tests.unit.world import World


def test_a_request_leaves_nothing_to_the_garbage_collector(client: Client, world: World) -> None:
    body = json.dumps({"model": "digits", "inputs": [[[[0.0]] * 8] * 8]})

    def submit() -> None:
        assert client.post("/api/jobs", body, "application/json").status_code == 202

    submit()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(10):
            submit()
        gc.collect()
        inputs = [one for one in gc.garbage if one == [0.0]]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert inputs == []
