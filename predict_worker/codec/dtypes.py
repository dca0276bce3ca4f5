"""Which dtypes travel, by TensorFlow's lower-case names, and their form as NumPy arrays.

bfloat16 is not among them: NumPy has no such type. A runtime presents it as float32,
which holds every bfloat16 value exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
"""Little-endian on every machine. Strings are object arrays of ``bytes``, see :data:`STRING`."""

STRING = "string"
_NAMES: Mapping[np.dtype[Any], str] = {
    np.dtype(object): STRING,
    **{dtype: name for name, dtype in DTYPES.items()},
}


def dtype_name(array: Array) -> str:
    """Raises TypeError for an array that is not in the canonical form of any of our dtypes."""
    try:
        return _NAMES[array.dtype]
    except KeyError:
        raise TypeError(f"no tensor has NumPy's dtype {array.dtype}") from None


def canonical(array: Array) -> Array:
    """Row-major and little-endian, NumPy's texts (kinds S and U) as object arrays of ``bytes``.

    Raises TypeError for dtypes that no tensor has.
    """
    if array.dtype not in _NAMES:
        is_text = array.dtype.kind in "SU"
        array = byte_strings(array) if is_text else array.astype(array.dtype.newbyteorder("<"))
        dtype_name(array)
    return array if array.flags.c_contiguous else np.array(array, order="C")


def byte_strings(array: Array) -> Array:
    """Texts (kinds S, U, or an object array of ``str`` and ``bytes``) as an object array of ``bytes``.

    Raises TypeError for an element that is neither.
    """
    out = np.empty(array.shape, object)
    out.reshape(-1)[:] = [_bytes(element) for element in array.reshape(-1).tolist()]
    return out


def _bytes(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode()
    raise TypeError(f"a string tensor holds bytes, not {type(element).__name__}")
