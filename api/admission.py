"""What a caller must be allowed, and have left, before the service is asked for a prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rest_framework.exceptions import PermissionDenied, Throttled
from rest_framework.request import Request

from predict_worker.conf import get_config
from predict_worker.connect import service
from predict_worker.core.rates import Allowance, Taken
from predict_worker.service import Answer, PredictRequest

from .auth import may_use, owner_of
from .keys.known import Key


def submit(request: Request, asked: PredictRequest, wait_s: float = 0.0) -> Answer:
    """The one way from HTTP to :meth:`PredictionService.submit`, whose errors it raises.

    Besides PermissionDenied (a key that is not for this model) and Throttled.
    """
    admit(request, asked.ref.name)
    return service().submit(asked, wait_s)


def admit(request: Request, model: str) -> None:
    """Raises PermissionDenied, Throttled. What is counted and left is told by the answer's headers."""
    key = request.auth if isinstance(request.auth, Key) else None
    if not may_use(request, model):
        raise PermissionDenied(f"this API key is not for model {model!r}")
    if key is not None and key.rates is not None:
        caller, rates = f"key:{key.id}", key.rates
    else:
        rates = get_config().rate_limit
        if not rates:
            return
        caller = owner_of(request)
    taken = service().take(caller, rates, model)
    request.parser_context["view"].rate_headers = _headers(taken)
    if not taken.granted:
        used_up = [one for one in taken.left if one.remaining <= 0]
        named = ", ".join(f"{one.rate.quota} in {one.rate.window_s} s" for one in used_up)
        raise Throttled(max(one.reset_s for one in used_up), f"the limit of {named} is used up.")


def _headers(taken: Taken) -> Mapping[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers-10 has them; none where no rate concerns the model."""
    if not taken.left:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{o.rate.name}";q={o.rate.quota};w={o.rate.window_s}' for o in taken.left
        ),
        "RateLimit": ", ".join(map(_left, taken.left)),
    }


def _left(one: Allowance) -> str:
    return f'"{one.rate.name}";r={max(0, one.remaining)};t={math.ceil(one.reset_s)}'
