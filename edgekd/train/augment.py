"""Random small changes of whole batches of images, each image's drawn from its own number."""

import math
from collections.abc import Callable
from enum import IntEnum

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from edgekd.tasks.preprocessing import Preprocessing
from edgekd.train.training import Augmentation

Draw = Callable[[int], Tensor]
"""From a purpose to a number in [-1, 1) for each image, shape (batch,)."""

LUMA = (0.299, 0.587, 0.114)
"""How much of each of red, green and blue makes gray (ITU-R BT.601)."""


class Purpose(IntEnum):
    """What a random number of an image is for."""

    ANGLE = 1
    SIZE = 2
    SHEAR = 3
    RIGHT = 4
    DOWN = 5
    CROP_RIGHT = 6
    CROP_DOWN = 7
    FLIP = 8
    BRIGHTNESS = 9
    CONTRAST = 10
    SATURATION = 11


def augment(images: Tensor, settings: Augmentation, recipe: Preprocessing, draw: Draw) -> Tensor:
    """Return *images* each changed in colour, moved, mirrored, turned, scaled and sheared as *settings* say.

    Shape (batch, channels, height, width) in and out, normalized by *recipe*. With everything off the images come
    back as they are.
    """
    if settings.brightness or settings.contrast or settings.saturation:
        images = _coloured(images, settings, recipe, draw)
    if settings.crop or settings.flip:
        images = _cropped(images, settings, draw)
    if settings.shift or settings.rotation or settings.scale or settings.shear:
        grid = F.affine_grid(
            _matrices(settings, draw, images.shape[3] / images.shape[2]), list(images.shape), align_corners=False
        )
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return images


def _matrices(settings: Augmentation, draw: Draw, aspect: float) -> Tensor:
    """Return one random affine matrix for each image, shape (batch, 2, 3); *aspect* is width over height.

    The grid counts half sides, not pixels: without *aspect* an oblong image would be sheared where it is turned.
    """
    angle = draw(Purpose.ANGLE) * (settings.rotation * math.pi / 180)
    size = 1 + draw(Purpose.SIZE) * settings.scale
    shear = draw(Purpose.SHEAR) * settings.shear
    right, down = (draw(purpose) * (2 * settings.shift) for purpose in (Purpose.RIGHT, Purpose.DOWN))
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    rows = (
        torch.stack([cosine, (shear - sine) / aspect, right], 1),
        torch.stack([sine * aspect, cosine, down], 1),
    )
    return torch.stack(rows, 1)


def _cropped(images: Tensor, settings: Augmentation, draw: Draw) -> Tensor:
    """Return *images* moved by up to ``crop`` pixels, mirrored at the border, and half of them turned left to right."""
    height, width = images.shape[2:]
    down = _pixels(draw(Purpose.CROP_DOWN), settings.crop)
    right = _pixels(draw(Purpose.CROP_RIGHT), settings.crop)
    rows = _mirrored(torch.arange(height) + down[:, None], height)
    columns = torch.arange(width).expand(len(images), width)
    if settings.flip:
        columns = torch.where(draw(Purpose.FLIP)[:, None] < 0, columns.flip(1), columns)
    columns = _mirrored(columns + right[:, None], width)
    flat = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    index = flat[:, None, :].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).reshape(images.shape)


def _pixels(numbers: Tensor, most: int) -> Tensor:
    """Return a whole number from -*most* to *most* for each number in [-1, 1), all equally likely."""
    return ((numbers + 1) / 2 * (2 * most + 1)).floor().long().clamp(0, 2 * most) - most


def _mirrored(positions: Tensor, size: int) -> Tensor:
    """Return *positions* outside 0 to *size* - 1 mirrored back at the border pixel, far ones at the other border."""
    inside = positions.abs()
    return torch.where(inside >= size, 2 * (size - 1) - inside, inside).clamp(0, size - 1)


def _coloured(images: Tensor, settings: Augmentation, recipe: Preprocessing, draw: Draw) -> Tensor:
    """Return *images* with changed brightness, contrast and saturation, in that order, in units of the scaled pixel."""

    def factor(purpose: Purpose, bound: float) -> Tensor:
        return (1 + draw(purpose) * bound)[:, None, None, None]

    mean, std = (torch.tensor(values)[:, None, None] for values in (recipe.mean, recipe.std))
    has_colours = recipe.channel_order in ("rgb", "bgr")
    weights = torch.tensor(LUMA if has_colours else [1 / images.shape[1]] * images.shape[1])
    if recipe.channel_order == "bgr":
        weights = weights.flip(0)

    def gray(pixels: Tensor) -> Tensor:
        return (pixels * weights[:, None, None]).sum(1, keepdim=True)

    pixels = (images * std + mean) * factor(Purpose.BRIGHTNESS, settings.brightness)
    # torch sums one large image alone in another order than several, on several threads; NumPy does not.
    middle = torch.from_numpy(gray(pixels).flatten(1).numpy().mean(axis=1))[:, None, None, None]
    pixels = middle + (pixels - middle) * factor(Purpose.CONTRAST, settings.contrast)
    pale = gray(pixels)
    pixels = pale + (pixels - pale) * factor(Purpose.SATURATION, settings.saturation)
    return (pixels.clamp(0, 255 * recipe.scale) - mean) / std
