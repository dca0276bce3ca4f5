"""How views are described: apart from them, so that the web loads none of it before it is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.authentication import BaseAuthentication

from predict_worker.conf import get_config

from .. import auth
from ..keys.authentication import KeyAuthentication
from .parts import ANSWERED_ID, REQUEST_ID, Json, Responses, in_path, responses_by_media_type

API = __package__.rpartition(".")[0]
"""``api``, or the name that a project with an ``api`` of its own knows it by."""


_VARIABLE = re.compile(r"{(\w+)}")
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")


class ViewSchema(AutoSchema):
    """Names operations by method and path. What a view's docstring says is for those who read its code."""

    def get_operation_id(self) -> str:
        return f"{self.method.lower()}_{_NO_WORD.sub('_', self.path).strip('_')}"

    def get_description(self) -> str:  # type: ignore[override]
        return ""

    def get_override_parameters(self) -> list[Any]:
        return [in_path(name) for name in _VARIABLE.findall(self.path)]

    def get_auth(self) -> list[Json]:
        needed: list[Json] = super().get_auth()
        return [*needed, {}] if needed and get_config().allow_anonymous else needed


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = KeyAuthentication
    name = ["apiKey", "apiKeyHeader"]  # noqa: RUF012

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[Json]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Json]:
        about = "An API key, as `manage.py keys create` prints it."
        return [
            {"type": "http", "scheme": "bearer", "description": about},
            {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": about},
        ]


def operation(
    summary: str,
    *,
    tag: str,
    responses: Responses,
    description: str = "",
    request: Mapping[str, Any] | None = None,
    parameters: Sequence[OpenApiParameter] = (),
) -> Any:
    """``request``: schemas by media type. The headers that all operations have are added."""
    return extend_schema(
        summary=summary,
        description=description,
        tags=[tag],
        request=request,
        responses=responses_by_media_type(responses),
        parameters=[
            *parameters,
            REQUEST_ID,
            ANSWERED_ID,
        ],
    )


def describe(target: str, **operations: Any) -> None:
    """``target``: a view's path below the API's package; ``operations`` by method."""

    def view_replacement(self: OpenApiViewExtension) -> Any:
        cls: Any = self.target_class
        described: Any = type("Described", (cls,), {})
        if described.authentication_classes:
            described.get_authenticators = _authenticators
        return extend_schema_view(**{method: [_ours, how] for method, how in operations.items()})(described)

    described = {"target_class": f"{API}.{target}", "view_replacement": view_replacement}
    targets.append(described["target_class"])
    type(f"{target}Extension", (OpenApiViewExtension,), described)


targets: list[Any] = []
"""The views that are described; any other is left out of the document."""


def _ours(method: Any) -> None:
    """Whatever schema class the project has set."""
    method.kwargs = {"schema": ViewSchema}


def _authenticators(view: Any) -> list[BaseAuthentication]:
    return [KeyAuthentication(), *auth._configured()]
