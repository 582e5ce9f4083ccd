"""Devices by name, and mixed precision as far as a CPU shows it."""

import pytest
import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.train.device import Precision, find_device

CPU = torch.device("cpu")


def test_the_cpu_is_always_there() -> None:
    """By its name, whatever the rank."""
    assert find_device("cpu", rank=3) == CPU


def test_an_unknown_device_is_refused() -> None:
    """The message holds what came and all that there are."""
    with pytest.raises(ConfigError, match="--device tpu: unknown; expected one of cpu, cuda, mps"):
        find_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    """The message says what to do."""
    with pytest.raises(ConfigError, match=r"--device cuda: torch .* finds none here; use --device cpu"):
        find_device("cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has one")
def test_metal_that_is_not_there_is_refused() -> None:
    """The same for Apple's."""
    with pytest.raises(ConfigError, match="--device mps"):
        find_device("mps")


def test_on_a_cpu_every_bit_stays_as_float32_makes_it() -> None:
    """Forward, gradient and step are torch's own; there is no scale to save."""
    layers = [nn.Linear(4, 2), nn.Linear(4, 2)]
    layers[1].load_state_dict(layers[0].state_dict())
    rows, precision = torch.rand(3, 4), Precision(CPU)
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in layers]

    with precision.autocast():
        answer = layers[0](rows)
    precision.backward(answer.square().sum())
    precision.step(optimizers[0], 0.0)
    layers[1](rows).square().sum().backward()
    optimizers[1].step()

    assert answer.dtype == torch.float32
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert precision.scale_state() == ()


def test_bfloat16_computes_the_forward_and_keeps_the_weights_wide() -> None:
    """The answer has eight bits of mantissa; weights and gradients are float32, and the loss falls."""
    layer = nn.Linear(4, 2)
    nn.init.ones_(layer.weight)
    optimizer, precision = torch.optim.SGD(layer.parameters(), lr=0.1), Precision(CPU, dtype=torch.bfloat16)
    kinds, losses = set(), []

    for _ in range(20):
        optimizer.zero_grad()
        with precision.autocast():
            answer = layer(torch.eye(4))
            loss = answer.float().square().mean()
        precision.backward(loss)
        precision.step(optimizer, 0.0)
        kinds.add(answer.dtype)
        losses.append(loss.item())

    assert kinds == {torch.bfloat16}
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert losses[-1] < losses[0] / 4


def test_the_whole_gradient_is_cut_to_its_length() -> None:
    """(3, 4, 12) has the length 13: cut to 6.5 the step is half; a bound of 100 changes nothing."""
    for bound, factor in ((6.5, 0.5), (100.0, 1.0)):
        first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
        first.grad, second.grad = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
        optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=1.0)

        Precision(CPU).step(optimizer, bound)

        found = torch.cat([first, second]).detach()
        torch.testing.assert_close(found, -factor * torch.tensor([3.0, 4, 12]), atol=1e-5, rtol=0)


def test_a_scaled_gradient_is_cut_by_its_true_length() -> None:
    """Float16 multiplies the loss; the step is that of the gradient without."""
    weight = nn.Parameter(torch.zeros(2))
    optimizer, precision = torch.optim.SGD([weight], lr=1.0), Precision(CPU, dtype=torch.float16)

    precision.backward((weight * torch.tensor([3.0, 4.0])).sum())
    precision.step(optimizer, 2.5)

    torch.testing.assert_close(weight.detach(), torch.tensor([-1.5, -2.0]), atol=1e-5, rtol=0)


def test_the_loss_scale_is_saved_and_taken_again() -> None:
    """One step that overflows halves it, two good ones are counted, and another run goes on from there."""
    weight = nn.Parameter(torch.ones(1))
    optimizer, precision = torch.optim.SGD([weight], lr=0.0), Precision(CPU, dtype=torch.float16)
    for factor in (float("inf"), 1.0, 1.0):
        optimizer.zero_grad()
        precision.backward((weight * factor).sum())
        precision.step(optimizer, 0.0)
    resumed = Precision(CPU, dtype=torch.float16)

    resumed.restore_scale(list(precision.scale_state()))

    assert precision.scale_state() == (32768.0, 2.0)
    assert resumed.scale_state() == (32768.0, 2.0)
    assert weight.item() == 1
