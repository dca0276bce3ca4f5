"""TensorFlow Serving's REST API: classify and regress, whose rows are serialised examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client

from api.tfserving.examples import serialised
from predict_worker.codec import unpack
from predict_worker.core.ports import ModelEntry
from predict_worker.core.spec import ModelSpec, Signature, TensorSpec
from tests.unit.api.tfserving import ask, refused
from tests.unit.world import World, worker

EXAMPLES = (TensorSpec("inputs", "string", None),)
SCORES = TensorSpec("scores", "float32", (-1, -1))
METHOD = "tensorflow/serving"


@pytest.fixture
def judge(world: World) -> World:
    """A model with signatures to classify and to regress."""
    signatures = [
        Signature("serving_default", EXAMPLES, (SCORES,), f"{METHOD}/classify"),
        Signature("value", EXAMPLES, (TensorSpec("outputs", "float32", (-1, 1)),), f"{METHOD}/regress"),
        Signature("floats", (TensorSpec("inputs", "float32", (-1, 1)),), (SCORES,), f"{METHOD}/classify"),
    ]
    world.catalogue_store.publish_models([ModelEntry("judge", (1,))])
    named = {signature.name: signature for signature in signatures}
    world.catalogue_store.publish_specs([ModelSpec("judge", 1, "saved_model", "sha256:1", named)])
    world.catalogue_store.beat(worker(("judge", 1)), ttl_s=60)
    return world


def answering(world: World, **outputs: Any) -> list[Any]:
    """From now on the model gives these; what it is asked is noted."""
    seen: list[Any] = []

    def answer(model: str, entry: Any) -> dict[str, Any]:
        seen.append(unpack(entry.payload)["inputs"].tolist())
        return {
            name: np.array(value, object if name == "classes" else None) for name, value in outputs.items()
        }

    world.answer = answer  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"scores": [[3.0], [0.5]]}, [[["", 3.0]], [["", 0.5]]]),
        ({"classes": [[b"a", b"b"]], "scores": [[0.25, 0.75]]}, [[["a", 0.25], ["b", 0.75]]]),
        ({"classes": [[b"a"], [b"b"]]}, [[["a", 0.0]], [["b", 0.0]]]),
    ],
)
def test_classes_come_with_their_scores(client: Client, judge: World, outputs: Any, told: Any) -> None:
    seen = answering(judge, **outputs)
    with judge.working("judge"):
        response = ask(client, "judge:classify", {"examples": [{"x": 2.0}, {"x": 3.0}]})
    assert (response.status_code, response.json()) == (200, {"results": told})
    assert seen == [serialised([{"x": 2.0}, {"x": 3.0}], {}).tolist()]


@pytest.mark.parametrize("value", [[3.0, 3.5], [[3.0], [3.5]]])
def test_regression_gives_a_number_for_each_example(client: Client, judge: World, value: Any) -> None:
    answering(judge, outputs=value)
    with judge.working("judge"):
        asked = {"signature_name": "value", "context": {"x": 1.0}, "examples": [{}, {"x": 2}]}
        assert ask(client, "judge:regress", asked).json() == {"results": [3.0, 3.5]}


@pytest.mark.parametrize(
    ("verb", "asked", "text"),
    [
        ("classify", {}, "When method is classify, key 'examples' is expected and was not found"),
        ("classify", {"examples": []}, "examples: expected a list of at least one, got a list of 0"),
        ("classify", {"examples": [{}, 1]}, "examples[1]: expected an object, got 1"),
        ("classify", {"examples": [{}], "context": None}, "context: expected an object, got null"),
        ("classify", {"examples": [{"x": None}]}, "examples[0].x: expected numbers, texts or bytes"),
        ("classify", {"examples": [{"x": [1, "a"]}]}, "examples[0].x"),
        ("classify", {"examples": [{"x": [1, True]}]}, "examples[0].x"),
        ("classify", {"examples": [{"x": [[1.0]]}]}, "examples[0].x"),
        ("classify", {"examples": [{"x": {"b64": "?"}}]}, "examples[0].x"),
        ("classify", {"examples": [{"x": {"b65": ""}}]}, "examples[0].x"),
        ("classify", {"examples": [{"x": 2**63}]}, "examples[0].x"),
        ("classify", {"examples": [{"x": 1e300}]}, "examples[0].x"),
        ("regress", {"examples": [{}]}, f"method_name to be {METHOD}/regress. Was: {METHOD}/classify"),
        ("classify", {"examples": [{}], "signature_name": "value"}, "Expected classification signature"),
        (
            "classify",
            {"examples": [{}], "signature_name": "floats"},
            "takes no examples but inputs (float32)",
        ),
        ("classify", {"examples": [{}], "signature_name": "x"}, 'name: "x" not found in signature def'),
    ],
)
def test_what_is_no_example_is_400(client: Client, judge: World, verb: str, asked: Any, text: str) -> None:
    refused(ask(client, f"judge:{verb}", asked), 400, text)
    assert "submit" not in judge.store.calls


@pytest.mark.parametrize(
    ("verb", "outputs"),
    [
        ("classify", {"scores": [0.5]}),
        ("classify", {"other": [[0.5]]}),
        ("classify", {"scores": [[0.5]], "classes": [[b"a", b"b"]]}),
        ("regress", {"outputs": [[1.0, 2.0]]}),
        ("regress", {"other": [1.0]}),
    ],
)
def test_answers_of_another_shape_are_told(client: Client, judge: World, verb: str, outputs: Any) -> None:
    answering(judge, **outputs)
    asked: dict[str, Any] = {"examples": [{}], "signature_name": "value" if verb == "regress" else ""}
    with judge.working("judge"):
        refused(ask(client, f"judge:{verb}", asked), 400, "but got")


def test_a_model_that_nobody_has_loaded_is_asked_unchecked(client: Client, world: World) -> None:
    asked = {"examples": [{"x": 1.0}]}
    assert ask(client, "fresh:classify", asked, prefer="respond-async").status_code == 202


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        # Written by TensorFlow: tf.train.Example(...).SerializeToString()
        ({"x": 2.0}, "0a0f0a0d0a0178120812060a0400000040"),
        ({"x": [1, 2.5]}, "0a130a110a0178120c120a0a080000803f00002040"),
        ({"n": [0, 300, -1]}, "0a180a160a016e12111a0f0a0d00ac02ffffffffffffffffff01"),
        ({"b": [True, False]}, "0a0d0a0b0a016212061a040a020100"),
        ({"s": ["é", {"b64": "/w=="}]}, "0a100a0e0a017312090a070a02c3a90a01ff"),
    ],
)
def test_examples_are_serialised_as_tensorflow_does(feature: Any, message: str) -> None:
    assert serialised([feature], {}).tolist() == [bytes.fromhex(message)]


def test_an_examples_own_feature_comes_before_the_contexts() -> None:
    assert serialised([{"x": 1}], {"x": 2, "y": 3}).tolist() == serialised([{"x": 1, "y": 3}], {}).tolist()
