"""Parameters and multiply-accumulates of a module."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers training changes (buffers do not count; a shared tensor counts once)."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the multiply-accumulates of one sample of *input_shape* (without the batch).

    Convolutions, matrix products and attention count, at whatever place in the code they are called;
    element-wise work and normalization do not. Torch counts two operations per multiply-accumulate.
    """
    was_training = module.training
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *input_shape))
    module.train(was_training)
    return int(counter.get_total_flops()) // 2
