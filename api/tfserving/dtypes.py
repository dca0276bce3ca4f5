"""TensorFlow's two spellings of a dtype: ``float``, ``DT_FLOAT``."""

from __future__ import annotations

from collections.abc import Mapping

# https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/types.proto
_SPELLED: Mapping[str, str] = {"float16": "half", "float32": "float", "float64": "double"}


def type_name(dtype: str) -> str:
    """As its error messages have it."""
    return _SPELLED.get(dtype, dtype)


def data_type(dtype: str) -> str:
    """The name in the enumeration DataType."""
    return f"DT_{type_name(dtype).upper()}"
