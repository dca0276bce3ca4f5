"""From a request's body to what is predicted, and the form in which the answer is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from predict_worker.codec import STRING, Arrays, Columnar, Instances, RawInputs
from predict_worker.codec.from_json import describe
from predict_worker.core.spec import DEFAULT_SIGNATURE, ModelSpec, Signature

from .errors import InvalidArgument
from .examples import serialised
from .targets import signature_of
from .widen import widened


class Form(StrEnum):
    """How an answer is written. A job that is looked at later keeps it in its metadata."""

    ROWS = "rows"
    FLAT_ROWS = "flat rows"  # of one element each, which were widened on their way in
    COLUMNS = "columns"
    FLAT_COLUMNS = "flat columns"
    CLASSES = "classes"
    VALUES = "values"


METHODS: Mapping[str, Form] = {"classify": Form.CLASSES, "regress": Form.VALUES}
EXAMPLES = "inputs"
"""The input's name in every signature that takes serialised examples."""


@dataclass(frozen=True, slots=True)
class Question:
    inputs: RawInputs
    signature_name: str
    form: Form


def question(verb: str, fields: Mapping[str, Any], spec: ModelSpec | None) -> Question:
    """Raises InvalidArgument."""
    name = fields.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidArgument("'signature_name' key must be a string value.")
    name = name or DEFAULT_SIGNATURE
    signature = signature_of(spec, name)
    if verb == "predict":
        raw, form = _tensors(fields)
        flat = False
        if signature is not None:
            raw, flat = widened(raw, signature)
        return Question(raw, name, Form(f"flat {form}") if flat else form)
    if signature is not None:
        _check_method(signature, verb)
    if "examples" not in fields:
        raise InvalidArgument(f"When method is {verb}, key 'examples' is expected and was not found")
    examples = serialised(fields["examples"], fields.get("context", {}))
    return Question(Arrays({EXAMPLES: examples}), name, METHODS[verb])


def _tensors(fields: Mapping[str, Any]) -> tuple[Columnar | Instances, Form]:
    if "instances" in fields and "inputs" in fields:
        raise InvalidArgument("Not formatted correctly: expected only one of 'inputs' and 'instances' keys")
    if "inputs" in fields:
        return Columnar(fields["inputs"]), Form.COLUMNS
    if "instances" not in fields:
        raise InvalidArgument("Missing 'inputs' or 'instances' key")
    rows = fields["instances"]
    if not isinstance(rows, list) or not rows:
        raise InvalidArgument(f"instances: expected a list of at least one row, got {describe(rows)}")
    return Instances(rows), Form.ROWS


def _check_method(signature: Signature, verb: str) -> None:
    wanted, kind = f"tensorflow/serving/{verb}", METHODS[verb]
    if signature.method_name != wanted:
        what = "classification" if kind is Form.CLASSES else "regression"
        raise InvalidArgument(
            f"Expected {what} signature method_name to be {wanted}. Was: {signature.method_name}"
        )
    if [(spec.name, spec.dtype) for spec in signature.inputs] != [(EXAMPLES, STRING)]:
        given = ", ".join(f"{spec.name} ({spec.dtype})" for spec in signature.inputs)
        raise InvalidArgument(f"Signature {signature.name!r} takes no examples but {given}: use :predict")
