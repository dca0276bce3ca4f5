"""How a request wants to be answered: which outputs, in which form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from predict_worker.codec import dumps
from predict_worker.codec.from_json import describe
from predict_worker.core.errors import InvalidRequest
from predict_worker.service.request import MAX_METADATA_BYTES

from .parse import name_of, parameters

KEPT_AS = "open_inference"
"""Where a job's metadata has what a later look at it needs."""


@dataclass(frozen=True, slots=True)
class Form:
    """Of one output. ``classes``: so many of the highest values instead of the tensor, 0: the tensor."""

    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """``outputs`` by name, in the order of the answer; none: all, in the form of ``others``."""

    id: str | None = None
    outputs: Mapping[str, Form] | None = None
    others: Form = Form()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Wanted:
        """From an inference request. Raises InvalidRequest."""
        given_id, given = fields.get("id"), fields.get("outputs")
        if given_id is not None and not isinstance(given_id, str):
            raise InvalidRequest("id", "a string", describe(given_id))
        if given is not None and not isinstance(given, list):
            raise InvalidRequest("outputs", "a list", describe(given))
        binary = _flag(parameters(fields), "binary_data_output", "parameters", default=False)
        outputs: dict[str, Form] = {}
        for position, output in enumerate(given or ()):
            field = f"outputs[{position}]"
            name = name_of(output, field)
            if name in outputs:
                raise InvalidRequest(f"{field}.name", "each output once", f"{name[:100]!r} twice")
            outputs[name] = _form(parameters(output, field), f"{field}.parameters", binary)
        return cls(given_id, outputs or None, Form(binary))

    def form(self, name: str) -> Form:
        return self.others if self.outputs is None else self.outputs[name]


def kept(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata from which :func:`from_metadata` knows it again. Raises InvalidRequest."""
    metadata = {KEPT_AS: {name: fields[name] for name in ("id", "parameters", "outputs") if fields.get(name)}}
    try:
        size = f"{length} bytes" if (length := len(dumps(metadata))) > MAX_METADATA_BYTES else ""
    except TypeError as error:  # nested too deep
        size = str(error)
    if size:
        expected = f"at most {MAX_METADATA_BYTES} bytes of JSON (respond-async keeps them)"
        raise InvalidRequest("id, parameters and outputs", expected, size)
    return metadata if metadata[KEPT_AS] else {}


def from_metadata(metadata: Mapping[str, Any]) -> Wanted:
    """Of any job; raises InvalidRequest for metadata that only looks like ours."""
    fields = metadata.get(KEPT_AS, {})
    return Wanted.of(fields) if isinstance(fields, dict) else Wanted()


def _form(given: Mapping[str, Any], field: str, binary: bool) -> Form:
    classes = given.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise InvalidRequest(f"{field}.classification", "how many classes", describe(classes))
    return Form(_flag(given, "binary_data", field, default=binary), classes)


def _flag(given: Mapping[str, Any], name: str, field: str, *, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{field}.{name}", "true or false", describe(value))
    return value
