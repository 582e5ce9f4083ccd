"""Networks as a user would write them: nothing here knows of edgekd."""

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """Two convolutions and a head: (batch, channels, height, width) to (batch, classes)."""

    def __init__(self, *, classes: int = 3, channels: int = 1, width: int = 8) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU()
        )
        self.head = nn.Linear(2 * width, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.body(self.stem(pixels)).mean((2, 3)))
        return logits


class TwoSenses(nn.Module):
    """Two inputs, an image and a vector, and two outputs: logits (batch, 3) and what was felt (batch, 4)."""

    def __init__(self, *, width: int = 8) -> None:
        """Make the layers."""
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.feel = nn.Sequential(nn.Linear(4, width), nn.ReLU())
        self.join = nn.Sequential(nn.Linear(2 * width, 16), nn.ReLU())
        self.head = nn.Linear(16, 3)
        self.felt = nn.Linear(16, 4)

    def forward(self, image: Tensor, touch: Tensor) -> tuple[Tensor, Tensor]:
        """Return both answers."""
        joined = self.join(torch.cat([self.see(image).mean((2, 3)), self.feel(touch)], 1))
        return self.head(joined), self.felt(joined)


def small(classes: int = 3, channels: int = 1, width: int = 8) -> nn.Module:
    """Return a ``Small``."""
    return Small(classes=classes, channels=channels, width=width)


def two_senses(width: int = 8) -> nn.Module:
    """Return a ``TwoSenses``."""
    return TwoSenses(width=width)


def frozen() -> nn.Module:
    """Return a network with nothing to train."""
    network = Small()
    for parameter in network.parameters():
        parameter.requires_grad = False
    return network


def broken() -> nn.Module:
    """Raise what a user's mistake raises."""
    message = "no width"
    raise RuntimeError(message)
