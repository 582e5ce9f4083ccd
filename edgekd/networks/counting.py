"""Parameters and multiply-accumulates of a module."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Never

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgekd.core.errors import ConfigError

_Shape = tuple[int, ...]


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers training changes (buffers do not count; a shared tensor counts once)."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, *input_shapes: tuple[int, ...]) -> int:
    """Return the multiply-accumulates of one sample; *input_shapes* are those of its inputs, without the batch.

    Convolutions, matrix products, attention and recurrent layers count, at whatever place in the code they are
    called; element-wise work and normalization do not. Torch counts two operations per multiply-accumulate.
    Raises ConfigError for a bilinear layer, whose work is not counted.

    Torch's counter overlooks fused attention, so none may run here: the input asks for a gradient, because
    nn.MultiheadAttention fuses only without one, and scaled_dot_product_attention runs as matrix products.
    """
    was_training = module.training
    module.eval()
    sample = [torch.zeros(1, *shape, requires_grad=True).clone() for shape in input_shapes]
    counter = FlopCounterMode(display=False, custom_mapping=dict(_MORE_OPERATIONS))
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(*sample)
    module.train(was_training)
    return int(counter.get_total_flops()) // 2


def _matrix_vector(matrix: _Shape, _vector: _Shape, *, out_shape: _Shape) -> int:  # noqa: ARG001 - torch's call
    """Return the operations of a matrix (rows, columns) times a vector."""
    return 2 * matrix[0] * matrix[1]


def _dot(vector: _Shape, _other: _Shape, *, out_shape: _Shape) -> int:  # noqa: ARG001 - torch's call
    """Return the operations of the product of two vectors."""
    return 2 * vector[0]


def _lstm(sequence: _Shape, inner: _Shape, hidden: _Shape, *_rest: object, **_settings: object) -> int:
    """Return the operations of one direction of an LSTM layer over a sequence (time, batch, features)."""
    return 2 * sequence[0] * sequence[1] * (inner[0] * inner[1] + hidden[0] * hidden[1])


def _refuse_bilinear(*_shapes: object, **_settings: object) -> Never:
    """Raise ConfigError: a wrong count would pass for a right one."""
    message = "multiply-accumulates: a bilinear layer is not counted; write it as matrix products."
    raise ConfigError(message)


_MORE_OPERATIONS: Final[Mapping[torch._ops.OpOverloadPacket, Callable[..., int]]] = MappingProxyType(
    {
        torch.ops.aten.mv: _matrix_vector,
        torch.ops.aten.dot: _dot,
        torch.ops.aten.mkldnn_rnn_layer: _lstm,
        torch.ops.aten._trilinear: _refuse_bilinear,  # noqa: SLF001 - what nn.Bilinear calls
    }
)
