"""Residual networks for 32x32 images as published: ResNet-20 and -56 (He et al. 2015), ResNet-8 (MLPerf Tiny)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.networks.initialization import he_normal
from edgekd.networks.resnet import ResidualBlock

WIDTHS: Final = (16, 32, 64)
"""Channels of the three stages."""


def resnet8(*, classes: int = 10, channels: int = 3) -> nn.Module:
    """Return MLPerf Tiny's network for image classification (Banbury et al. 2021, arXiv 2106.07597).

    One block for each stage; a block that changes the shape has a 1x1 convolution with a bias as its shortcut,
    neither normalized nor rectified. With 10 classes 77,706 parameters after the norms are folded, and 12.50 M
    multiply-accumulates at 3x32x32. Strided kernels look one pixel further up and left than TensorFlow's: the same
    network for mirrored images. Input (batch, channels, height, width), output (batch, classes).
    """
    return CifarResNet(classes=classes, channels=channels, blocks=1, block=BareProjectionBlock)


def resnet20(*, classes: int = 10, channels: int = 3, shortcut: str = "padding") -> nn.Module:
    """Return He et al. 2015 (arXiv 1512.03385) section 4.2 with n = 3; 269,722 parameters for 10 classes.

    *shortcut* "padding" is the paper's option A, without parameters; "projection" is option B, a normalized 1x1
    convolution, for runtimes without INT8 kernels for padding. Input (batch, channels, height, width), output
    (batch, classes). Raises ConfigError for another *shortcut*.
    """
    return CifarResNet(classes=classes, channels=channels, blocks=3, block=_block(shortcut))


def resnet56(*, classes: int = 10, channels: int = 3, shortcut: str = "padding") -> nn.Module:
    """Return the same as ``resnet20`` with n = 9; 853,018 parameters for 10 classes."""
    return CifarResNet(classes=classes, channels=channels, blocks=9, block=_block(shortcut))


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of blocks, global average, linear classifier."""

    def __init__(self, *, classes: int, channels: int, blocks: int, block: Callable[..., nn.Module]) -> None:
        """Build *blocks* blocks for each stage by ``block(before, after, stride=...)``."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        stages: list[nn.Module] = []
        before = WIDTHS[0]
        for after in WIDTHS:
            for _ in range(blocks):
                stages.append(block(before, after, stride=1 if after == before else 2))
                before = after
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(before, classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width).

        The average is no pooling layer with a flatten after it: padded shortcuts couple only a part of the last
        stage's channels, and torch-pruning takes such a part in front of a flatten for all of them.
        """
        features = self.blocks(self.stem(images)).mean((2, 3))
        logits: Tensor = self.classifier(features)
        return logits


class BareProjectionBlock(ResidualBlock):
    """A residual block whose shortcut is a 1x1 convolution without a norm, where the shape changes."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        """Build the layers of a block from *before* to *after* channels."""
        super().__init__(before, after, stride=stride)
        if stride != 1 or before != after:
            self.shortcut = nn.Conv2d(before, after, 1, stride=stride)


class PaddedBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters: every second pixel, and zeros as new channels."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        """Build the layers of a block from *before* to *after* channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        # Of windows of one pixel the largest value is the pixel: pooling strides in any runtime, in INT8 too.
        self.subsample = nn.Identity() if stride == 1 else nn.MaxPool2d(1, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, after, height / stride, width / stride).

        All zeros come after the channels that are there, so that channel i is added to channel i, and the number of
        zeros is read off the tensors: both stay right when channels are pruned.
        """
        inner = F.relu(self.norm1(self.conv1(features)))
        outer = self.norm2(self.conv2(inner))
        kept = self.subsample(features)
        new = outer.shape[1] - kept.shape[1]
        return F.relu(outer + (F.pad(kept, (0, 0, 0, 0, 0, new)) if new else kept))


SHORTCUTS: Final[Mapping[str, Callable[..., nn.Module]]] = MappingProxyType(
    {"padding": PaddedBlock, "projection": ResidualBlock}
)
"""The paper's options A and B by name."""


def _block(shortcut: str) -> Callable[..., nn.Module]:
    """Return what builds a block with this kind of *shortcut*."""
    if shortcut not in SHORTCUTS:
        message = f"shortcut: '{shortcut}' given; {suggestion(shortcut, SHORTCUTS)}"
        raise ConfigError(message)
    return SHORTCUTS[shortcut]
