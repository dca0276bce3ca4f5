"""Image files to pixels: every mode, size and orientation, and what is refused."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from predict_worker.core.errors import InvalidRequest
from predict_worker.transforms.pictures import Picture
from tests.pictures import BROKEN, NOT_IMAGES, animation, deep, encoded, plain

ROOT = Path(__file__).parents[3]
GREY = Picture(8, 8, 1)
COLOUR = Picture(8, 8, 3)


def refusal(data: bytes, picture: Picture = GREY) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        picture.pixels(data, "inputs.x[2]")
    assert refused.value.field == "inputs.x[2]"
    return refused.value


def pixels(picture: Picture, data: bytes) -> Any:
    found = picture.pixels(data, "x")
    assert found.dtype == np.uint8
    assert found.shape == (picture.height, picture.width, picture.channels)
    return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 50), (50, 3), (200, 200)])
def test_every_format_and_size_is_brought_to_one_size(kind: str, size: tuple[int, int]) -> None:
    assert (abs(pixels(GREY, plain(100, size, kind=kind)).astype(int) - 100) <= 2).all()
    red = pixels(COLOUR, plain((255, 0, 0), size, "RGB", kind)).astype(int)
    assert (abs(red - [255, 0, 0]) <= 8).all()


@pytest.mark.parametrize(
    ("mode", "color", "rgb"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),
    ],
)
def test_every_mode_becomes_colour_on_white_paper(mode: str, color: Any, rgb: tuple[int, ...]) -> None:
    assert (pixels(COLOUR, plain(color, mode=mode)) == rgb).all()


def test_palettes_are_looked_up_and_their_transparency_is_paper() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert (pixels(COLOUR, encoded(image)) == (10, 20, 30)).all()
    assert (pixels(COLOUR, encoded(image, transparency=1)) == 255).all()


def test_alpha_is_kept_where_it_is_asked_for() -> None:
    four = Picture(8, 8, 4, invert=True)
    assert (pixels(four, plain((255, 0, 10, 51), mode="RGBA")) == (0, 255, 245, 51)).all()
    assert (pixels(four, plain(255)) == (0, 0, 0, 255)).all()


def test_grey_of_sixteen_bits_keeps_its_levels() -> None:
    assert (pixels(GREY, deep([[0x4000] * 8] * 8)) == 0x40).all()
    assert (pixels(COLOUR, deep([[0xFFFF] * 8] * 8)) == 255).all()


def test_a_picture_that_lies_on_its_side_is_turned_as_its_camera_says() -> None:
    image = Image.new("L", (16, 8), 0)
    image.paste(255, (0, 0, 8, 8))  # the left half is light
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    for kind in ("JPEG", "PNG", "WEBP"):
        turned = pixels(Picture(4, 4, 1), encoded(image, kind, exif=exif))
        assert turned[0].min() > 250
        assert turned[-1].max() < 5


def test_a_photo_with_a_preview_in_it_is_one_picture() -> None:
    assert pixels(COLOUR, animation("MPO"))[0, 0, 0] > 240


# ---------------------------------------------------------------- fit


def test_a_picture_of_another_shape_is_stretched_padded_or_cropped() -> None:
    wide = Image.new("L", (40, 20), 100)
    wide.paste(200, (10, 0, 30, 20))  # its middle
    data = encoded(wide)
    stretched = pixels(Picture(8, 8, 1), data)[..., 0]
    assert abs(int(stretched[0, 0]) - 100) < 5
    assert abs(int(stretched[0, 4]) - 200) < 5
    padded = pixels(Picture(8, 8, 1, fit="pad"), data)[..., 0]
    assert (padded[:2] == 0).all()
    assert (padded[6:] == 0).all()
    assert abs(int(padded[2, 0]) - 100) < 5
    cropped = pixels(Picture(8, 8, 1, fit="crop"), data)[..., 0]
    assert (abs(cropped[:, 1:-1].astype(int) - 200) < 10).all()


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@given(width=st.integers(1, 60), height=st.integers(1, 60))
def test_no_size_is_too_odd(fit: str, width: int, height: int) -> None:
    pixels(Picture(7, 5, 3, fit=fit, invert="auto", trim=True), plain(9, (width, height)))
    pixels(Picture(1, 1, 1, fit=fit), plain(9, (width, height)))


# ---------------------------------------------------------------- light and dark


def test_ink_on_paper_is_turned_over_and_light_on_dark_is_not() -> None:
    drawn = Image.new("L", (80, 80), 250)
    drawn.paste(10, (30, 0, 50, 80))  # a stroke from edge to edge
    light = Image.eval(drawn, lambda level: 255 - level)
    for data in (encoded(drawn), encoded(light), encoded(drawn, "JPEG"), encoded(drawn.convert("RGB"))):
        found = pixels(Picture(8, 8, 1, invert="auto"), data)[..., 0]
        assert found[0, 0] < 30
        assert found[4, 4] > 200
    assert pixels(Picture(8, 8, 1, invert=True), encoded(light))[0, 0, 0] > 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("ground", "ink"), [(250, 10), (0, 255)])
def test_a_drawing_is_cut_out_of_its_ground_wherever_it_stands(kind: str, ground: int, ink: int) -> None:
    drawn = Image.new("L", (300, 200), ground)
    drawn.paste(ink, (210, 20, 250, 100))  # twice as high as wide
    found = pixels(Picture(8, 8, 1, fit="pad", invert="auto", trim=True), encoded(drawn, kind))[..., 0]
    assert found[:, 2:6].min() > 200
    assert found[:, :2].max() == found[:, 6:].max() == 0


def test_an_image_of_which_nothing_stands_out_stays_whole() -> None:
    trim = Picture(8, 8, 3, invert="auto", trim=True)
    assert (pixels(trim, plain((100, 100, 100), (30, 20), "RGB")) == 100).all()
    faint = Image.new("L", (8, 8), 100)
    faint.paste(120, (2, 2, 4, 4))
    assert pixels(trim, encoded(faint))[3, 3, 0] == 120


def test_an_image_of_the_right_size_is_taken_as_it_is() -> None:
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    for fit in ("stretch", "pad", "crop"):
        found = pixels(Picture(8, 8, 1, fit=fit), encoded(Image.fromarray(levels)))
        assert (found[..., 0] == levels).all()


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_what_is_no_image_is_refused(name: str) -> None:
    assert refusal(NOT_IMAGES[name]).expected == "a PNG, JPEG or WebP image"


@pytest.mark.parametrize(
    ("name", "expected", "got"),
    [
        ("truncated", "a whole PNG, JPEG or WebP image", "truncated"),
        ("header alone", "", ""),
        ("bomb", "at most 25000000 pixels (image.max_pixels)", "2500000000 pixels"),
        ("webp bomb", "at most 25000000 pixels (image.max_pixels)", "268435456 pixels"),
        ("large", "at most 25000000 pixels (image.max_pixels)", "6000 x 5000"),
        ("wrong checksum", "", ""),
        ("animated webp", "an image that stands still", "WEBP of several frames"),
        ("animated png", "an image that stands still", "PNG of several frames"),
        ("jpeg without content", "", ""),
        ("webp without content", "", ""),
    ],
)
def test_a_broken_or_hostile_image_is_refused_with_the_reason(name: str, expected: str, got: str) -> None:
    error = refusal(BROKEN[name])
    assert expected in error.expected
    assert got in error.got
    assert len(str(error)) < 300


def test_the_bound_of_pixels_is_the_models_own() -> None:
    assert refusal(plain(size=(11, 10)), Picture(8, 8, 1, max_pixels=100)).got == "11 x 10"
    pixels(Picture(8, 8, 1, max_pixels=100), plain(size=(10, 10)))


_PEAK = """
import resource
from predict_worker.core.errors import InvalidRequest
from predict_worker.transforms.pictures import Picture
from tests.pictures import BOMB, BROKEN, LARGE, plain

def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

Picture(8, 8, 3).pixels(plain(), "x")
before = peak_kb()
for data in (BOMB, LARGE, BROKEN["webp bomb"]):
    try:
        Picture(8, 8, 3).pixels(data, "x")
    except InvalidRequest:
        pass
print(peak_kb() - before)
"""


def test_a_bomb_takes_no_memory() -> None:
    grown_kb = int(subprocess.check_output([sys.executable, "-W", "ignore", "-c", _PEAK], cwd=ROOT))
    assert grown_kb < 10_000


GOOD = [plain(kind=kind, size=(20, 20)) for kind in ("PNG", "JPEG", "WEBP")]


@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8))
def test_damage_is_decoded_or_refused_but_never_another_error(good: bytes, damage: Any) -> None:
    data = bytearray(good)
    for position, value in damage:
        data[position % len(data)] = value
    with contextlib.suppress(InvalidRequest):
        pixels(COLOUR, bytes(data))
