"""Tensors as bytes: the store's payload format, JSON, ``.npy`` and ``.npz``. NumPy, no TensorFlow."""

from .dtypes import DTYPES, STRING, byte_strings, canonical, dtype_name
from .json_arrays import BARE, dumps, to_json
from .npy import read_npy, read_npz, write_npy
from .payload import join_ranges, pack, read_strings, string_bytes, unpack
from .raw import Arrays, Columnar, Instances, RawInputs, pack_raw, unpack_raw

__all__ = [
    "BARE",
    "DTYPES",
    "STRING",
    "Arrays",
    "Columnar",
    "Instances",
    "RawInputs",
    "byte_strings",
    "canonical",
    "dtype_name",
    "dumps",
    "join_ranges",
    "pack",
    "pack_raw",
    "read_npy",
    "read_npz",
    "read_strings",
    "string_bytes",
    "to_json",
    "unpack",
    "unpack_raw",
    "write_npy",
]
