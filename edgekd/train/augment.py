"""Random small affine changes of whole batches of images."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from edgekd.train.training import Training


def augment(images: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    """Return *images* each shifted, turned, scaled and sheared at random, within the bounds of *training*.

    Shape (batch, channels, height, width) in and out; bilinear; what comes in from outside repeats the
    border.
    With every bound 0 the images come back as they are.
    """
    if not any((training.shift, training.rotation, training.scale, training.shear)):
        return images
    grid = F.affine_grid(_matrices(len(images), training, generator), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _matrices(count: int, training: Training, generator: torch.Generator) -> Tensor:
    """Return one random affine matrix for each image, shape (count, 2, 3)."""

    def uniform(bound: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * bound

    angle = uniform(training.rotation * math.pi / 180)
    size = 1 + uniform(training.scale)
    shear, right, down = uniform(training.shear), uniform(2 * training.shift), uniform(2 * training.shift)
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    rows = (torch.stack([cosine, shear - sine, right], 1), torch.stack([sine, cosine, down], 1))
    return torch.stack(rows, 1)
