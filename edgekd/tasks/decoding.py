"""One image file's bytes turned into numbers (channels, height, width)."""

import io
import struct
import zlib
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"}
)
"""How the names of image files end."""

GRAY: Final = frozenset({"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes that hold no colour; all others but ``WIDE`` are stored as red, green, blue."""

WIDE: Final = frozenset({"I", "F"})
"""Pillow's modes of 32 bits: nothing says which number is white, so they are refused."""

_SIXTEEN_BITS: Final = "I;16"
_ORIENTATION: Final = 0x0112
_LYING: Final = frozenset({5, 6, 7, 8})
_BROKEN: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for a damaged file, depending on its format and on where the damage is."""


class UnreadableError(Exception):
    """Bytes that are no image, or not all of one; the message says why."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What an image's header says: whether it is *gray*, and its *size* (height, width) as it is meant to be seen."""

    gray: bool
    size: tuple[int, int]


def look(content: bytes) -> Look:
    """Return what the header says, without decoding; UnreadableError where there is none."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            lying = image.getexif().get(_ORIENTATION) in _LYING
            mode, size = image.mode, (image.width, image.height) if lying else (image.height, image.width)
    except _BROKEN as error:
        raise UnreadableError(_reason(error)) from error
    if mode in WIDE:
        message = "an image of 32 bits per pixel; expected 8 or 16"
        raise UnreadableError(message)
    return Look(gray=mode in GRAY, size=size)


def decode(content: bytes, *, gray: bool, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image as (1 or 3, height, width) uint8; UnreadableError where it cannot be decoded as a whole.

    The EXIF orientation is applied. Of 16 bits the upper 8 count. A palette is looked up, transparency is dropped,
    colour becomes gray by ITU-R 601 (as Pillow converts), of several frames the first counts. An image of
    another size is scaled, with antialiasing (Pillow's bilinear), until its shorter side fits *size*, and
    cropped about its centre.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(_SIXTEEN_BITS):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("L" if gray else "RGB")
    except _BROKEN as error:
        raise UnreadableError(_reason(error)) from error
    if (image.height, image.width) != size:
        image = ImageOps.fit(image, (size[1], size[0]), method=Image.Resampling.BILINEAR)
    numbers = np.asarray(image)
    return numbers[np.newaxis] if gray else np.ascontiguousarray(numbers.transpose(2, 0, 1))


def _reason(error: Exception) -> str:
    """Return why an image cannot be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return str(error).split("\n")[0].strip().removesuffix(".") or type(error).__name__
