"""The residual teacher for small images: He et al. 2015 (arXiv 1512.03385) section 4.2, of any width."""

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

EXPANSIONS = (1, 2, 4)


def resnet(*, classes: int, channels: int = 1, width: int = 32, blocks: int = 1, stem_stride: int = 2) -> nn.Module:
    """Return a residual network of three stages with *width*, 2x and 4x *width* channels.

    Depth is ``6 * blocks + 2`` layers. Input (batch, channels, height, width), output (batch, classes).
    *stem_stride* 2 halves the image in the first layer, which quarters the cost of all that follow.
    """
    return ResNet(classes=classes, channels=channels, width=width, blocks=blocks, stem_stride=stem_stride)


class ResNet(nn.Module):
    """Stem, three stages of residual blocks, global average, linear classifier."""

    def __init__(self, *, classes: int, channels: int, width: int, blocks: int, stem_stride: int) -> None:
        """Build the layers; see ``resnet`` for the arguments."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        before = width
        for stage, expansion in enumerate(EXPANSIONS):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(ResidualBlock(before, expansion * width, stride=stride))
                before = expansion * width
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        features: Tensor = self.pool(self.blocks(self.stem(images))).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (1x1 convolution where the shape changes)."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        """Build the layers of a block from *before* to *after* channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, after, height / stride, width / stride)."""
        inner = F.relu(self.norm1(self.conv1(features)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))
