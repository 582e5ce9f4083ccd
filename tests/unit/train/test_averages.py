"""Averaged weights against slow second ways."""

import pytest
import torch
from torch import Tensor, nn

from edgekd.train.averages import Averages, put
from edgekd.train.training import Averaging, Training


def run(averaging: Averaging, steps: int, **settings: float) -> tuple[nn.Linear, Averages, list[Tensor]]:
    """Return a layer after *steps* planted changes, its averages, and its weight after each step."""
    random = torch.Generator().manual_seed(0)
    layer, history = nn.Linear(3, 2), []
    averages = Averages(layer, Training(epochs=1, lr=1.0, averaging=averaging, **settings), steps=steps)  # type: ignore[arg-type]
    for step in range(steps):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(2, 3, generator=random))
        history.append(layer.weight.detach().clone())
        averages.update(step)
    return layer, averages, history


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_exponential_average_forgets_faster_while_it_is_young(decay: float) -> None:
    """After the first step n = 1, 2, ... it keeps min(decay, (1 + n) / (10 + n)) of itself."""
    layer, averages, history = run("ema", 40, ema_decay=decay)

    expected = history[0].double()
    for n, weight in enumerate(history[1:], start=1):
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * weight.double()
    averages.apply()
    torch.testing.assert_close(layer.weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("begin", "first"), [(0.0, 0), (0.5, 5), (0.75, 7), (0.99, 9)])
def test_the_mean_is_over_the_steps_after_its_begin(begin: float, first: int) -> None:
    """Of ten steps those from number *first* on count alike; the last one at least is always among them."""
    layer, averages, history = run("mean", 10, average_from=begin)

    averages.apply()

    assert averages.count == 10 - first
    torch.testing.assert_close(layer.weight.detach(), torch.stack(history[first:]).mean(0))


def test_without_averaging_the_last_weights_stay() -> None:
    """Nothing is kept and nothing put in."""
    layer, averages, history = run("none", 3)

    averages.apply()

    assert averages.tensors == {}
    assert torch.equal(layer.weight, history[-1])


def test_averages_stand_in_for_a_while() -> None:
    """Within the block the weights are the averages, after it the module's own, also where it ends in an error."""
    layer, averages, history = run("mean", 4, average_from=0.0)

    with pytest.raises(KeyboardInterrupt), averages.in_place():  # noqa: PT012 - what is within the block is the point
        torch.testing.assert_close(layer.weight.detach(), torch.stack(history).mean(0))
        raise KeyboardInterrupt

    assert torch.equal(layer.weight, history[-1])


def test_running_statistics_are_averaged_and_counters_are_not() -> None:
    """The mean of 0 and 0.1 x 10 is 0.5; the number of batches stays what it is."""
    norm = nn.BatchNorm1d(1)
    averages = Averages(norm, Training(epochs=1, lr=1.0, averaging="mean", average_from=0.0), steps=2)
    averages.update(0)
    norm(torch.tensor([[9.0], [11.0]]))
    averages.update(1)

    averages.apply()

    assert norm.running_mean is not None
    assert norm.running_mean.item() == pytest.approx(0.5)
    assert norm.num_batches_tracked == 1


def test_put_copies_and_leaves_the_rest() -> None:
    """The module keeps its own tensors; those that are not named do not change."""
    layer, planted = nn.Linear(1, 1), torch.tensor([[4.0]])
    bias = layer.bias.item()

    put(layer, {"weight": planted})
    planted.zero_()

    assert (layer.weight.item(), layer.bias.item()) == (4.0, bias)
