"""MobileNetV2, of any width: inverted residuals with linear bottlenecks (Sandler et al. 2018, arXiv 1801.04381)."""

from typing import Final

from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.initialization import he_normal

STAGES: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, channels, blocks, stride of the first block."""

STEM: Final = 32
HEAD: Final = 1280
"""Channels of the first layer, and of the last before the classifier, which never has fewer."""

_MULTIPLE: Final = 8
_MOST_LOST: Final = 0.9


def mobilenetv2(*, classes: int = 1000, channels: int = 3, width: float = 1.0, stem_stride: int = 2) -> nn.Module:
    """Return MobileNetV2 with *width* times the channels, each rounded to a multiple of 8.

    3,504,872 parameters for 1000 classes and 300.8 M multiply-accumulates at 3x224x224 with *width* 1. The map
    shrinks by 32, or by 16 with *stem_stride* 1, for small images. Input (batch, channels, height, width), output
    (batch, classes). Raises ConfigError for a *width* that is not above 0.
    """
    if not width > 0:
        message = f"width: {width} given; expected a number above 0, such as 0.5."
        raise ConfigError(message)
    return MobileNetV2(classes=classes, channels=channels, width=width, stem_stride=stem_stride)


def rounded_channels(channels: float) -> int:
    """Return the multiple of 8 nearest to *channels*, at least 8, and the next one where a tenth would be lost."""
    nearest = max(_MULTIPLE, int(channels + _MULTIPLE / 2) // _MULTIPLE * _MULTIPLE)
    return nearest if nearest >= _MOST_LOST * channels else nearest + _MULTIPLE


class MobileNetV2(nn.Module):
    """Stem, seven stages of inverted residuals, a wide 1x1 convolution, global average, linear classifier."""

    def __init__(self, *, classes: int, channels: int, width: float, stem_stride: int) -> None:
        """Build the layers; see ``mobilenetv2`` for the arguments."""
        super().__init__()
        before = rounded_channels(STEM * width)
        self.stem = _convolution(channels, before, kernel=3, stride=stem_stride)
        stages: list[nn.Module] = []
        for expansion, base, blocks, stride in STAGES:
            after = rounded_channels(base * width)
            for block in range(blocks):
                stages.append(InvertedResidual(before, after, expansion=expansion, stride=1 if block else stride))
                before = after
        self.blocks = nn.Sequential(*stages)
        last = rounded_channels(HEAD * max(1.0, width))
        self.head = _convolution(before, last, kernel=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)
        he_normal(self)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        features: Tensor = self.pool(self.head(self.blocks(self.stem(images)))).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


class InvertedResidual(nn.Module):
    """1x1 to more channels, depthwise 3x3, 1x1 back without ReLU; with a shortcut where the shape stays."""

    def __init__(self, before: int, after: int, *, expansion: int, stride: int) -> None:
        """Build the layers of a block from *before* to *after* channels, *expansion* times as many inside."""
        super().__init__()
        inner = before * expansion
        self.expand = nn.Identity() if expansion == 1 else _convolution(before, inner, kernel=1)
        self.depthwise = _convolution(inner, inner, kernel=3, stride=stride, groups=inner)
        self.project = nn.Sequential(nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after))
        self.has_shortcut = stride == 1 and before == after

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, after, height / stride, width / stride)."""
        outer: Tensor = self.project(self.depthwise(self.expand(features)))
        return outer + features if self.has_shortcut else outer


def _convolution(before: int, after: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size (divided by *stride*), its norm and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU6(),
    )
