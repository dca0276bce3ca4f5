"""``decode_image``: an input of the model also takes PNG, JPEG and WebP files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..codec.dtypes import DTYPES, Array
from ..core.errors import ModelLoadError
from ..core.spec import DYNAMIC, Signature, TensorSpec
from ..encoded import IMAGE
from ..repository.transforms import scale_bounds
from .registration import Arrays, Options, Transform, pre
from .tensors import only

CHANNELS = (1, 3, 4)
MAX_PIXELS = 25_000_000
"""Of an image as it comes: its pixels take 3 or 4 bytes each while it is made smaller."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where height, width and channels are in a row of the input, and how large."""

    axes: str  # hwc, chw or hw
    height: int
    width: int
    channels: int

    def arranged(self, pixels: Array) -> Array:
        """``(height, width, channels)`` as the model has it."""
        if self.axes == "hw":
            return pixels[..., 0]
        return pixels.transpose(2, 0, 1) if self.axes == "chw" else pixels


@pre("decode_image")
def decode_image(signature: Signature, options: Options) -> Transform:
    try:
        from .pictures import Picture
    except ImportError as error:
        raise ModelLoadError(f"decode_image needs Pillow (the extra images): {error}") from error
    target = only("image.input", signature.inputs, options.get("input"))
    layout = layout_of(target, options)
    picture = Picture(
        layout.height,
        layout.width,
        layout.channels,
        fit=options.get("fit", "stretch"),
        invert=options.get("invert", False),
        trim=options.get("trim", False),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
    )
    values = levels(target.dtype, options.get("scale"))

    def convert(arrays: Arrays) -> Mapping[str, Array]:
        files = arrays[target.name]
        if files.dtype != object:
            return arrays
        rows = [
            layout.arranged(values[picture.pixels(data, f"inputs.{target.name}[{row}]")])
            for row, data in enumerate(files.tolist())
        ]
        return {**arrays, target.name: np.stack(rows)}

    specs = (replace(spec, encoded=IMAGE) if spec is target else spec for spec in signature.inputs)
    return Transform(tuple(specs), convert)


def levels(dtype: str, scale: str | None) -> Array:
    """What each of the 256 levels of a pixel becomes: from 0..1, of integers 0..255, unless ``scale`` says
    otherwise. Raises ModelLoadError."""
    kind = DTYPES[dtype].kind if dtype in DTYPES else ""
    if kind not in ("f", "i", "u"):
        raise ModelLoadError(f"image.input: expected numbers, got {dtype}")
    low, high = scale_bounds(scale or ("0..1" if kind == "f" else "0..255"))
    values = np.linspace(low, high, 256)
    if kind != "f":
        bounds = np.iinfo(DTYPES[dtype])
        if low < bounds.min or high > bounds.max:
            raise ModelLoadError(f"image.scale: expected what {dtype} can hold, got {low:g}..{high:g}")
        values = np.rint(values)
    return values.astype(DTYPES[dtype])


def layout_of(target: TensorSpec, options: Options) -> Layout:
    """From the input's shape and, where that is open, from the options. Raises ModelLoadError."""
    shape = target.shape or ()
    for axes in ("hwc", "chw") if len(shape) == 4 else ("hw",) if len(shape) == 3 else ():
        sizes = dict(zip(axes, shape[1:], strict=True))
        height = _agreed(sizes["h"], options.get("height"))
        width = _agreed(sizes["w"], options.get("width"))
        channels = _agreed(sizes.get("c", 1), options.get("channels"))
        if height and width and channels in CHANNELS:
            return Layout(axes, height, width, channels)
    given = ", ".join(
        f"{key} {options.get(key)}" for key in ("height", "width", "channels") if options.get(key)
    )
    raise ModelLoadError(
        f"image: {target.name} of shape {list(shape)} with {given or 'no sizes'} in model.toml: expected "
        "[batch, height, width, channels], [batch, channels, height, width] or [batch, height, width], "
        "every size known and 1, 3 or 4 channels"
    )


def _agreed(size: int, given: int | None) -> int:
    """0 where neither says it, or each another."""
    if size == DYNAMIC:
        return given or 0
    return size if given in (None, size) else 0
