"""Images of every mode, turned into numbers by the documented rule."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from edgekd.tasks.decoding import GRAY, WIDE, UnreadableError, decode, look


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return *image* as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def test_a_colour_image_becomes_planes_of_red_green_and_blue() -> None:
    """Channels first, then height, then width."""
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 1), (10, 20, 30))

    found = decode(encoded(image), gray=False, size=(2, 3))

    assert found.shape == (3, 2, 3)
    assert found[:, 1, 2].tolist() == [10, 20, 30]
    assert found.sum() == 60


@pytest.mark.parametrize(
    ("image", "gray", "number"),
    [
        (lambda: Image.new("L", (1, 1), 77), True, 77),
        (lambda: Image.new("1", (1, 1), 1), True, 255),
        (lambda: Image.new("LA", (1, 1), (77, 0)), True, 77),
        (lambda: Image.fromarray(np.array([[0x4D80]], dtype=np.uint16)), True, 0x4D),
        (lambda: Image.new("RGBA", (1, 1), (77, 77, 77, 0)), False, 77),
        (lambda: Image.new("RGB", (1, 1), (77, 77, 77)).quantize(2), False, 77),
    ],
)
def test_every_mode_keeps_its_brightness(image: Callable[[], Image.Image], gray: bool, number: int) -> None:  # noqa: FBT001 - one of the table's columns
    """Transparency is dropped, a palette looked up, and of 16 bits the upper 8 count."""
    content = encoded(image())

    assert look(content).gray == gray
    assert decode(content, gray=True, size=(1, 1)).tolist() == [[[number]]]
    assert decode(content, gray=False, size=(1, 1)).reshape(-1).tolist() == [number] * 3


def test_the_orientation_of_a_camera_is_applied() -> None:
    """Orientation 6: the camera was turned, the left column is the top row as it is meant to be seen."""
    image = Image.new("L", (2, 3))
    image.putpixel((0, 0), 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(image, exif=exif)

    assert look(content).size == (2, 3)
    assert decode(content, gray=True, size=(2, 3))[0, :, :].tolist() == [[0, 0, 200], [0, 0, 0]]


def test_another_size_keeps_the_middle_of_the_longer_side() -> None:
    """A 2x6 image of three squares in 4x4: only the middle square is left, twice as large."""
    image = Image.new("L", (6, 2))
    image.paste(100, (2, 0, 4, 2))

    found = decode(encoded(image), gray=True, size=(4, 4))

    assert found.shape == (1, 4, 4)
    assert (found[0, :, 1:3] == 100).all()


def test_an_image_that_shrinks_is_averaged() -> None:
    """A checkerboard of 0 and 200 becomes gray, not one of its two colours."""
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 200).astype(np.uint8)

    found = decode(encoded(Image.fromarray(board)), gray=True, size=(4, 4))

    assert abs(found.astype(float) - 100).max() <= 2


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    """No resampling touches it."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)

    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), gray=True, size=(5, 7))[0], pixels)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF"])
def test_a_file_that_was_cut_off_is_unreadable(form: str) -> None:
    """No image is filled up with gray."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    content = encoded(Image.fromarray(pixels), form)

    with pytest.raises(UnreadableError):
        decode(content[: len(content) // 2], gray=True, size=(64, 64))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_unreadable(content: bytes) -> None:
    """Neither its header nor its pixels."""
    with pytest.raises(UnreadableError):
        look(content)
    with pytest.raises(UnreadableError):
        decode(content, gray=False, size=(1, 1))


def test_an_image_of_32_bits_is_refused() -> None:
    """Nothing says which of its numbers is white."""
    content = encoded(Image.fromarray(np.ones((2, 2), dtype=np.float32)), "TIFF")

    with pytest.raises(UnreadableError, match="32 bits per pixel"):
        look(content)
    assert not GRAY & WIDE
