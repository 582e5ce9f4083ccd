"""The mobile student: depthwise-separable convolutions (Howard et al. 2017, arXiv 1704.04861)."""

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


def dscnn(*, classes: int, channels: int = 1, width: int = 32, blocks: int = 2, stem_stride: int = 2) -> nn.Module:
    """Return a depthwise-separable network of two stages with 2x and 4x *width* channels, *blocks* each.

    Input (batch, channels, height, width), output (batch, classes).
    """
    return DepthwiseSeparableCNN(
        classes=classes, channels=channels, width=width, blocks=blocks, stem_stride=stem_stride
    )


class DepthwiseSeparableCNN(nn.Module):
    """Stem, separable blocks, global average, linear classifier."""

    def __init__(self, *, classes: int, channels: int, width: int, blocks: int, stem_stride: int) -> None:
        """Build the layers; see ``dscnn`` for the arguments."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        before = width
        for stage, after in enumerate((2 * width, 4 * width)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(SeparableBlock(before, after, stride=stride))
                before = after
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        features: Tensor = self.pool(self.blocks(self.stem(images))).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


class SeparableBlock(nn.Module):
    """A depthwise 3x3 and a pointwise 1x1 convolution, with a shortcut where the shape stays."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        """Build the layers of a block from *before* to *after* channels."""
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, 3, stride=stride, padding=1, groups=before, bias=False)
        self.norm1 = nn.BatchNorm2d(before)
        self.pointwise = nn.Conv2d(before, after, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.has_shortcut = stride == 1 and before == after

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, after, height / stride, width / stride)."""
        inner = F.relu(self.norm1(self.depthwise(features)))
        outer = self.norm2(self.pointwise(inner))
        return F.relu(outer + features) if self.has_shortcut else F.relu(outer)
