"""Webhooks: endpoints and deliveries."""

from __future__ import annotations

from predict_worker.service import MAX_PAGE

from .describing import describe, operation
from .parts import (
    INTEGER,
    JOB_ID,
    MOMENT,
    STRING,
    Json,
    answer,
    array,
    or_null,
    problems,
    query,
    record,
    ref,
)

TAG = "webhooks"
_SECRET: Json = {"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]+=*$"}
_ENDPOINT: dict[str, Json] = {
    "id": STRING,
    "url": or_null(STRING),
    "events": array(STRING),
    "created_at": or_null(MOMENT),
    "disabled": or_null(STRING),
    "signs_until": array(or_null(MOMENT), description="When the replaced secrets cease to sign."),
}

COMPONENTS: dict[str, Json] = {
    "Endpoint": record(_ENDPOINT),
    "EndpointWithSecret": record({**_ENDPOINT, "secret": _SECRET}),
    "Endpoints": record({"endpoints": array(ref("Endpoint"))}),
    "EndpointRequest": record(
        {
            "url": {"type": "string", "format": "uri"},
            "events": or_null(array(STRING)),
            "secret": or_null(_SECRET),
        },
        optional=("events", "secret"),
    ),
    "Rotation": record(
        {
            "overlap_s": {"type": "number", "minimum": 0, "description": "How long the old one signs, too."},
            "secret": or_null(_SECRET),
        },
        optional=("overlap_s", "secret"),
    ),
    "Delivery": record(
        {
            "id": STRING,
            "job": JOB_ID,
            "type": STRING,
            "endpoint": STRING,
            "url": or_null(STRING),
            "state": {"enum": ["pending", "delivered", "failed"]},
            "created_at": or_null(MOMENT),
            "next_attempt_at": or_null(MOMENT),
            "attempts": array(
                record(
                    {
                        "at": or_null(MOMENT),
                        "status": or_null(INTEGER),
                        "error": or_null(STRING),
                        "took_ms": INTEGER,
                    }
                )
            ),
        }
    ),
    "Deliveries": record({"deliveries": array(ref("Delivery")), "cursor": or_null(STRING)}),
}

describe(
    "hooks.views.Endpoints",
    get=operation(
        "List endpoints", tag=TAG, responses={200: answer(ref("Endpoints"), "Without secrets."), **problems()}
    ),
    post=operation(
        "Register an endpoint",
        tag=TAG,
        request={"application/json": ref("EndpointRequest")},
        responses={
            201: answer(ref("EndpointWithSecret"), "Registered."),
            **problems(404, 409, 413, 415),
        },
    ),
)
describe(
    "hooks.views.OneEndpoint",
    get=operation(
        "Look at an endpoint",
        tag=TAG,
        responses={200: answer(ref("EndpointWithSecret"), "With its newest secret."), **problems(404)},
    ),
    delete=operation("Remove an endpoint", tag=TAG, responses={204: None, **problems(404)}),
)
describe(
    "hooks.views.Rotate",
    post=operation(
        "Replace an endpoint's secret",
        tag=TAG,
        request={"application/json": ref("Rotation")},
        responses={200: answer(ref("EndpointWithSecret"), "With the new one."), **problems(404, 413, 415)},
    ),
)
describe(
    "hooks.views.Enable",
    post=operation(
        "Enable an endpoint that was disabled",
        tag=TAG,
        responses={200: answer(ref("Endpoint"), "Enabled."), **problems(404)},
    ),
)
describe(
    "hooks.views.Deliveries",
    get=operation(
        "List deliveries",
        tag=TAG,
        parameters=[
            query(
                "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100}, "A page's."
            ),
            query("cursor", STRING, "Of the page before."),
            query("job", JOB_ID, "Only this job's."),
        ],
        responses={200: answer(ref("Deliveries"), "The newest first."), **problems()},
    ),
)
describe(
    "hooks.views.OneDelivery",
    get=operation(
        "Look at a delivery",
        tag=TAG,
        responses={200: answer(ref("Delivery"), "With its attempts."), **problems(404)},
    ),
)
describe(
    "hooks.views.Replay",
    post=operation(
        "Deliver again",
        tag=TAG,
        responses={202: answer(ref("Delivery"), "It will be sent."), **problems(404, 409)},
    ),
)
