"""Transforms of the shop, which workers find."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from predict_worker.transforms import InvalidRequest, Options, Signature, TensorSpec, Transform, post, pre

logging.getLogger(__name__).warning("transforms of the shop are imported")


@pre("prices")
def prices(signature: Signature, options: Options) -> Transform:
    """Texts such as ``2.50 EUR`` in the place of numbers."""
    currency = options.get("currency", "EUR")

    def convert(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        texts = arrays["prices"]
        numbers = [_number(text.decode(), currency) for text in texts.reshape(-1)]
        return {"x": np.array(numbers, np.float32).reshape(texts.shape)}

    return Transform((TensorSpec("prices", "string", (-1, 2)),), convert)


def _number(text: str, currency: str) -> float:
    amount, _, given = text.partition(" ")
    if given != currency:
        raise InvalidRequest("inputs.prices", f"an amount in {currency}", repr(text))
    return float(amount)


@post("total")
def total(signature: Signature, options: Options) -> Transform:
    def convert(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"total": arrays["y"].sum(axis=1)}

    return Transform((TensorSpec("total", "float32", (-1,)),), convert)
