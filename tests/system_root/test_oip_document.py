"""The ``/v2`` dialect beside the published description of its protocol: whatever is asked, answers fit it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from predict_worker import connect
from tests.system_root import oip_document
from tests.unit.world import World

BOUNDED = settings(max_examples=25, suppress_health_check=list(HealthCheck))
load_all_checks()
CONFORMS = [CHECKS.get_one(f"{what}_conformance") for what in ("content_type", "response_schema")]
MODELS = {
    "digits": [{"name": "x", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": [0.5] * 64}],
    "pair": [
        {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [[1, "NaN"]]},
        {"name": "b", "shape": [1], "datatype": "INT64", "data": [3]},
    ],
}
STATED = {400, 404}
"""What docs/open-inference-protocol.md says of requests that are wrong, or ask for what does not exist."""

STREAMING = ("infer_stream", "generate", "generate_stream")
"""MLServer's own; the specification has no such paths."""


@pytest.fixture
def world() -> Iterator[World]:
    """With a worker that answers all that comes."""
    world = World()
    wanted = {"ALLOW_ANONYMOUS": True, "MAX_WAIT_S": 5}
    with override_settings(PREDICT_WORKER=wanted), connect.use(world.service), world.answering(*MODELS):
        yield world
    world.close()


def operations(document: dict[str, Any], offered: bool) -> Iterator[Any]:
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.app = WSGIHandler()
    for result in schema.get_all_operations():
        if result.ok().path.endswith(STREAMING) != offered:
            yield result.ok()


def statuses(operation: Any) -> Counter[int]:
    """What many requests are answered, each checked: some fit the description and some do not, some ask for
    what exists and some for anything."""
    seen: Counter[int] = Counter()

    @given(data=st.data())
    @BOUNDED
    def ask(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(modes(operation)))
        model = data.draw(st.sampled_from([None, *MODELS]))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if model is not None:
            name_what_exists(case, model, fits=mode is GenerationMode.POSITIVE)
        response = case.call()
        seen[response.status_code] += 1
        if response.status_code != 200:
            assert response.json().keys() == {"error"}, response.text
        if str(response.status_code) in case.operation.definition.raw["responses"]:
            case.validate_response(response, checks=CONFORMS)

    ask()
    return seen


def modes(operation: Any) -> list[GenerationMode]:
    """What has no body and no parameters but in its path can only be asked as described."""
    return list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]


def name_what_exists(case: Any, model: str, fits: bool) -> None:
    there = {"model_name": model, "model_version": "1"}
    case.path_parameters |= {name: value for name, value in there.items() if name in case.path_parameters}
    if fits and isinstance(case.body, dict) and "inputs" in case.body:
        case.body["inputs"] = MODELS[model]
        case.body.pop("outputs", None)


def test_the_protocol_is_spoken_as_described(world: World) -> None:
    check(operations(oip_document.dataplane(), offered=True), 9)


def test_the_repository_extension_is_spoken_as_described(world: World) -> None:
    check(operations(oip_document.repository(), offered=True), 3)


def test_what_is_no_part_of_the_protocol_is_not_offered(world: World) -> None:
    seen = [statuses(operation).keys() for operation in operations(oip_document.dataplane(), offered=False)]
    assert len(seen) == 6
    assert all({501} <= answered <= {404, 501} for answered in seen), seen


def check(described: Iterator[Any], number: int) -> None:
    seen = {operation.label: statuses(operation) for operation in described}
    assert len(seen) == number
    for label, answered in seen.items():
        assert {200} <= answered.keys() <= {200, *STATED}, (label, answered)
