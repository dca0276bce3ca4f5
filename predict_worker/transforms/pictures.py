"""Files of images to pixels. Needs Pillow."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..codec.dtypes import Array
from ..core.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP")
_ANIMATED = ("PNG", "WEBP")  # a JPEG of several frames is a photo with its preview
STANDS_OUT = 32
"""Levels between the ground of an image and what is drawn on it: more than the noise of a JPEG."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, slots=True)
class Picture:
    """The size that images are brought to.

    ``trim`` leaves of an image what stands out from the ground, which is the level of its border; ``fit``:
    stretch, pad (with black) or crop; ``invert``: True, False, or ``auto``: where the ground is light. An
    image of more than ``max_pixels`` is refused before it is decoded.
    """

    height: int
    width: int
    channels: int
    fit: str = "stretch"
    invert: bool | str = False
    trim: bool = False
    max_pixels: int = 25_000_000

    def pixels(self, data: bytes, field: str) -> Array:
        """uint8 ``(height, width, channels)``. Raises InvalidRequest, naming ``field``."""
        return self._brought_to_size(self._decoded(data, field))

    def _decoded(self, data: bytes, field: str) -> Image.Image:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                self._check(image, field)
                if not self.trim:  # a JPEG is decoded at a half, a quarter or an eighth where that will do
                    side = 2 * max(self.height, self.width)
                    image.draft(None, (side, side))
                ImageOps.exif_transpose(image, in_place=True)
                return _in_mode(image, _MODES[self.channels])
        except InvalidRequest:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own bound
            raise self._too_large(field, str(error)) from None
        except UnidentifiedImageError:
            raise InvalidRequest(field, "a PNG, JPEG or WebP image", "none that can be read") from None
        except Exception as error:  # of the format's parser: OSError, SyntaxError, struct.error, ...
            raise InvalidRequest(field, "a whole PNG, JPEG or WebP image", str(error)) from None

    def _check(self, image: Image.Image, field: str) -> None:
        if image.width * image.height > self.max_pixels:
            raise self._too_large(field, f"{image.width} x {image.height}")
        if image.format in _ANIMATED and getattr(image, "n_frames", 1) > 1:
            raise InvalidRequest(field, "an image that stands still", f"{image.format} of several frames")

    def _too_large(self, field: str, got: str) -> InvalidRequest:
        return InvalidRequest(field, f"at most {self.max_pixels} pixels (image.max_pixels)", got)

    def _brought_to_size(self, image: Image.Image) -> Array:
        inverted = self.invert is True
        if self.trim or self.invert == "auto":
            grey = np.asarray(image.convert("L"))
            border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
            ground = int(np.median(border))
            inverted = ground > 127 if self.invert == "auto" else inverted
            if self.trim:
                image = image.crop(_box((grey < ground - STANDS_OUT) | (grey > ground + STANDS_OUT)))
        pixels = np.array(self._fitted(image))
        pixels = pixels.reshape(*pixels.shape[:2], self.channels)
        if inverted:
            pixels[..., :3] = 255 - pixels[..., :3]  # alpha stays
        return self._padded(pixels)

    def _fitted(self, image: Image.Image) -> Image.Image:
        size = (self.width, self.height)
        if self.fit == "crop":
            return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
        if self.fit == "pad":
            factor = min(self.width / image.width, self.height / image.height)
            size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        return image.resize(size, Image.Resampling.BICUBIC)

    def _padded(self, pixels: Array) -> Array:
        height, width, channels = pixels.shape
        if (height, width) == (self.height, self.width):
            return pixels
        padded = np.zeros((self.height, self.width, channels), np.uint8)
        top, left = (self.height - height) // 2, (self.width - width) // 2
        padded[top : top + height, left : left + width] = pixels
        return padded


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Transparency becomes white paper, but where alpha is asked for; of 16 bits the upper 8 count."""
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode != "RGBA" and image.has_transparency_data:
        drawn = image.convert("RGBA")
        image = Image.new("RGBA", drawn.size, "white")
        image.alpha_composite(drawn)
    return image.convert(mode)


def _box(ink: Array) -> tuple[int, int, int, int]:
    """Left, upper, right and lower bounds of what is true; of all where nothing is."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return 0, 0, ink.shape[1], ink.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
