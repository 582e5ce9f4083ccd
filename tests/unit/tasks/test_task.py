"""How a task is read: normalized, input by input, in the order that was asked for."""

import numpy as np
import pytest

from edgekd.core.errors import ConfigError
from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task

DOUBLED = Preprocessing(scale=2.0, mean=(0.0,), std=(1.0,), layout="NC", channel_order="none")
HALVED = Preprocessing(scale=0.5, mean=(0.0,), std=(1.0,), layout="NC", channel_order="none")


def two_inputs() -> Task:
    """Return a task whose sample i is i, doubled for one input and halved for the other."""
    numbers = np.arange(5, dtype=np.float32).reshape(5, 1)
    split = Split(inputs=(numbers, numbers), labels=np.array([0, 1, 0, 1, 0]))
    return make_task(
        "two",
        inputs=(
            Input(name="doubled", shape=(1,), preprocessing=DOUBLED),
            Input(name="halved", shape=(1,), preprocessing=HALVED),
        ),
        labels=("even", "odd"),
        train=split,
        validation=split,
        test=split,
    )


def test_read_gives_each_input_normalized_in_the_order_asked_for() -> None:
    """Samples 3 and 1: doubled 6 and 2, halved 1.5 and 0.5."""
    task = two_inputs()

    doubled, halved = task.read(task.train, np.array([3, 1]))

    assert doubled.tolist() == [[6.0], [2.0]]
    assert halved.tolist() == [[1.5], [0.5]]


def test_batches_give_every_sample_once_in_order() -> None:
    """Five samples in batches of two: 2, 2 and 1."""
    task = two_inputs()

    batches = [doubled.reshape(-1).tolist() for doubled, _ in task.batches(task.test, size=2)]

    assert batches == [[0.0, 2.0], [4.0, 6.0], [8.0]]


def test_a_task_names_its_splits_and_shapes() -> None:
    """Train, validation and test by name; one shape for each input."""
    task = two_inputs()

    assert list(task.splits) == ["train", "validation", "test"]
    assert task.shapes == ((1,), (1,))


def test_targets_of_unlabelled_samples_are_refused() -> None:
    """Nobody trains on labels that are not there."""
    split = Split(inputs=(np.zeros((2, 1), dtype=np.float32),), labels=None)

    with pytest.raises(ConfigError, match="no labels; give a teacher"):
        _ = split.targets
