"""Requests that mean harm, and how each dialect's are written: data of ``test_hostile_requests``."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_BODY_BYTES = 2**20
DIGIT = b"[" + b"[" * 8 + b"0" + b"]" * 8 + b"]"
TEXT = "application/json"

PROBLEM = {"type", "title", "status", "detail", "instance", "code", "request_id"}
REPLICATE = {"type", "title", "status", "detail"}
ERROR = {"error"}


@dataclass(frozen=True)
class Dialect:
    """``body`` has a %s where the tensor stands, ``named`` one where the model's name does; None: it stands
    in the path, as ``{}``. ``told`` are the members of an error."""

    at: str
    body: bytes
    told: frozenset[str]
    named: bytes | None = None
    kind: str = TEXT

    def wrap(self, tensor: bytes) -> bytes:
        return self.body.replace(b"%s", tensor)


OIP = b'{"inputs": [{"name": "x", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": %s}]}'
DIALECTS: Mapping[str, Dialect] = {
    "native columns": Dialect(
        "/api/jobs",
        b'{"model": "digits", "inputs": %s}',
        frozenset(PROBLEM),
        b'{"model": %s, "inputs": [[0]]}',
    ),
    "native rows": Dialect(
        "/api/jobs",
        b'{"model": "digits", "instances": [%s]}',
        frozenset(PROBLEM),
        b'{"model": %s, "instances": [[0]]}',
    ),
    "tfserving columns": Dialect("/v1/models/{}:predict", b'{"inputs": %s}', frozenset(ERROR)),
    "tfserving rows": Dialect("/v1/models/{}:predict", b'{"instances": [%s]}', frozenset(ERROR)),
    "tfserving examples": Dialect("/v1/models/{}:classify", b'{"examples": [{"x": %s}]}', frozenset(ERROR)),
    "oip": Dialect("/v2/models/{}/infer", OIP, frozenset(ERROR)),
    "replicate": Dialect(
        "/v1/predictions",
        b'{"version": "digits", "input": {"x": %s}}',
        frozenset(REPLICATE),
        b'{"version": %s, "input": {"x": [[0]]}}',
    ),
    "replicate model": Dialect("/v1/models/me/{}/predictions", b'{"input": {"x": %s}}', frozenset(REPLICATE)),
    "webhooks": Dialect("/api/hooks/endpoints", b'{"url": %s}', frozenset(PROBLEM)),
}

DEEP = 100_000
TENSORS: Mapping[str, bytes] = {
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep lists left open": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep lists and a bare token": b"[NaN," + b"[" * DEEP + b"]" * DEEP + b"]",
    "lists as deep as parsers go": b"[" * 900 + b"]" * 900,
    "an exponent": b"[1e999999]",
    "an exponent in a digit": DIGIT.replace(b"0", b"1e999999"),
    "an exponent of many digits": b"[1e" + b"9" * 5000 + b"]",
    "an integer": b"[1" + b"0" * 5000 + b"]",
    "an integer and a bare token": b"[NaN, 1" + b"0" * 5000 + b"]",
    "an integer beyond every float": b"[1" + b"0" * 400 + b"]",
    "an integer in a digit": DIGIT.replace(b"0", b"1" + b"0" * 400),
    "a float that is too large for the input": DIGIT.replace(b"[[0", b"[[1e300"),
    "zeros without end": b"[0" + b"0" * 5000 + b"]",
    "many rows": b"[" + b"[]," * 200_000 + b"[]]",
    "many objects": b"[" + b"{}," * 200_000 + b"{}]",
    "many names": b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}",
    "lists of many lengths": b"[[0],[0,0],[[0]],0,{},null]",
    "half a character": b'"\\ud800"',
    "half a character as a name": b'{"\\udfff": [1]}',
    "half a character and a bare token": b'[NaN, "\\ud800"]',
    "bytes that are no text": b'"\xff\xfe"',
    "too long a form of a slash": b'"\xc0\xaf"',
    "half a character in UTF-8": b'"\xed\xa0\x80"',
    "a control character": b'"\x00"',
    "an escaped NUL": b'["\\u0000"]',
    "a name twice": b'{"x": [[1]], "x": [[1]]}',
    "a prototype": b'{"__proto__": {"admin": true}, "x": [[0]]}',
    "a class": b'{"__class__": "os.system", "py/object": "os.system"}',
    "base64 that is none": b'{"b64": "%%%"}',
    "base64 of a list": b'{"b64": [1]}',
    "base64 with more": b'{"b64": "AA==", "b65": ""}',
    "nothing": b"",
    "null": b"null",
    "a comment": b"[0] // all is well",
}

NESTED = b"[" * 100 + b"]" * 100 + b","
LARGE: Mapping[str, bytes] = {
    "lists": b"[" + NESTED * 150 + b"0]",
    "lists and an escape": b'["\\n",' + NESTED * 150 + b"0]",
    "lists and a colon": b'[":",' + NESTED * 150 + b"0]",
    "lists and a bare token": b"[NaN," + NESTED * 150 + b"0]",
    "objects": b"[" + b'{"":{"":0}},' * 2500 + b"0]",
    "objects and an escape": b'["\\n",' + b'{"":{"":0}},' * 2500 + b"0]",
}
"""What takes the most memory by its length, and what makes a parser look twice."""

DOCUMENTS: Mapping[str, bytes] = {
    "empty": b"",
    "spaces": b" " * 1000,
    "a NUL": b"\0",
    "UTF-16": '{"model": "digits"}'.encode("utf-16"),
    "UTF-32": '{"model": "digits"}'.encode("utf-32"),
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "a number": b"1" + b"0" * 5000,
    "two documents": b"{}{}",
    "a prototype": b'{"__proto__": {"model": "digits", "inputs": [[0]]}, "constructor": {}}',
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
    "a gzip file without a word": zlib.compress(b"{}", wbits=31),
}

HEADERS: Mapping[str, Mapping[str, str]] = {
    "gzip that is none": {"content-encoding": "gzip"},
    "deflate that is none": {"content-encoding": "deflate"},
    "an unknown coding": {"content-encoding": "br"},
    "codings in a row": {"content-encoding": "gzip, gzip, gzip"},
    "a coding of many letters": {"content-encoding": "g" * 5000},
}

CHARSETS = (
    *("rot13", "base64", "hex", "zlib", "bz2", "uu", "quopri", "punycode", "idna", "undefined"),
    *("unicode_escape", "raw_unicode_escape"),
    *("no-such", "x" * 5000, "a\0b", "\xff"),
)
"""Python's codecs that are none of a text, or not of one in a query, and what is no codec at all."""

NAMES: Mapping[str, str] = {
    "parent": "..",
    "parents": "../../etc/passwd",
    "encoded parents": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "encoded twice": "%252e%252e%252fdigits",
    "too long a form of a slash": "..%c0%af..",
    "backslashes": "..\\digits",
    "NUL": "digits%00",
    "newline": "digits%0a",
    "header": "digits%0d%0aX-Evil:%201",
    "very long": "d" * 8000,
    "look-alikes": "d%D1%96gits",
    "full width": "%EF%BD%84igits",
    "invisible": "digits%E2%80%8B",
    "right to left": "%E2%80%AEstigid",
    "half a character": "%ED%A0%80",
    "no UTF-8": "%ff%fe",
    "a space": "digits%20",
    "an option": "-digits",
    "a pattern": "digit*",
    "a Redis key": "digits}:1",
    "a template": "{{7*7}}",
    "SQL": "digits'%20OR%201=1--",
}


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    text = header.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def described(descr: str, shape: str, data: bytes = b"") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n", data)


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


FLOATS = "'<f4'"
NPY: Mapping[str, bytes] = {
    "a pickle": saved(np.array([{"a": 1}], object)),
    "an object dtype, numbers": described("'|O'", "(1,)", bytes(8)),
    "10**12 elements": described(FLOATS, "(1000000000000,)", bytes(256)),
    "10**12 elements of nothing": described(FLOATS, "(0, 1000000000000)"),
    "more than a machine holds": described(FLOATS, "(4294967296, 4294967296, 4294967296)", bytes(4)),
    "overflowing to its length": described(FLOATS, "(4611686018427387905, 4)", bytes(16)),
    "overflowing to nothing": described(FLOATS, "(4294967296, 4294967296, 0)"),
    "negative": described(FLOATS, "(-1, 8, 8, 1)", bytes(256)),
    "negative twice": described(FLOATS, "(-1, -64)", bytes(256)),
    "more digits than are printed": described(FLOATS, f"({'9' * 4000}, {'9' * 4000})", bytes(4)),
    "hexadecimal": described(FLOATS, f"(0x{'f' * 9000},)", bytes(4)),
    "an element of 2 GB": described("'|S2147483647'", "(1,)", b"a"),
    "elements of nothing": described("'|S0'", "(1000000000000,)"),
    "void": described("'|V256'", "(1,)", bytes(256)),
    "records": described("[('a', '<f4'), ('b', '|O')]", "(1,)", bytes(12)),
    "records in records": described("[('a', [('b', [('c', '<f4', (9999, 9999, 9999))])])]", "(1,)", b""),
    "dates": described("'<M8[us]'", "(1,)", bytes(8)),
    "a dtype with a comma": described("'f4,O'", "(1,)", bytes(12)),
    "rank": described(FLOATS, f"({'1, ' * 64})", bytes(4)),
    "booleans for sizes": described(FLOATS, "(True, True)", bytes(4)),
    "a text for a shape": described(FLOATS, "'abc'", bytes(4)),
    "code": npy("__import__('os').system('true')"),
    "brackets": npy("(" * 9000),
    "minus signs": npy("-" * 9000 + "1"),
    "a long header": npy(" " * 60_000),
    "a length of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "version 9": npy("{}", version=(9, 9)),
    "not UTF-8": b"\x93NUMPY\x02\x00\x04\x00\x00\x00\xff\xfe\xff\xfe",
    "cut": saved(np.zeros((1, 8, 8, 1), np.float32))[:-1],
    "with more": saved(np.zeros((1, 8, 8, 1), np.float32)) + b"\0",
}


def archive(members: Mapping[str, bytes], deflated: bool = True) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return stream.getvalue()


ZEROS = saved(np.zeros(8 * MAX_BODY_BYTES, np.uint8))
ZIPPED = archive({"x.npy": ZEROS})
LYING = ZIPPED.replace(struct.pack("<I", len(ZEROS)), struct.pack("<I", 10))
"""It declares ten bytes, in both places."""

NPZ: Mapping[str, bytes] = {
    **{f"with {name}": archive({"x.npy": content}) for name, content in NPY.items()},
    "a bomb": ZIPPED,
    "a bomb that lies": LYING,
    "bombs": archive({f"x{n}.npy": ZEROS[: MAX_BODY_BYTES // 2] for n in range(9)}),
    "members": archive({f"{n}.npy": b"" for n in range(5000)}),
    "a path": archive({"../../x.npy": saved(np.zeros(1))}),
    "a NUL in a name": archive({"x\0.npy": saved(np.zeros(1))}),
    "a folder": archive({"x.npy/": b""}),
    "none": archive({}),
    "cut": ZIPPED[:-30],
    "prefixed": b"MZ" + ZIPPED[4:],
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """Of one byte a pixel."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(pixels, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PNG_BOMB = png(30_000, 30_000, bytes(20_000_000))


def tensor(shape: Any, size: Any = None, **fields: Any) -> bytes:
    """A request of the Open Inference Protocol for binary data, as a JSON."""
    parameters = {} if size is None else {"binary_data_size": size}
    one = {"name": "x", "shape": shape, "datatype": "FP32", "parameters": parameters, **fields}
    return json.dumps({"inputs": [one]}).encode()
