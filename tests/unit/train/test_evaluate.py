"""What a network answers on a split."""

import msgspec
import numpy as np
import pytest
import torch
from samples import image_task
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.tasks.preprocessing import normalize
from edgekd.tasks.task import Split, Task
from edgekd.train.evaluate import accuracy_of, answer_shapes, every_output, logits_of


class Both(nn.Module):
    """Answers with its flat input and that input's sum."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return both."""
        return {"logits": images.flatten(1), "sum": images.sum((1, 2, 3))}


class Talker(nn.Module):
    """Answers with a word."""

    def forward(self, images: Tensor) -> str:
        """Return it."""
        return str(images.shape)


def test_accuracy_is_the_part_whose_largest_logit_is_the_labels() -> None:
    """The pixels themselves are the logits: right, wrong, right, wrong by hand make one half."""
    pixels = np.array([[9, 1, 1], [9, 1, 1], [0, 1, 7], [2, 3, 1]], dtype=np.uint8).reshape(4, 1, 1, 3)
    task = image_task(pixels, np.array([0, 1, 2, 0]), classes=3)

    assert accuracy_of(nn.Flatten(), task, task.test) == 0.5


def test_accuracy_needs_labels(task: Task) -> None:
    """Data without is refused in one sentence."""
    bare = Split(inputs=task.test.inputs, labels=None)

    with pytest.raises(ConfigError, match="has no labels"):
        accuracy_of(nn.Flatten(), task, bare)


def test_more_samples_than_a_batch_keep_their_order(task: Task) -> None:
    """521 images go through in three parts and come back in one, normalized; every other output too."""
    images = np.random.default_rng(0).integers(0, 256, (521, 1, 6, 6), dtype=np.uint8)
    split = Split(inputs=(images,), labels=None)
    expected = torch.from_numpy(normalize(images, task.inputs[0].preprocessing))

    flat, sums = every_output(Both(), task, split)

    assert torch.equal(logits_of(Both(), task, split), expected.flatten(1))
    assert torch.equal(flat, expected.flatten(1))
    torch.testing.assert_close(sums, expected.sum((1, 2, 3)))


def test_evaluation_uses_running_statistics_and_changes_nothing(task: Task) -> None:
    """A norm in training mode is put into evaluation first; its statistics stay, and no graph is kept."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()).train()

    logits = logits_of(network, task, task.test)

    (rows,) = task.read(task.test, slice(None))
    torch.testing.assert_close(logits, torch.from_numpy(rows).flatten(1) / (1 + 1e-5) ** 0.5)
    assert not logits.requires_grad
    assert network[0].num_batches_tracked == 0


def test_the_answers_shapes_are_without_the_batch(task: Task) -> None:
    """36 pixels flattened, and one sum."""
    assert answer_shapes(nn.Flatten(), task) == ((36,),)
    assert answer_shapes(Both(), task) == ((36,), ())


def test_a_network_that_cannot_take_the_tasks_images_is_refused(task: Task) -> None:
    """The message holds the network's name and the shape that did not fit."""
    with pytest.raises(ConfigError, match=r"Conv2d: cannot take the task's input of shape \(1, 6, 6\): RuntimeError"):
        answer_shapes(nn.Conv2d(3, 2, 1), task)


def test_a_network_that_gives_no_tensors_is_refused_in_its_own_sentence(task: Task) -> None:
    """It can take the input: what it answers is what is wrong."""
    with pytest.raises(ConfigError, match="Talker: answers with str; expected a tensor"):
        answer_shapes(Talker(), task)


def test_several_inputs_are_named_in_the_refusal(task: Task) -> None:
    """Both shapes are in the message."""
    two = msgspec.structs.replace(task, inputs=(task.inputs[0], msgspec.structs.replace(task.inputs[0], name="again")))

    with pytest.raises(ConfigError, match=r"shape \(1, 6, 6\) and \(1, 6, 6\): TypeError"):
        answer_shapes(nn.Flatten(), two)
