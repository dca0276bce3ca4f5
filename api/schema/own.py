"""This description itself."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from .describing import describe, operation
from .parts import PROBLEM, answer, by_name, errors

TAG = "description"

describe(
    "schema.views.Schema",
    get=operation(
        "This description",
        tag=TAG,
        description="With the models that the caller may use; without any for who may not read.",
        responses={200: answer(by_name({}), "OpenAPI 3.1."), **errors("Problem", PROBLEM, 401, 501)},
    ),
)


def version() -> str:
    try:
        return version_of("predict-worker")
    except PackageNotFoundError:  # run from its sources
        return "0"
