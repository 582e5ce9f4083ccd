"""Trainings that leave the numbers: they end in one sentence, and what is on disk can go on."""

import io
import itertools
from pathlib import Path

import msgspec
import pytest
import torch
from samples import STILL
from torch import Tensor, nn
from trainings import Cut, Formula, network, run_in

from edgekd.core.errors import ConfigError
from edgekd.core.progress import PlainProgress
from edgekd.tasks.task import Task
from edgekd.train.batches import Batch, training_batches
from edgekd.train.checkpoint import load_checkpoint
from edgekd.train.fit import fit
from edgekd.train.supervised import Supervised
from edgekd.train.training import Training

TRAINING = Training(epochs=3, lr=0.1, batch_size=8, l1=1e-4)


class BreaksAt(Supervised):
    """A loss that is *broken* in its call number *call*, and the network's statistics with it."""

    def __init__(self, module: nn.Module, call: int, broken: float) -> None:
        """Train *module* until then."""
        super().__init__(module)
        self._left, self._broken = itertools.count(call, -1), broken

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss."""
        if next(self._left) == 0:
            batch = msgspec.structs.replace(batch, inputs=tuple(rows * self._broken for rows in batch.inputs))
        return super().forward(batch)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_last_good_state(
    task: Task, tmp_path: Path, broken: float
) -> None:
    """The message holds step, rate and what to change; the checkpoint is that of a run cut there, and goes on."""
    batches = training_batches(task, msgspec.structs.replace(TRAINING, schedule="cosine", warmup=0.0), seed=1)
    for name, objective, expected in (
        ("cut", Cut(network(), 6), pytest.raises(KeyboardInterrupt)),
        ("broken", BreaksAt(network(), 6, broken), pytest.raises(ConfigError, match=SIXTH)),
    ):
        (tmp_path / name).mkdir()
        with expected:
            fit(objective, batches, run_in(tmp_path / name))
    good, kept = (load_checkpoint(tmp_path / name / "training") for name in ("cut", "broken"))
    stream, module = io.StringIO(), network()

    slower = training_batches(task, msgspec.structs.replace(TRAINING, lr=0.001), seed=1)
    fit(Supervised(module), slower, run_in(tmp_path / "broken", progress=PlainProgress(stream)))

    assert good.keys() == kept.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in good.items())
    assert stream.getvalue().startswith("teach: continues from step 6 of 9")
    assert all(tensor.isfinite().all() for tensor in module.state_dict().values())


SIXTH = (
    r"teach: the loss became nan at step 6, where the learning rate was 0\.025; "
    r"lower teach\.lr or set teach\.clip_norm\. The last good state is kept in .*training\."
)
"""The seventh of nine steps along half a cosine: 0.1 x (1 + cos 120) / 2."""


def test_a_training_that_breaks_at_once_has_saved_nothing(task: Task, tmp_path: Path) -> None:
    """The message says so."""
    with pytest.raises(ConfigError, match=r"nan at step 0.*Nothing was saved yet"):
        fit(BreaksAt(network(), 0, float("nan")), training_batches(task, TRAINING, seed=0), run_in(tmp_path))

    assert not (tmp_path / "training").exists()


@pytest.mark.parametrize("save_every_s", [0.0, 60.0])
def test_weights_that_a_finite_loss_broke_are_not_saved(task: Task, tmp_path: Path, save_every_s: float) -> None:
    """The square root of 0 has an infinite slope: no loss shows it in the last step, no checkpoint gets it."""
    layer = nn.Linear(36, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    training = Training(epochs=1, lr=0.1, batch_size=26, **STILL)
    objective = Formula(nn.Sequential(nn.Flatten(), layer), lambda answer: answer.square().mean().sqrt())

    with pytest.raises(ConfigError, match="the weights became NaN or infinite at step 0, where the learning rate"):
        fit(objective, training_batches(task, training, seed=0), run_in(tmp_path, save_every_s))

    assert not (tmp_path / "training").exists()


def test_a_rate_that_is_too_large_is_found_out(task: Task, tmp_path: Path) -> None:
    """Real divergence, not a planted one, ends the same way; what is on disk is finite."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    training = Training(epochs=20, lr=1e20, batch_size=13)

    with pytest.raises(ConfigError, match=r"lower teach\.lr"):
        fit(Supervised(module), training_batches(task, training, seed=0), run_in(tmp_path))

    assert all(tensor.isfinite().all() for tensor in load_checkpoint(tmp_path / "training").values())
