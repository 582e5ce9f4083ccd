"""A vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929) in the size of DeiT-Tiny (arXiv 2012.12877)."""

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.initialization import small_normal

EXPANSION: Final = 4
"""Of the feed-forward part."""

_EPSILON: Final = 1e-6


def vit(  # noqa: PLR0913 - the sizes that the papers' tables list
    *,
    classes: int = 1000,
    channels: int = 3,
    image_size: int = 224,
    patch: int = 16,
    dim: int = 192,
    depth: int = 12,
    heads: int = 3,
) -> nn.Module:
    """Return a vision transformer with a class token; the defaults are DeiT-Tiny without its distillation token.

    5,717,416 parameters for 1000 classes; 1.254 G multiply-accumulates at 3x224x224, of which 0.179 G are the two
    products inside attention (the paper rounds to 1.3 G). Input (batch, channels, image_size, image_size), output
    (batch, classes). ``blocks.<i>.attention.maps`` gives the attention maps (batch, heads, tokens, tokens), token 0
    is the class token. Raises ConfigError where *patch* does not divide *image_size* or *heads* not *dim*.
    """
    for name, whole, part_name, part in (("image_size", image_size, "patch", patch), ("dim", dim, "heads", heads)):
        if part < 1 or whole < part or whole % part:
            message = f"{name}: {whole} given; expected a multiple of {part_name} ({part})."
            raise ConfigError(message)
    return VisionTransformer(
        classes=classes,
        patches=nn.Conv2d(channels, dim, patch, stride=patch),
        tokens=1 + (image_size // patch) ** 2,
        blocks=nn.Sequential(*(TransformerBlock(dim, heads=heads) for _ in range(depth))),
    )


class VisionTransformer(nn.Module):
    """Patches as tokens, transformer blocks, a norm, and a linear classifier on the class token."""

    def __init__(self, *, classes: int, patches: nn.Conv2d, tokens: int, blocks: nn.Sequential) -> None:
        """Put *blocks* over the tokens that *patches* makes; *tokens* counts the class token."""
        super().__init__()
        dim = patches.out_channels
        self.patches = patches
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.zeros(1, tokens, dim))
        self.blocks = blocks
        self.norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.classifier = nn.Linear(dim, classes)
        small_normal(self)
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, image_size, image_size).

        The class token is added to a row of zeros, not put before the others: the graph then holds no copy of it for
        each sample, and no shape that is computed.
        """
        tokens = F.pad(self.patches(images).flatten(2).transpose(1, 2), (0, 0, 1, 0))
        start = self.positions + F.pad(self.class_token, (0, 0, 0, self.positions.shape[1] - 1))
        logits: Tensor = self.classifier(self.norm(self.blocks(tokens + start))[:, 0])
        return logits


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward part, each normalized before and added to what came in."""

    def __init__(self, dim: int, *, heads: int) -> None:
        """Build the layers for tokens of *dim* features."""
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_EPSILON)
        self.attention = SelfAttention(dim, heads=heads)
        self.norm2 = nn.LayerNorm(dim, eps=_EPSILON)
        self.feed_forward = nn.Sequential(nn.Linear(dim, EXPANSION * dim), nn.GELU(), nn.Linear(EXPANSION * dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (batch, tokens, dim) for the same shape."""
        mixed = tokens + self.attention(self.norm1(tokens))
        outer: Tensor = mixed + self.feed_forward(self.norm2(mixed))
        return outer


class SelfAttention(nn.Module):
    """Multi-head self-attention whose maps are the output of a submodule, ``maps``."""

    def __init__(self, dim: int, *, heads: int) -> None:
        """Build the projections for tokens of *dim* features in *heads* equal parts."""
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.maps = nn.Softmax(dim=-1)
        self.output = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (batch, tokens, dim) for the same shape."""
        query, key, value = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        maps = self.maps(query @ key.transpose(-2, -1) * self.scale)
        mixed: Tensor = self.output((maps @ value).transpose(1, 2).flatten(2))
        return mixed
