"""An inference response: JSON, or JSON with the bytes of tensors after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.http import HttpResponse

from predict_worker.codec import STRING, canonical, dtype_name, dumps, string_bytes, to_json
from predict_worker.codec.dtypes import Array
from predict_worker.core.errors import InvalidRequest
from predict_worker.core.job import Job
from predict_worker.core.spec import Signature

from ..errors import retry_after
from ..paths import path_of
from . import datatypes
from .binary import HEADER_LENGTH
from .classes import highest
from .compress import compressed
from .wanted import Wanted

BINARY = "application/octet-stream"


def response(
    job: Job, arrays: Mapping[str, Array], wanted: Wanted, accept_encoding: str, headers: Mapping[str, str]
) -> HttpResponse:
    """To a job that succeeded. Raises InvalidRequest for an output that its form cannot hold, NotOffered."""
    tails: list[bytes] = []
    outputs = list(_outputs(arrays, wanted, tails))
    head = dumps({**_about(job, wanted), "outputs": outputs})
    if tails:
        headers = {**headers, HEADER_LENGTH: str(len(head))}
    body, coding = compressed(b"".join([head, *tails]), accept_encoding)
    return HttpResponse(
        body,
        content_type=BINARY if tails else "application/json",
        headers={"Cache-Control": "no-store", "Vary": "Accept-Encoding", **coding, **headers},
    )


def accepted(job: Job, wanted: Wanted, retry_after_s: float, headers: Mapping[str, str]) -> HttpResponse:
    """202 to one that is not final: an inference response without outputs that says where to look."""
    at = f"{path_of('oip-server')}/models/{job.model}/jobs/{job.id}"
    about = {**_about(job, wanted), "parameters": {"job": job.id, "state": job.state.value}}
    return HttpResponse(
        dumps({**about, "outputs": []}),
        status=202,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "Location": at, **retry_after(retry_after_s), **headers},
    )


def refuse_unwritable(signature: Signature, wanted: Wanted) -> None:
    """Before anything runs. Raises InvalidRequest, NotOffered."""
    names = None if wanted.outputs is None else wanted.outputs.keys()
    for spec in signature.outputs:
        if names is None or spec.name in names:
            form = wanted.form(spec.name)
            if not form.classes:
                _writable(spec.name, datatypes.datatype(spec.dtype), binary=form.binary)


def _about(job: Job, wanted: Wanted) -> dict[str, Any]:
    """The caller's own id is echoed, else the job's stands there."""
    version = {} if job.version is None else {"model_version": str(job.version)}
    return {"model_name": job.model, **version, "id": job.id if wanted.id is None else wanted.id}


def _outputs(arrays: Mapping[str, Array], wanted: Wanted, tails: list[bytes]) -> Iterator[Mapping[str, Any]]:
    for name in arrays if wanted.outputs is None else wanted.outputs:
        if name not in arrays:  # asked for by a job's metadata, which others may write too
            raise InvalidRequest("outputs", f"one of {', '.join(arrays)}", repr(name[:100]))
        form, array = wanted.form(name), canonical(arrays[name])
        if form.classes:
            array = highest(name, array, form.classes)
        datatype = datatypes.datatype(dtype_name(array))
        _writable(name, datatype, binary=form.binary)
        about = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if form.binary:
            tails.append(string_bytes(array) if datatype == "BYTES" else array.tobytes())
            yield {**about, "parameters": {"binary_data_size": len(tails[-1])}}
        else:
            yield {**about, "data": _data(name, array)}


def _data(name: str, array: Array) -> Any:
    """Flat, row-major."""
    data = to_json(array.reshape(-1))
    if dtype_name(array) == STRING and not all(isinstance(text, str) for text in data):
        raise _binary_instead(name, "bytes that are no text in UTF-8")
    return data


def _writable(name: str, datatype: str, *, binary: bool) -> None:
    if datatype in datatypes.BINARY_ONLY and not binary:
        raise _binary_instead(name, f"{datatype}, which has no JSON")


def _binary_instead(name: str, got: str) -> InvalidRequest:
    return InvalidRequest(f"outputs.{name}.parameters.binary_data", "true", f"an output of {got}")
