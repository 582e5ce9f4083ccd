"""What a network answers on a split."""

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Preprocessing, Split, Task
from edgekd.train.evaluate import accuracy_of, answer_shape, logits_of

PLAIN = Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), layout="NCHW", channel_order="gray")


def test_accuracy_is_the_part_whose_largest_logit_is_the_labels(task: Task) -> None:
    """The pixels themselves are the logits: right, wrong, right, wrong by hand make one half."""
    pixels = np.array([[9, 1, 1], [9, 1, 1], [0, 1, 7], [2, 3, 1]], dtype=np.uint8).reshape(4, 1, 1, 3)
    split = Split(images=pixels, labels=np.array([0, 1, 2, 0]))

    assert accuracy_of(nn.Flatten(), msgspec.structs.replace(task, preprocessing=PLAIN), split) == 0.5


def test_more_images_than_a_batch_keep_their_order(task: Task) -> None:
    """521 images go through in three parts and come back in one, normalized."""
    images = np.random.default_rng(0).integers(0, 256, (521, 1, 2, 2), dtype=np.uint8)
    split = Split(images=images, labels=np.zeros(521, dtype=np.int64))

    logits = logits_of(nn.Flatten(), task, split)

    assert torch.equal(logits, torch.from_numpy(task.normalize(images)).flatten(1))


def test_evaluation_uses_running_statistics_and_changes_nothing(task: Task) -> None:
    """A norm in training mode is put into evaluation first; its statistics stay, and no graph is kept."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()).train()

    logits = logits_of(network, task, task.test)

    expected = torch.from_numpy(task.normalize(task.test.images)).flatten(1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(logits, expected)
    assert not logits.requires_grad


def test_the_answers_shape_is_without_the_batch(task: Task) -> None:
    """36 pixels flattened."""
    assert answer_shape(nn.Flatten(), task) == (36,)


def test_a_network_that_cannot_take_the_tasks_images_is_refused(task: Task) -> None:
    """The message holds the shape that did not fit."""
    with pytest.raises(ConfigError, match=r"cannot take the task's input of shape \(1, 6, 6\)"):
        answer_shape(nn.Conv2d(3, 2, 1), task)
