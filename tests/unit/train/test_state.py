"""The state of a training: all of it comes back, and what is not of this network changes nothing."""

import pytest
import torch
from torch import nn

from edgekd.train.averages import Averages
from edgekd.train.device import Precision
from edgekd.train.optimizers import optimizer_of
from edgekd.train.state import Best, State
from edgekd.train.training import OptimizerName, Training

CPU = torch.device("cpu")


def state(*, width: int = 3, optimizer: OptimizerName = "sgd", seed: int = 0, steps: int = 0) -> State:
    """Return the state of a small network after *steps* steps, with averages and a best epoch."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        training = Training(epochs=1, lr=0.1, optimizer=optimizer, averaging="ema")
        made = State(
            module=module,
            optimizer=optimizer_of(module, training),
            averages=Averages(module, training, steps=9),
            best=Best(),
            precision=Precision(CPU, dtype=torch.float16),
        )
        for _ in range(steps):
            step(made, torch.rand(4, 2, 5, 5))
    return made


def step(of: State, images: torch.Tensor) -> None:
    """Make one step of everything that a state holds."""
    of.optimizer.zero_grad()
    of.precision.backward(of.module(images).square().mean())
    of.precision.step(of.optimizer, 0.0)
    of.averages.update(0)
    of.best.score, of.best.epochs_ago = 0.1 + 0.2, 2
    of.best.tensors = {name: tensor.clone() for name, tensor in of.module.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_next_step_of_a_restored_state_is_that_of_the_saved_one(optimizer: OptimizerName) -> None:
    """Weights, statistics, moments, averages, best epoch and loss scale: every tensor is equal after one more step."""
    saved, restored = state(optimizer=optimizer, steps=3), state(optimizer=optimizer, seed=1)
    images = torch.rand(4, 2, 5, 5)

    assert restored.restore({name: tensor.clone() for name, tensor in saved.tensors(3).items()}) == 3

    assert restored.best.score == saved.best.score == 0.1 + 0.2
    assert restored.averages.count == 3
    for one in (saved, restored):
        step(one, images)
    expected, found = saved.tensors(4), restored.tensors(4)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert any(name.startswith("optimizer/") for name in expected)


def test_moments_take_the_memory_layout_of_their_parameters() -> None:
    """A checkpoint is contiguous; a kernel with its channels last steps faster with a momentum laid out like it."""
    restored = state(seed=1)
    tensors = {name: tensor.contiguous() for name, tensor in state(steps=2).tensors(2).items()}

    restored.restore(tensors)

    kernel = restored.module[0].weight  # type: ignore[index]
    assert isinstance(kernel, nn.Parameter)
    assert restored.optimizer.state[kernel]["momentum_buffer"].stride() == kernel.stride()
    assert restored.averages.tensors["0.weight"].stride() == kernel.stride()


@pytest.mark.parametrize("what", ["nothing", "another network", "no counters", "a tensor too many", "one too few"])
def test_what_is_not_of_this_network_changes_nothing(what: str) -> None:
    """None comes back; weights, moments and averages are those of before."""
    tensors = state(width=4 if what == "another network" else 3, steps=1).tensors(1)
    if what == "nothing":
        tensors = {}
    if what == "no counters":
        del tensors["counters"]
    if what == "a tensor too many":
        tensors["model/2.weight"] = torch.zeros(1)
    if what == "one too few":
        del tensors["model/0.bias"]
    mine = state(seed=1)
    before = {name: tensor.clone() for name, tensor in mine.tensors(0).items()}

    assert mine.restore(tensors) is None

    after = mine.tensors(0)
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
