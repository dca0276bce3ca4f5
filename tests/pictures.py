"""Image files, good and hostile."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def plain(color: Any = 128, size: tuple[int, int] = (8, 8), mode: str = "L", kind: str = "PNG") -> bytes:
    """One colour all over; ``size`` is width and height."""
    return encoded(Image.new(mode, size, color), kind)


def animation(kind: str) -> bytes:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    return encoded(first, kind, save_all=True, append_images=[second])


def png_of(
    width: int, height: int, rows: bytes, *, depth: int = 8, color_type: int = 0, ending: bool = True
) -> bytes:
    """A PNG with any header, of which ``rows`` (each with its filter byte) may not be worthy."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + (chunk(b"IEND", b"") if ending else b"")


def webp_of(width: int, height: int) -> bytes:
    """The header of a lossless WebP, and nothing to draw."""
    content = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 19
    chunk = b"VP8L" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def deep(levels: Any) -> bytes:
    """A grey PNG of 16 bits."""
    array = np.asarray(levels, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in array)
    return png_of(array.shape[1], array.shape[0], rows, depth=16)


BOMB = png_of(50_000, 50_000, b"\0" * 1000)
LARGE = png_of(6000, 5000, b"\0" * 1000)
"""30 million pixels, less than Pillow itself refuses."""

NOT_IMAGES = {
    "empty": b"",
    "text": b"not an image",
    "gif": plain(kind="GIF"),
    "bmp": plain(kind="BMP"),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "base64": b"iVBORw0KGgo=",
    "riff": b"RIFF\x24\0\0\0WAVEfmt ",
}
"""What the first bytes give away."""

BROKEN = {
    "truncated": plain(size=(64, 64))[:-40],
    "header alone": plain()[:8],
    "bomb": BOMB,
    "webp bomb": webp_of(16_384, 16_384),
    "large": LARGE,
    "wrong checksum": plain().replace(b"IHDR", b"IHDX"),
    "animated webp": animation("WEBP"),
    "animated png": animation("PNG"),
    "jpeg without content": b"\xff\xd8\xff\xe0" + b"\0" * 50,
    "webp without content": b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 24,
}
"""What only a decoder finds out."""
