"""A page on which the API's description is read and tried out: Swagger UI, from a package, not from a CDN."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from ..views import ApiView
from .missing import NotInstalled

_PACKAGE = "drf_spectacular_sidecar"
_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_OWN_SCRIPT = "page.js"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Prediction API</title>
<link rel="icon" href="{at}/favicon-32x32.png">
<link rel="stylesheet" href="{at}/swagger-ui.css">
</head>
<body>
<div id="page" data-schema="{schema}"></div>
<script src="{at}/swagger-ui-bundle.js"></script>
<script src="{at}/page.js"></script>
</body>
</html>
"""
_SCRIPT = """SwaggerUIBundle({
  url: document.getElementById("page").dataset.schema,
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""
# Styles: Swagger UI sets some as attributes. Images: its icons are data.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page(ApiView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        _folder()
        html = _PAGE.format(at=reverse("prediction_api:docs"), schema=reverse("prediction_api:schema"))
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return HttpResponse(html, headers=headers)


class File(ApiView):
    """What the page consists of."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, file: str) -> HttpResponseBase:
        headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
        if file == _OWN_SCRIPT:
            return HttpResponse(_SCRIPT, content_type="text/javascript; charset=utf-8", headers=headers)
        if file not in _FILES:
            raise NotFound(f"no resource at {request.path}")
        return FileResponse((_folder() / file).open("rb"), content_type=_FILES[file], headers=headers)


def _folder() -> Path:
    """Found without importing the package. Raises NotInstalled."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise NotInstalled(ModuleNotFoundError(name=_PACKAGE))
    return Path(spec.origin).parent / "static" / _PACKAGE / "swagger-ui-dist"
