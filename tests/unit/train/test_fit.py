"""The training loop: one step by hand, the same end however often it is cut, and no way past a broken loss."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.progress import PlainProgress, SilentProgress
from edgekd.tasks.task import Task
from edgekd.train.batches import training_batches
from edgekd.train.fit import Loss, Run, fit, l1_penalty, sgd
from edgekd.train.training import Training

TRAINING = Training(epochs=3, lr=0.1, batch_size=8, l1=1e-4)


def network() -> nn.Sequential:
    """Return a network with everything that a step changes or draws: weights, running statistics, dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 3)
        )


def cross_entropy(module: nn.Module) -> Loss:
    """Return the loss on labels."""

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(module(images), labels)

    return loss


def interrupted(loss: Loss, step: int) -> Loss:
    """Return *loss*, which raises KeyboardInterrupt in its call number *step*, after it has run the network."""
    calls = itertools.count()

    def cut(images: Tensor, labels: Tensor) -> Tensor:
        value = loss(images, labels)
        if next(calls) == step:
            raise KeyboardInterrupt
        return value

    return cut


def run_in(folder: Path, save_every_s: float = 0.0) -> Run:
    """Return a run that says nothing and saves after every step if not told otherwise."""
    return Run(name="teach", progress=SilentProgress(), checkpoint=folder / "training", save_every_s=save_every_s)


def trained(task: Task, folder: Path) -> nn.Module:
    """Return a network trained without a break."""
    module = network()
    fit(module, cross_entropy(module), training_batches(task, TRAINING, seed=1), run_in(folder, 60.0))
    return module


def equal(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether all tensors of the two are equal, bit for bit."""
    other = second.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("cuts", [(0,), (4,), (8,), (2, 3), (0, 0, 5)])
def test_a_run_that_was_cut_ends_bit_for_bit_as_one_that_was_not(task: Task, tmp_path: Path, cuts: tuple[int]) -> None:
    """In the first step, in the middle, in the last, or again and again: weights, statistics and dropout agree."""
    (tmp_path / "whole").mkdir()
    expected = trained(task, tmp_path / "whole")
    batches = training_batches(task, TRAINING, seed=1)

    for cut in cuts:
        module = network()
        with pytest.raises(KeyboardInterrupt):
            fit(module, interrupted(cross_entropy(module), cut), batches, run_in(tmp_path))
        torch.rand(3)  # another process has another random state
    module = network()
    fit(module, cross_entropy(module), batches, run_in(tmp_path))

    assert equal(module, expected)


def test_a_run_that_was_done_is_not_run_again(task: Task, tmp_path: Path) -> None:
    """Killed between its last step and what comes after, it only loads its result."""
    expected = trained(task, tmp_path)
    module = network()

    fit(module, interrupted(cross_entropy(module), 0), training_batches(task, TRAINING, seed=1), run_in(tmp_path))

    assert equal(module, expected)


def test_a_continued_run_says_from_where(task: Task, tmp_path: Path) -> None:
    """Three steps were done when the fourth was cut."""
    batches, module = training_batches(task, TRAINING, seed=1), network()
    with pytest.raises(KeyboardInterrupt):
        fit(module, interrupted(cross_entropy(module), 3), batches, run_in(tmp_path))
    stream, module = io.StringIO(), network()

    run = Run(name="teach", progress=PlainProgress(stream), checkpoint=tmp_path / "training")
    fit(module, cross_entropy(module), batches, run)

    assert stream.getvalue().splitlines()[0] == "teach: continues from step 3 of 9"


def test_a_damaged_checkpoint_is_said_and_the_run_starts_again(task: Task, tmp_path: Path) -> None:
    """The end is that of a run from the start."""
    (tmp_path / "whole").mkdir()
    expected = trained(task, tmp_path / "whole")
    (tmp_path / "training").write_bytes(b"garbage")
    stream, module = io.StringIO(), network()

    run = Run(name="teach", progress=PlainProgress(stream), checkpoint=tmp_path / "training")
    fit(module, cross_entropy(module), training_batches(task, TRAINING, seed=1), run)

    assert equal(module, expected)
    assert stream.getvalue().splitlines()[0] == "teach: training is damaged or of another network; starts again"


def test_training_ends_in_evaluation_mode_and_leaves_the_random_state(task: Task, tmp_path: Path) -> None:
    """Dropout drew numbers, but not the caller's."""
    state = torch.random.get_rng_state()

    module = trained(task, tmp_path)

    assert not any(part.training for part in module.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_makes_the_loss_smaller(task: Task, tmp_path: Path) -> None:
    """26 images are learned by heart."""
    module = network()
    training = Training(epochs=15, lr=0.05, batch_size=13, shift=0, rotation=0, scale=0, shear=0)
    images, labels = torch.from_numpy(task.normalize(task.train.images)), torch.from_numpy(task.train.labels)
    before = F.cross_entropy(module.eval()(images), labels)

    fit(module, cross_entropy(module), training_batches(task, training, seed=0), run_in(tmp_path, 60.0))

    assert F.cross_entropy(module(images), labels) < before / 3


@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_the_textbook(task: Task, tmp_path: Path, *, nesterov: bool) -> None:
    """Two steps of SGD with momentum, L2 and L1 on the matrix but not on the bias, in double precision by numpy."""
    training = Training(
        epochs=1, lr=0.2, batch_size=13, momentum=0.9, nesterov=nesterov, weight_decay=0.01, l1=0.03,
        schedule="cosine", warmup=0.0, shift=0, rotation=0, scale=0, shear=0,
    )  # fmt: skip
    layer = nn.Linear(36, 3)
    module, batches = nn.Sequential(nn.Flatten(), layer), training_batches(task, training, seed=0)
    weight, bias = (tensor.detach().double().numpy().copy() for tensor in (layer.weight, layer.bias))
    momentum_w, momentum_b = np.zeros_like(weight), np.zeros_like(bias)
    for step, lr in ((0, 0.2), (1, 0.1)):  # half a cosine over two steps: 1, 1/2
        x = batches.batch(step)[0].flatten(1).double().numpy()
        slope = 2 * (x @ weight.T + bias) / (13 * 3)
        gradient_w = slope.T @ x + 0.01 * weight + 0.03 * np.sign(weight)
        gradient_b = slope.sum(0)
        momentum_w, momentum_b = 0.9 * momentum_w + gradient_w, 0.9 * momentum_b + gradient_b
        weight -= lr * (gradient_w + 0.9 * momentum_w if nesterov else momentum_w)
        bias -= lr * (gradient_b + 0.9 * momentum_b if nesterov else momentum_b)

    def mean_square(images: Tensor, _labels: Tensor) -> Tensor:
        return torch.as_tensor(module(images)).square().mean()

    fit(module, mean_square, batches, run_in(tmp_path))

    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, atol=1e-6)
    np.testing.assert_allclose(layer.bias.detach().numpy(), bias, atol=1e-6)


def test_weight_decay_spares_norms_and_biases() -> None:
    """Kernels and matrices are in the group that decays, vectors in the other, frozen parameters in none."""
    module = network()
    module[0].weight.requires_grad = False
    names = {parameter: name for name, parameter in module.named_parameters()}

    groups = sgd(module, TRAINING).param_groups

    assert {group["weight_decay"]: [names[p] for p in group["params"]] for group in groups} == {
        TRAINING.weight_decay: ["5.weight"],
        0.0: ["0.bias", "1.weight", "1.bias", "5.bias"],
    }


def test_the_l1_penalty_adds_up_matrices_and_kernels_only() -> None:
    """|1| + |-2| of the matrix; the bias and a module without weights add nothing."""
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.bias, 5.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))

    assert l1_penalty(layer).item() == 3
    assert l1_penalty(nn.Identity()).item() == 0


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_stage(task: Task, tmp_path: Path, broken: float) -> None:
    """The message holds the step and the field to lower, and the step is not saved."""
    module = network()

    def loss(images: Tensor, _labels: Tensor) -> Tensor:
        return torch.as_tensor(module(images)).mean() * broken

    with pytest.raises(StageError, match=r"teach: the loss became -?(nan|inf) at step 0; lower teach\.lr"):
        fit(module, loss, training_batches(task, TRAINING, seed=0), run_in(tmp_path))
    assert not (tmp_path / "training").exists()


def test_a_rate_that_is_too_large_is_found_out(task: Task, tmp_path: Path) -> None:
    """Real divergence, not a planted one, ends the same way."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    training = Training(epochs=20, lr=1e20, batch_size=13)

    with pytest.raises(StageError, match=r"lower teach\.lr"):
        fit(module, cross_entropy(module), training_batches(task, training, seed=0), run_in(tmp_path))
