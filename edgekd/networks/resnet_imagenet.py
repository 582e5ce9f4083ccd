"""The residual network for large images: He et al. 2015 (arXiv 1512.03385) section 4.1, 18 layers."""

from typing import Final

from torch import Tensor, nn

from edgekd.networks.initialization import he_normal
from edgekd.networks.resnet import ResidualBlock

WIDTHS: Final = (64, 128, 256, 512)
"""Channels of the four stages."""


def resnet18(*, classes: int = 1000, channels: int = 3) -> nn.Module:
    """Return ResNet-18 with projection shortcuts where the shape changes (option B).

    11,689,512 parameters for 1000 classes, 1.814 G multiply-accumulates at 3x224x224. Input (batch, channels,
    height, width), output (batch, classes); the map shrinks by 32, so smaller images than 32x32 lose their place.
    """
    return ImageNetResNet(classes=classes, channels=channels, blocks=2)


class ImageNetResNet(nn.Module):
    """A strided 7x7 convolution and a maximum, four stages of blocks, global average, linear classifier."""

    def __init__(self, *, classes: int, channels: int, blocks: int) -> None:
        """Build *blocks* blocks of two 3x3 convolutions for each stage."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, WIDTHS[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        before = WIDTHS[0]
        for after in WIDTHS:
            for _ in range(blocks):
                stages.append(ResidualBlock(before, after, stride=1 if after == before else 2))
                before = after
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before, classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        features: Tensor = self.pool(self.blocks(self.stem(images))).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits
