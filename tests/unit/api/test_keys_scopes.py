"""What a key may do, and with which models."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver
from rest_framework.authtoken.models import Token

from api.urls import urlpatterns
from tests.unit.api.asking import body, post, refused
from tests.unit.api.database import asking, issue
from tests.unit.world import World

pytestmark = pytest.mark.usefixtures("database")

JOB = "/api/jobs/{job}"
OURS = ("/api/jobs", "/api/models", "/api/workers")
NEEDED = [
    ("post", "/api/jobs", "predict"),
    ("post", f"{JOB}/cancel", "predict"),
    ("post", f"{JOB}/redrive", "predict"),
    ("delete", JOB, "predict"),
    ("post", "/api/models/digits/dead/redrive", "predict"),
    ("get", "/api/jobs", "read"),
    ("get", JOB, "read"),
    ("get", f"{JOB}/result", "read"),
    ("get", f"{JOB}/events", "read"),
    ("get", "/api/models", "read"),
    ("get", "/api/models/digits", "read"),
    ("get", "/api/models/digits/dead", "read"),
    ("get", "/api/workers", "admin"),
    ("post", "/api/models/digits/pause", "admin"),
    ("post", "/api/models/digits/drain", "admin"),
    ("post", "/api/models/digits/resume", "admin"),
    ("post", "/api/models/digits/purge", "admin"),
    ("put", "/api/models/digits/labels/stable", "admin"),
    ("delete", "/api/models/digits/labels/stable", "admin"),
]
BOTH: Any = {"model": "pair", "inputs": {"a": [[1, 2]], "b": [3]}}


def ask(client: Client, method: str, path: str) -> Any:
    headers = {"content_type": "application/json"} if method in ("post", "put") else {}
    return getattr(client, method)(
        path.format(job="0-0"), body() if path == "/api/jobs" and method == "post" else {}, **headers
    )


@pytest.mark.parametrize(("method", "path", "needed"), NEEDED)
def test_every_resource_needs_a_scope(world: World, method: str, path: str, needed: str) -> None:
    for scope in ("predict", "read", "admin"):
        response = ask(asking(issue(scopes=scope)), method, path)
        if scope in (needed, "admin"):
            assert response.status_code not in (401, 403), response.content
        else:
            assert needed in refused(response, 403, "permission_denied")["detail"]


def test_every_resource_under_api_jobs_models_and_workers_is_in_the_list_above() -> None:
    (ours,) = [one for one in urlpatterns if isinstance(one, URLResolver) and str(one.pattern) == "api/"]
    patterns = [one for one in ours.url_patterns if isinstance(one, URLPattern) and one.name]
    paths = {f"/api/{one.pattern}" for one in patterns}
    for name, value in (("job_id", "{job}"), ("name", "digits"), ("label", "stable")):
        paths = {path.replace(f"<str:{name}>", value) for path in paths}
    assert {path for path in paths if path.startswith(OURS)} == {path for _, path, _ in NEEDED}


def test_a_key_may_ask_without_reading(world: World) -> None:
    client = asking(issue(scopes="predict"))
    with world.working():
        answered = post(client, prefer="wait=5")
    assert answered.status_code == 200
    refused(client.get(answered.json()["urls"]["self"]), 403, "permission_denied")


def test_an_operators_key_sees_everybodys_dead_letters(world: World) -> None:
    post(asking(issue()))
    world.bury()
    other, operator = asking(issue()), asking(issue(scopes="admin"))
    assert other.get("/api/models/digits/dead").json()["jobs"] == []
    assert other.post("/api/models/digits/dead/redrive").json()["redriven"] == []
    (job,) = operator.get("/api/models/digits/dead").json()["jobs"]
    assert operator.post("/api/models/digits/dead/redrive").json()["redriven"] == [job["id"]]


@pytest.mark.parametrize("staff", [True, False])
def test_a_key_may_what_it_says_whatever_its_user_may(world: World, staff: bool) -> None:
    user = get_user_model().objects.create(username="ada", is_staff=staff)
    refused(asking(issue(user=user)).post("/api/models/digits/pause"), 403, "permission_denied")
    assert asking(issue(user=user, scopes="admin")).post("/api/models/digits/pause").status_code == 200


# ---------------------------------------------------------------- grants


@pytest.mark.parametrize(
    ("grants", "digits", "pair"), [("digits", 202, 403), ("d* p?ir", 202, 202), ("", 202, 202)]
)
def test_a_key_is_for_some_models(world: World, grants: str, digits: int, pair: int) -> None:
    client = asking(issue(models=grants))
    assert (post(client).status_code, post(client, BOTH).status_code) == (digits, pair)
    seen = {model["name"] for model in client.get("/api/models").json()["models"]}
    assert ("digits" in seen, "pair" in seen) == (digits == 202, pair == 202)
    assert client.get("/api/models/pair").status_code == (200 if pair == 202 else 403)


def test_a_refused_model_is_named_and_nothing_is_queued(world: World) -> None:
    client = asking(issue(models="pair"))
    assert "'digits'" in refused(post(client), 403, "permission_denied")["detail"]
    refused(post(client, body(model="ghost")), 403, "permission_denied")
    assert "submit" not in world.store.calls


def test_an_operator_of_some_models_operates_no_other(world: World) -> None:
    post(asking(issue()))
    world.bury()
    operator = asking(issue(scopes="admin", models="pair"))
    assert operator.post("/api/models/pair/pause").status_code == 200
    refused(operator.post("/api/models/digits/pause"), 403, "permission_denied")
    refused(operator.get("/api/models/digits/dead"), 403, "permission_denied")
    everybodys = asking(issue(scopes="admin", models="digits"))
    (job,) = everybodys.get("/api/models/digits/dead").json()["jobs"]
    refused(operator.post(f"/api/jobs/{job['id']}/redrive"), 404, "job_not_found")


# ---------------------------------------------------------------- users


def test_users_predict_and_read_and_staff_operates(world: World) -> None:
    classes = {"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"]}
    users = [get_user_model().objects.create(username=str(staff), is_staff=staff) for staff in (False, True)]
    plain, staff = (
        Client(headers={"authorization": f"Token {Token.objects.create(user=user)}"}) for user in users
    )
    with override_settings(REST_FRAMEWORK=classes):
        at = post(plain)["Location"]
        assert world.store.get(at.rpartition("/")[2]).owner == f"user:{users[0].pk}"
        refused(staff.get(at), 404, "job_not_found")
        refused(plain.post("/api/models/digits/pause"), 403, "permission_denied")
        assert staff.post("/api/models/digits/pause").status_code == 200
        refused(plain.get("/api/workers"), 403, "permission_denied")
        assert staff.get("/api/workers").status_code == 200
        refused(post(Client(), authorization="Token wrong"), 401, "authentication_failed")
        assert post(asking(issue())).status_code == 202
