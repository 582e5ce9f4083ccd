"""The training loop: steps by hand, the same end however often it is cut, and no way past a broken loss."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from samples import STILL
from torch import Tensor, nn
from trainings import Cut, Formula, network, run_in

from edgekd.core.progress import PlainProgress
from edgekd.tasks.preprocessing import normalize
from edgekd.tasks.task import Task
from edgekd.train.batches import Batch, training_batches
from edgekd.train.fit import fit, has_idle_parameters
from edgekd.train.supervised import Supervised
from edgekd.train.training import Training

TRAINING = Training(epochs=3, lr=0.1, batch_size=8, l1=1e-4)
COMBINATIONS: tuple[dict[str, object], ...] = (
    {},
    {"optimizer": "adamw", "lr": 0.01, "averaging": "ema", "ema_decay": 0.5, "mixup": 0.3},
    {"optimizer": "adam", "lr": 0.01, "accumulate": 2, "averaging": "mean", "average_from": 0.5, "cutmix": 1.0},
    {"patience": 1, "averaging": "ema", "schedule": "step", "clip_norm": 0.5},
    {"patience": 2, "accumulate": 4, "momentum": 0.0, "nesterov": False, "schedule": "cosine", "crop": 1, "flip": True},
)
WAVE = (0.4, 0.6, 0.5, 0.3, 0.9)
"""A judge's verdicts: the best of the first four epochs is the second."""


def judge_of(module: nn.Module, verdicts: tuple[float, ...] = WAVE, epoch_steps: int = 3) -> Callable[[], float]:
    """Return a judge with planted *verdicts*; the number of the epoch is in the norm's counter."""
    norm = module[1]  # type: ignore[index]
    assert isinstance(norm, nn.BatchNorm2d)

    def judge() -> float:
        module.eval()
        assert norm.num_batches_tracked is not None
        return verdicts[int(norm.num_batches_tracked) // epoch_steps - 1]

    return judge


def trained(task: Task, folder: Path, training: Training = TRAINING) -> nn.Module:
    """Return a network trained without a break."""
    module = network()
    judge = judge_of(module, epoch_steps=3 * training.accumulate)
    fit(Supervised(module), training_batches(task, training, seed=1), run_in(folder, 60.0, judge=judge))
    return module


def equal(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether all tensors of the two are equal, bit for bit."""
    other = second.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("cuts", [(0,), (4,), (8,), (2, 3), (0, 0, 5)])
@pytest.mark.parametrize("settings", COMBINATIONS, ids=str)
def test_a_run_that_was_cut_ends_bit_for_bit_as_one_that_was_not(
    task: Task, tmp_path: Path, cuts: tuple[int, ...], settings: dict[str, object]
) -> None:
    """In the first step, in the middle, in the last, or again and again: weights, statistics and dropout agree."""
    (tmp_path / "whole").mkdir()
    training = msgspec.structs.replace(TRAINING, **settings)
    expected = trained(task, tmp_path / "whole", training)
    batches = training_batches(task, training, seed=1)

    for cut in cuts:
        module = network()
        judge = judge_of(module, epoch_steps=3 * training.accumulate)
        with pytest.raises(KeyboardInterrupt):
            fit(Cut(module, cut * training.accumulate), batches, run_in(tmp_path, judge=judge))
        torch.rand(3)  # another process has another random state
    module = network()
    fit(Supervised(module), batches, run_in(tmp_path, judge=judge_of(module, epoch_steps=3 * training.accumulate)))

    assert equal(module, expected)


def test_a_run_that_was_done_is_not_run_again(task: Task, tmp_path: Path) -> None:
    """Killed between its last step and what comes after, it only loads its result."""
    expected = trained(task, tmp_path)
    module = network()

    fit(Cut(module, 0), training_batches(task, TRAINING, seed=1), run_in(tmp_path))

    assert equal(module, expected)


def test_a_continued_run_says_from_where(task: Task, tmp_path: Path) -> None:
    """Three steps were done when the fourth was cut."""
    batches = training_batches(task, TRAINING, seed=1)
    with pytest.raises(KeyboardInterrupt):
        fit(Cut(network(), 3), batches, run_in(tmp_path))
    stream = io.StringIO()

    fit(Supervised(network()), batches, run_in(tmp_path, progress=PlainProgress(stream)))

    assert stream.getvalue().splitlines()[0] == "teach: continues from step 3 of 9"


def test_a_damaged_checkpoint_is_said_and_the_run_starts_again(task: Task, tmp_path: Path) -> None:
    """The end is that of a run from the start."""
    (tmp_path / "whole").mkdir()
    expected = trained(task, tmp_path / "whole")
    (tmp_path / "training").write_bytes(b"garbage")
    stream, module = io.StringIO(), network()

    batches = training_batches(task, TRAINING, seed=1)
    fit(Supervised(module), batches, run_in(tmp_path, progress=PlainProgress(stream)))

    assert equal(module, expected)
    assert stream.getvalue().splitlines()[0] == "teach: training is damaged or of another network; starts again"


def test_training_ends_in_evaluation_mode_and_leaves_the_random_state(task: Task, tmp_path: Path) -> None:
    """Dropout drew numbers, but not the caller's; kernels are laid out as they came."""
    state = torch.random.get_rng_state()

    module = trained(task, tmp_path)

    assert not any(part.training for part in module.modules())
    assert all(parameter.is_contiguous() for parameter in module.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_makes_the_loss_smaller(task: Task, tmp_path: Path) -> None:
    """26 images are learned by heart."""
    module = network()
    training = Training(epochs=15, lr=0.05, batch_size=13, **STILL)
    (rows,) = task.read(task.train, slice(None))
    images, labels = torch.from_numpy(rows), torch.from_numpy(task.train.targets)
    before = F.cross_entropy(module.eval()(images), labels)

    fit(Supervised(module), training_batches(task, training, seed=0), run_in(tmp_path, 60.0))

    assert F.cross_entropy(module(images), labels) < before / 3
    np.testing.assert_array_equal(rows, normalize(np.asarray(task.train.inputs[0]), task.inputs[0].preprocessing))


@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_the_textbook(task: Task, tmp_path: Path, *, nesterov: bool) -> None:
    """Two steps of SGD with momentum, L2 and L1 on the matrix but not on the bias, in double precision by numpy."""
    training = Training(
        epochs=1, lr=0.2, batch_size=13, momentum=0.9, nesterov=nesterov, weight_decay=0.01, l1=0.03,
        schedule="cosine", warmup=0.0, **STILL,
    )  # fmt: skip
    layer = nn.Linear(36, 3)
    batches = training_batches(task, training, seed=0)
    weight, bias = (tensor.detach().double().numpy().copy() for tensor in (layer.weight, layer.bias))
    momentum_w, momentum_b, losses = np.zeros_like(weight), np.zeros_like(bias), []
    for step, lr in ((0, 0.2), (1, 0.1)):  # half a cosine over two steps: 1, 1/2
        x = batches.batch(step).inputs[0].flatten(1).double().numpy()
        losses.append(np.square(x @ weight.T + bias).mean() + 0.03 * np.abs(weight).sum())
        slope = 2 * (x @ weight.T + bias) / (13 * 3)
        gradient_w = slope.T @ x + 0.01 * weight + 0.03 * np.sign(weight)
        gradient_b = slope.sum(0)
        momentum_w, momentum_b = 0.9 * momentum_w + gradient_w, 0.9 * momentum_b + gradient_b
        weight -= lr * (gradient_w + 0.9 * momentum_w if nesterov else momentum_w)
        bias -= lr * (gradient_b + 0.9 * momentum_b if nesterov else momentum_b)
    seen: list[tuple[int, float]] = []

    objective = Formula(nn.Sequential(nn.Flatten(), layer), lambda answer: answer.square().mean())
    fit(objective, batches, run_in(tmp_path, observe=lambda step, loss: seen.append((step, loss))))

    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, atol=1e-6)
    np.testing.assert_allclose(layer.bias.detach().numpy(), bias, atol=1e-6)
    assert [step for step, _ in seen] == [0, 1]
    assert [loss for _, loss in seen] == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_add_up_to_the_whole_batch(task: Task, tmp_path: Path, parts: int) -> None:
    """A network without norms ends as with whole batches, the losses too; L1 counts once."""
    ends, histories = [], []
    for accumulate in (1, parts):
        layer, losses = nn.Linear(36, 3), list[float]()
        nn.init.constant_(layer.weight, 0.01)
        nn.init.zeros_(layer.bias)
        training = msgspec.structs.replace(TRAINING, accumulate=accumulate, clip_norm=0.5, mixup=0.5)
        (tmp_path / str(accumulate)).mkdir()
        run = run_in(tmp_path / str(accumulate), observe=partial(_note, losses))
        fit(Supervised(nn.Sequential(nn.Flatten(), layer)), training_batches(task, training, seed=0), run)
        ends.append(layer.weight.detach())
        histories.append(losses)

    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-6)
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


@pytest.mark.parametrize("cut", [None, 7, 10])
def test_an_early_stop_keeps_the_best_epochs_weights(task: Task, tmp_path: Path, cut: int | None) -> None:
    """Verdicts .4 .6 .5 .3 .9 with a patience of 2: it ends after the fourth of five epochs with the second's weights.

    Also when it was cut in between.
    """
    training = msgspec.structs.replace(TRAINING, epochs=5, patience=2)
    batches, steps, looks = training_batches(task, training, seed=1), [], {}
    if cut is not None:
        module = network()
        with pytest.raises(KeyboardInterrupt):
            fit(Cut(module, cut), batches, run_in(tmp_path, judge=judge_of(module)))
    module = network()

    def observe(step: int, _loss: float) -> None:
        steps.append(step)
        looks[step] = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    run = run_in(tmp_path, judge=judge_of(module), observe=observe)
    fit(Supervised(module), batches, run)

    assert steps == list(range(cut or 0, 12))
    if cut is None:
        assert all(torch.equal(tensor, looks[5][name]) for name, tensor in module.state_dict().items())
    assert module[1].num_batches_tracked == 6


def test_what_the_judge_sees_are_the_averages(task: Task, tmp_path: Path) -> None:
    """And the training goes on with its own weights after each verdict."""
    training = msgspec.structs.replace(TRAINING, averaging="mean", average_from=0.0, patience=5)
    module, history, seen = network(), list[Tensor](), list[Tensor]()
    weight_now = module.get_parameter("5.weight")

    def judge() -> float:
        seen.append(weight_now.detach().clone())
        return 0.5

    run = run_in(tmp_path, judge=judge, observe=lambda *_: history.append(weight_now.detach().clone()))
    fit(Supervised(module), training_batches(task, training, seed=1), run)

    for epoch, weight in enumerate(seen, start=1):
        torch.testing.assert_close(weight, torch.stack(history[: 3 * epoch]).mean(0), rtol=1e-4, atol=1e-6)
    assert torch.equal(weight_now, seen[0])  # no later verdict was better


def _note(losses: list[float], _step: int, loss: float) -> None:
    """Write *loss* down."""
    losses.append(loss)


def test_a_parameter_that_the_loss_does_not_reach_is_found_before_processes_wait_for_it(task: Task) -> None:
    """A layer beside the network makes the difference; statistics, modes and gradients are as before."""
    module = network()
    beside = nn.ModuleDict({"used": module, "never": nn.Linear(2, 2)})

    class Objective(nn.Module):
        def __init__(self, parts: nn.Module) -> None:
            super().__init__()
            self.parts = parts

        def forward(self, batch: Batch) -> Tensor:
            return torch.as_tensor(Supervised(module)(batch))

    batch = training_batches(task, Training(epochs=1, lr=0.1, batch_size=8), seed=1).batch(0)
    before = {name: tensor.clone() for name, tensor in beside.state_dict().items()}

    assert not has_idle_parameters(Objective(module), batch)
    assert has_idle_parameters(Objective(beside), batch)

    assert all(torch.equal(tensor, before[name]) for name, tensor in beside.state_dict().items())
    assert all(parameter.grad is None for parameter in beside.parameters())
    assert module.training
