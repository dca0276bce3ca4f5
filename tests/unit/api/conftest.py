"""The API on a service in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from predict_worker import connect
from tests.unit.api import tfserving
from tests.unit.api.database import _tables, database
from tests.unit.world import World

__all__ = ["_tables", "database"]

MAX_BODY_BYTES = 4096


@pytest.fixture
def world() -> Iterator[World]:
    world = World(max_input_bytes=MAX_BODY_BYTES)
    with connect.use(world.service):
        yield world
    world.close()


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True, "MAX_BODY_BYTES": MAX_BODY_BYTES}):
        yield


@pytest.fixture
def client(world: World) -> Client:
    return Client()


@pytest.fixture
def half(world: World) -> World:
    return tfserving.add_models(world)
