"""Optimizers: textbook steps in double precision, and which tensors decay."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.train.optimizers import l1_penalty, optimizer_of, split_parameters
from edgekd.train.training import Training

LR, MOMENTUM, DECAY = 0.1, 0.8, 0.05


def by_hand(
    name: str, gradients: list[NDArray[np.float64]], start: NDArray[np.float64], decay: float
) -> NDArray[np.float64]:
    """Return the weight after *gradients*, by the formulas of the papers, one after the other."""
    weight, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step, slope in enumerate(gradients, start=1):
        gradient = slope if name == "adamw" else slope + decay * weight
        if name in {"nesterov", "sgd"}:
            first = MOMENTUM * first + gradient
            weight = weight - LR * (gradient + MOMENTUM * first if name == "nesterov" else first)
            continue
        if name == "adamw":
            weight = weight - LR * decay * weight
        first = MOMENTUM * first + (1 - MOMENTUM) * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - MOMENTUM**step), second / (1 - 0.999**step)
        weight = weight - LR * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return weight


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw"])
def test_steps_are_those_of_the_textbook(name: str) -> None:
    """Three steps on planted gradients: the weight of a layer decays as the optimizer says, its bias does not."""
    layer = nn.Linear(3, 2).double()
    training = Training(
        epochs=1, lr=LR, momentum=MOMENTUM, weight_decay=DECAY, nesterov=name == "nesterov",
        optimizer="sgd" if name == "nesterov" else name,  # type: ignore[arg-type]
    )  # fmt: skip
    random = np.random.default_rng(0)
    gradients = {key: [random.normal(size=tensor.shape) for _ in range(3)] for key, tensor in layer.named_parameters()}
    expected = {
        key: by_hand(name, gradients[key], tensor.detach().numpy(), DECAY if key == "weight" else 0.0)
        for key, tensor in layer.named_parameters()
    }
    optimizer = optimizer_of(layer, training)

    for step in range(3):
        for key, tensor in layer.named_parameters():
            tensor.grad = torch.from_numpy(gradients[key][step])
        optimizer.step()

    for key, tensor in layer.named_parameters():
        np.testing.assert_allclose(tensor.detach().numpy(), expected[key], rtol=1e-12, atol=1e-12)


class Scaled(nn.Module):
    """Parameters of its own, of every kind that must be told apart."""

    def __init__(self) -> None:
        """Make a scale, a class token, a table and a single number."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.table = nn.Parameter(torch.ones(3, 4))
        self.number = nn.Parameter(torch.ones(()))


@pytest.mark.parametrize(
    ("module", "decayed"),
    [
        (nn.Linear(5, 1), {"weight"}),
        (nn.Linear(1, 5), {"weight"}),
        (nn.Conv2d(4, 4, 3, groups=4), {"weight"}),
        (nn.Conv2d(4, 4, 1, groups=4), {"weight"}),
        (nn.ConvTranspose1d(2, 2, 2), {"weight"}),
        (nn.LSTM(1, 2), {"weight_ih_l0", "weight_hh_l0"}),
        (nn.BatchNorm2d(4), set()),
        (nn.LayerNorm((2, 3)), set()),
        (nn.GroupNorm(1, 4), set()),
        (nn.PReLU(3), set()),
        (Scaled(), {"table"}),
        (nn.MultiheadAttention(4, 2), {"in_proj_weight", "out_proj.weight"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_matrices_and_kernels_decay_and_nothing_else_does(module: nn.Module, decayed: set[str]) -> None:
    """Whatever their shape, the weights of layers do; norms, biases, scales, tokens and numbers do not."""
    found, spared = split_parameters(module)

    assert {name for name, _ in found} == decayed
    assert {name for name, _ in found + spared} == {name for name, _ in module.named_parameters()}


def test_frozen_parameters_are_in_no_group() -> None:
    """And a group without parameters is left out."""
    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    module[0].requires_grad_(requires_grad=False)

    groups = optimizer_of(module, Training(epochs=1, lr=1.0)).param_groups

    assert [group["weight_decay"] for group in groups] == [0.0]
    assert [id(parameter) for parameter in groups[0]["params"]] == [
        id(parameter) for parameter in module[1].parameters()
    ]


def test_a_shared_tensor_is_trained_once_under_its_first_name() -> None:
    """Tied to another layer, or seen as a bare vector elsewhere: one name, and decayed if one of the layers says so."""
    tied = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    tied[1].weight = tied[0].weight
    seen_bare = nn.Module()
    seen_bare.row = nn.Parameter(torch.ones(1, 4))
    seen_bare.layer = nn.Linear(4, 1, bias=False)
    seen_bare.layer.weight = seen_bare.row

    assert [[name for name, _ in names] for names in split_parameters(tied)] == [["0.weight"], []]
    assert [[name for name, _ in names] for names in split_parameters(seen_bare)] == [["layer.weight"], []]
    assert len(optimizer_of(seen_bare, Training(epochs=1, lr=1.0)).param_groups) == 1


def test_the_l1_penalty_adds_up_matrices_and_kernels_only() -> None:
    """|1| + |-2| of the matrix; the bias and a module without weights add nothing."""
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.bias, 5.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))

    assert l1_penalty(layer).item() == 3
    assert l1_penalty(nn.Identity()).item() == 0
