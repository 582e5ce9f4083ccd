"""MLPerf Tiny's network for keyword spotting: DS-CNN (Zhang et al. 2017, arXiv 1711.07128), the small one."""

from typing import Final

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.networks.initialization import he_normal

KERNEL: Final = (10, 4)
"""Of the first convolution: time steps and coefficients."""

STRIDE: Final = 2


def dscnn_kws(*, classes: int = 12, channels: int = 1, width: int = 64, blocks: int = 4) -> nn.Module:
    """Return a convolution over time and coefficients, and *blocks* depthwise-separable ones of *width* channels.

    22,604 parameters after the norms are folded and 2.66 M multiply-accumulates at 1x49x10 (one second: 49 steps of
    10 coefficients) for 12 words, as in MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597). Its dropout is left
    out: it does not run in the trained network. Input (batch, channels, time, coefficients), output (batch, classes).
    """
    return KeywordSpottingCNN(classes=classes, channels=channels, width=width, blocks=blocks)


def same_padding(size: int, *, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's zeros before and after *size* values for ceil(size / stride) outputs; the odd one after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class KeywordSpottingCNN(nn.Module):
    """Stem, separable blocks of one width, global average, linear classifier."""

    def __init__(self, *, classes: int, channels: int, width: int, blocks: int) -> None:
        """Build the layers; see ``dscnn_kws`` for the arguments."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, KERNEL, stride=STRIDE, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(_separable(width) for _ in range(blocks)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)
        he_normal(self)

    def forward(self, spectra: Tensor) -> Tensor:
        """Return logits (batch, classes) for spectra (batch, channels, time, coefficients)."""
        above, below = same_padding(spectra.shape[2], kernel=KERNEL[0], stride=STRIDE)
        left, right = same_padding(spectra.shape[3], kernel=KERNEL[1], stride=STRIDE)
        padded = F.pad(spectra, (left, right, above, below))
        features: Tensor = self.pool(self.blocks(self.stem(padded))).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


def _separable(width: int) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise 1x1 convolution, each with norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
