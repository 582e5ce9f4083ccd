"""Samples mixed in pairs: mixup (arXiv 1710.09412) and cutmix (arXiv 1905.04899), the pair fixed by the epoch."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from edgekd.train.draws import uniform
from edgekd.train.training import Augmentation

_LAMBDA, _WHICH, _TOP, _LEFT = 101, 102, 103, 104
PARTNERS = 1 << 41
"""Added to the epoch in whose order partners are found, so that they do not come in the order of the batches."""


def mix(
    mine: tuple[Tensor, ...],
    theirs: tuple[Tensor, ...],
    settings: Augmentation,
    *,
    seed: int,
    epoch: int,
    samples: NDArray[np.int64],
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return *mine* mixed with *theirs*, and the part (n,) that is mine: the weight of my label.

    Where both kinds are on, each is used for half of the samples.
    """
    draws = uniform(seed, epoch, samples, _LAMBDA)
    cut = _are_cut(settings, uniform(seed, epoch, samples, _WHICH))
    alpha = np.where(cut, settings.cutmix or 1.0, settings.mixup or 1.0)
    part = torch.from_numpy(betaincinv(alpha, alpha, draws).astype(np.float32))
    if not cut.any():
        return tuple(_blend(a, b, part) for a, b in zip(mine, theirs, strict=True)), part
    corner = torch.from_numpy(np.stack([uniform(seed, epoch, samples, lane) for lane in (_TOP, _LEFT)], 1))
    boxes = _boxes(mine[0], part, corner)
    is_cut = torch.from_numpy(cut)
    pasted = torch.where(boxes, theirs[0], mine[0])
    blended = _blend(mine[0], theirs[0], part)
    left = 1 - boxes.float().mean(dim=(1, 2, 3))
    return (torch.where(is_cut[:, None, None, None], pasted, blended),), torch.where(is_cut, left, part)


def _are_cut(settings: Augmentation, draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which samples get a pasted box; the others are blended."""
    if settings.mixup and settings.cutmix:
        return draws < 0.5  # noqa: PLR2004 - one half
    return np.full(len(draws), bool(settings.cutmix))


def _blend(mine: Tensor, theirs: Tensor, part: Tensor) -> Tensor:
    """Return ``part * mine + (1 - part) * theirs``."""
    weight = part.reshape(-1, *(1,) * (mine.ndim - 1))
    return weight * mine + (1 - weight) * theirs


def _boxes(images: Tensor, part: Tensor, corner: Tensor) -> Tensor:
    """Return masks (n, 1, height, width), true in a box of about ``1 - part`` of the area, inside the image."""
    height, width = images.shape[2:]
    sides = (1 - part).sqrt()
    tall, wide = (sides * height).round(), (sides * width).round()
    top = (corner[:, 0] * (height - tall + 1)).floor()
    left = (corner[:, 1] * (width - wide + 1)).floor()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
