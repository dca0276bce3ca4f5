"""Keys, grants and rates hold in every dialect, which says so in its own words."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.unit.api.database import asking, issue
from tests.unit.world import DIGIT, World

pytestmark = pytest.mark.usefixtures("database")

OIP = {"inputs": [{"name": "x", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": DIGIT}]}
SUBMITS = {
    "native": ("/api/jobs", {"model": "digits", "inputs": DIGIT}),
    "tfserving": ("/v1/models/digits:predict", {"inputs": DIGIT}),
    "oip": ("/v2/models/digits/infer", OIP),
    "replicate": ("/v1/predictions", {"version": "digits", "input": {"x": DIGIT}}),
}


def submit(client: Client, dialect: str) -> Any:
    """A job, not waited for."""
    path, body = SUBMITS[dialect]
    return client.post(path, body, "application/json", headers={"Prefer": "respond-async"})


@pytest.fixture(params=SUBMITS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_without_a_key_it_is_401(dialect: str, client: Client) -> None:
    assert submit(client, dialect).status_code == 401


def test_another_keys_job_does_not_exist(dialect: str, world: World) -> None:
    accepted = submit(asking(issue()), dialect)
    assert accepted.status_code in (201, 202), accepted.content
    (job_id,) = world.store.jobs(None).job_ids
    at = accepted["Location"] if accepted.has_header("Location") else f"{SUBMITS[dialect][0]}/{job_id}"
    unknown = at.replace(job_id, job_id[:-6] + "000000")
    other = asking(issue())
    seen, missing = other.get(at), other.get(unknown)
    assert (seen.status_code, missing.status_code) == (404, 404), seen.content


def test_a_key_that_only_reads_is_403(dialect: str, world: World) -> None:
    assert submit(asking(issue(scopes="read")), dialect).status_code == 403


def test_a_key_of_other_models_is_403_and_nothing_is_queued(dialect: str, world: World) -> None:
    assert submit(asking(issue(models="pair")), dialect).status_code == 403
    assert world.store.jobs(None).job_ids == ()


def test_a_key_beyond_its_rate_is_429(dialect: str, world: World) -> None:
    client = asking(issue(rate_limit="1/60s"))
    assert submit(client, dialect)["RateLimit"] == '"default";r=0;t=60'
    refused = submit(client, dialect)
    assert refused.status_code == 429, refused.content
    assert (refused["Retry-After"], refused["RateLimit"]) == ("60", '"default";r=0;t=60')
    assert len(world.store.jobs(None).job_ids) == 1
