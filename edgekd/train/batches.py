"""Which samples a step sees, and how they look: decided by seed and step alone, so that a run resumes bit by bit."""

from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Split, Task
from edgekd.train.augment import augment
from edgekd.train.distributed import World
from edgekd.train.draws import mixed_seed, order, signed
from edgekd.train.mixing import PARTNERS, mix
from edgekd.train.training import Training

_LAYERS: Final = 1 << 42
"""Where the seeds of what layers draw start: beyond those of all epochs' orders and of their partners'."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One batch of one process.

    *inputs* are float32 (n, ...), one for each input of the task. *labels* (n,) int64; where samples are mixed,
    *other_labels* (n,) are those of the partners and *part* (n,) is the weight of the own label. *samples* (n,) are the
    places in the split and *epoch* the epoch in which they look like this.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    other_labels: Tensor | None
    part: Tensor | None
    samples: NDArray[np.int64]
    epoch: int

    def cut(self, parts: int) -> tuple["Batch", ...]:
        """Return this batch in *parts* of equal size."""
        size = len(self.samples) // parts
        return tuple(self._slice(slice(start, start + size)) for start in range(0, size * parts, size))

    def to(self, device: torch.device) -> "Batch":
        """Return this batch with its tensors on *device*; images are laid out with their channels last."""
        return msgspec.structs.replace(
            self,
            inputs=tuple(_placed(tensor, device) for tensor in self.inputs),
            labels=self.labels.to(device),
            other_labels=None if self.other_labels is None else self.other_labels.to(device),
            part=None if self.part is None else self.part.to(device),
        )

    def _slice(self, chosen: slice) -> "Batch":
        """Return some of the samples."""
        return msgspec.structs.replace(
            self,
            inputs=tuple(tensor[chosen] for tensor in self.inputs),
            labels=self.labels[chosen],
            other_labels=None if self.other_labels is None else self.other_labels[chosen],
            part=None if self.part is None else self.part[chosen],
            samples=self.samples[chosen],
        )


class Batches(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The training samples of a stage, cut into augmented batches in a random order for each epoch.

    In a distributed run every process gets its own part of the same batches.
    """

    task: Task
    training: Training
    seed: int
    world: World = World()

    @property
    def split(self) -> Split:
        """Return the split that is trained on."""
        return self.task.train

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of whole batches; the remainder differs from epoch to epoch and is left out."""
        return len(self.split) // self.training.batch_size

    @property
    def steps(self) -> int:
        """Return the number of steps in all epochs."""
        return self.steps_per_epoch * self.training.epochs

    def batch(self, step: int) -> Batch:
        """Return this process's part of the batch of *step*."""
        epoch, position = divmod(step, self.steps_per_epoch)
        size = self.training.batch_size
        whole = _order(len(self.split), self.seed, epoch)[position * size :][:size]
        return self.view(np.array_split(whole, self.world.size)[self.world.rank], epoch)

    def view(self, samples: NDArray[np.int64], epoch: int) -> Batch:
        """Return *samples* (n,) as they look in *epoch*."""
        inputs = self._augmented(samples, epoch)
        labels = torch.from_numpy(self.split.targets[samples])
        training = self.training
        if not (training.mixup or training.cutmix):
            return Batch(inputs=inputs, labels=labels, other_labels=None, part=None, samples=samples, epoch=epoch)
        others = _order(len(self.split), self.seed, PARTNERS + epoch)[samples]
        theirs = self._augmented(others, epoch)
        mixed, part = mix(inputs, theirs, training, seed=self.seed, epoch=epoch, samples=samples)
        other_labels = torch.from_numpy(self.split.targets[others])
        return Batch(inputs=mixed, labels=labels, other_labels=other_labels, part=part, samples=samples, epoch=epoch)

    def layer_seed(self, step: int) -> int:
        """Return the seed of what the network's own layers draw in *step*, such as dropout; another in each process."""
        return mixed_seed(self.seed, _LAYERS + step * self.world.size + self.world.rank)

    def _augmented(self, samples: NDArray[np.int64], epoch: int) -> tuple[Tensor, ...]:
        """Return the inputs of *samples* in *epoch*, images varied, not yet mixed."""

        def draw(purpose: int) -> Tensor:
            return signed(self.seed, epoch, samples, purpose)

        return tuple(
            augment(torch.from_numpy(array), self.training, entry.preprocessing, draw)
            if entry.preprocessing.layout == "NCHW"
            else torch.from_numpy(array)
            for array, entry in zip(self.task.read(self.split, samples), self.task.inputs, strict=True)
        )


def training_batches(task: Task, training: Training, *, seed: int, world: World | None = None) -> Batches:
    """Return the batches of *task*'s training split.

    Where the split has fewer samples than a batch, a batch is all of them that can be shared equally. Raises
    ConfigError where the processes or the parts of a step do not divide a batch, or the split has not one sample for
    each of them, and where cutmix meets anything but a single image.
    """
    world = world or World()
    shares = world.size * training.accumulate
    if training.batch_size % shares:
        message = (
            f"batch_size: {training.batch_size} cannot be shared equally by {world.size} processes in "
            f"{training.accumulate} parts each; take a multiple of {shares}."
        )
        raise ConfigError(message)
    if len(task.train) < shares:
        message = f"accumulate: a step has {shares} parts; the task has {len(task.train)} training samples: take fewer."
        raise ConfigError(message)
    if len(task.train) < training.batch_size:
        training = msgspec.structs.replace(training, batch_size=len(task.train) // shares * shares)
    if training.cutmix and [entry.preprocessing.layout for entry in task.inputs] != ["NCHW"]:
        message = f"cutmix: {training.cutmix}; it pastes images, and the task does not have one image as its input."
        raise ConfigError(message)
    return Batches(task=task, training=training, seed=seed, world=world)


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of one epoch; the last few are kept, since every step asks."""
    return order(count, seed, epoch)


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    """Return *tensor* on *device*, an image batch with its channels last."""
    if tensor.ndim == 4:  # noqa: PLR2004 - NCHW
        return tensor.to(device).contiguous(memory_format=torch.channels_last)
    return tensor.to(device)
