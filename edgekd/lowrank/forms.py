"""The forms of a layer: whole, or split in two. Channels, sizes and stride are all that its cost depends on."""

import math
from collections.abc import Callable, Mapping

import msgspec
import torch
from torch import Tensor, nn

from edgekd.networks.factor import can_factorize

Size = tuple[int, int]


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a matrix in the forward pass of one sample: by a linear layer, or by a 1x1 convolution.

    Sizes are (height, width) of a map, (rows, 1) of what a linear layer reads. Several maps that a network makes of
    one sample stand one above the other. *stride* is the larger of both directions.
    """

    is_convolution: bool
    in_channels: int
    out_channels: int
    stride: int = 1
    in_size: Size
    out_size: Size

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates: the matrix at every position that is written."""
        return self.in_channels * self.out_channels * math.prod(self.out_size)

    @property
    def read(self) -> int:
        """Return how many numbers are read beside the weights."""
        return self.in_channels * math.prod(self.in_size)

    @property
    def written(self) -> int:
        """Return how many numbers are written."""
        return self.out_channels * math.prod(self.out_size)

    def split(self, rank: int) -> "tuple[Form, Form]":
        """Return the two layers with *rank* channels between them; the first does the striding."""
        first = msgspec.structs.replace(self, out_channels=rank)
        second = msgspec.structs.replace(self, in_channels=rank, stride=1, in_size=self.out_size)
        return first, second


def forms_of(module: nn.Module, example: tuple[Tensor, ...]) -> Mapping[str, tuple[Form, ...]]:
    """Return each use of each layer of *module* that can be split, by its path; *example* is a batch of one.

    A layer that the forward pass leaves out has none, one that it passes twice has two.
    """
    seen: dict[str, tuple[Form, ...]] = {}

    def record(path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[path] = (*seen.get(path, ()), _form(layer, inputs[0].shape, output.shape))

        return hook

    layers = [(path, layer) for path, layer in module.named_modules() if can_factorize(layer) is None]
    handles = [layer.register_forward_hook(record(path)) for path, layer in layers]
    module.eval()
    with torch.no_grad():
        module(*example)
    for handle in handles:
        handle.remove()
    return seen


def _form(layer: nn.Module, read: torch.Size, written: torch.Size) -> Form:
    """Return the form of *layer* that reads and writes tensors of these shapes."""
    if isinstance(layer, nn.Conv2d):
        return Form(
            is_convolution=True,
            in_channels=layer.in_channels,
            out_channels=layer.out_channels,
            stride=max(layer.stride),
            in_size=_map(read),
            out_size=_map(written),
        )
    rows = math.prod(read[:-1])
    return Form(
        is_convolution=False, in_channels=read[-1], out_channels=written[-1], in_size=(rows, 1), out_size=(rows, 1)
    )


def _map(shape: torch.Size) -> Size:
    """Return (height, width) of the maps (..., channels, height, width), one above the other."""
    return math.prod(shape[:-3]) * shape[-2], shape[-1]
