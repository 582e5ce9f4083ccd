"""Which images a step sees, decided by the seed and the step alone: what makes a run resume bit by bit."""

from typing import Final

import msgspec
import torch
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Preprocessing, Split, Task, normalize
from edgekd.train.augment import augment
from edgekd.train.training import Training

_AUGMENTATION: Final = 1 << 40
_LAYERS: Final = 2 << 40
"""Where the seeds of steps start, so that none equals an epoch's or one of the other kind."""


class Batches(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The training images of a stage, cut into augmented batches in a random order for each epoch."""

    split: Split
    preprocessing: Preprocessing
    training: Training
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of whole batches; the remainder differs from epoch to epoch and is left out."""
        return len(self.split) // self.training.batch_size

    @property
    def steps(self) -> int:
        """Return the number of steps in all epochs."""
        return self.steps_per_epoch * self.training.epochs

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (batch, channels, height, width) float32 and labels (batch,) of *step*."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = torch.randperm(len(self.split), generator=_generator(self.seed, epoch))
        chosen = order[position * self.training.batch_size :][: self.training.batch_size].numpy()
        images = torch.from_numpy(normalize(self.split.images[chosen], self.preprocessing))
        images = augment(images, self.training, _generator(self.seed, _AUGMENTATION + step))
        return images, torch.from_numpy(self.split.labels[chosen])

    def layer_seed(self, step: int) -> int:
        """Return the seed of what the network's own layers draw in *step*, such as dropout."""
        return _mixed(self.seed, _LAYERS + step)


def training_batches(task: Task, training: Training, *, seed: int) -> Batches:
    """Return the batches of *task*'s training split; ConfigError where not even one is full."""
    if len(task.train) < training.batch_size:
        message = f"batch_size: {training.batch_size}; the task has {len(task.train)} training images: take fewer."
        raise ConfigError(message)
    return Batches(split=task.train, preprocessing=task.preprocessing, training=training, seed=seed)


def _generator(seed: int, position: int) -> torch.Generator:
    """Return a generator of its own for one epoch or step of one seed."""
    return torch.Generator().manual_seed(_mixed(seed, position))


def _mixed(seed: int, position: int) -> int:
    """Return a number of its own for one position of one seed."""
    return (seed * 0x9E3779B97F4A7C15 + position * 0xBF58476D1CE4E5B9 + 1) % (1 << 63)
