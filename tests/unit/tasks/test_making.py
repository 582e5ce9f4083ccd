"""What every task promises about its data, and that the digest names all of it."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekd.core.errors import ConfigError
from edgekd.tasks.making import make_task, with_labels
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task

RECIPE = Preprocessing(scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0), layout="NC", channel_order="none")


def split(count: int = 4, *, labels: list[int] | None = None, dtype: str = "float32") -> Split:
    """Return *count* samples of two numbers, of the classes 0, 1, 0, 1 ... where *labels* are not given."""
    found = np.arange(count) % 2 if labels is None else np.array(labels, dtype=np.int64)
    return Split(inputs=(np.arange(2 * count, dtype=dtype).reshape(count, 2),), labels=found)


def made(**changes: Any) -> Task:  # noqa: ANN401 - any argument of make_task
    """Return a small task with some arguments changed."""
    arguments: dict[str, Any] = {
        "inputs": (Input(name="input", shape=(2,), preprocessing=RECIPE),),
        "labels": ("no", "yes"),
        "train": split(),
        "validation": split(),
        "test": split(),
    }
    return make_task("small", **arguments | changes)


def test_the_same_data_has_the_same_digest() -> None:
    """Made twice, a task is the same task."""
    assert made().digest == made().digest


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"train": split(labels=[0, 1, 1, 0])},
        lambda: {"train": split(5)},
        lambda: {"test": split(dtype="int16")},
        lambda: {"labels": ("yes", "no")},
        lambda: {"outputs": ("scores",)},
        lambda: {"split_rule": "another"},
        lambda: {"inputs": (Input(name="x", shape=(2,), preprocessing=RECIPE),)},
        lambda: {
            "inputs": (Input(name="input", shape=(2,), preprocessing=msgspec.structs.replace(RECIPE, scale=2.0)),)
        },
    ],
)
def test_anything_that_changes_a_result_changes_the_digest(change: Callable[[], dict[str, Any]]) -> None:
    """A label, a sample, a type, a name, the rule or the pre-processing: another task."""
    assert made(**change()).digest != made().digest


def test_a_changed_number_changes_the_digest() -> None:
    """One number of one sample counts."""
    rows = split().inputs[0][:].copy()
    rows[3, 1] += 1

    assert made(validation=Split(inputs=(rows,), labels=split().labels)).digest != made().digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": split(0)}, "small: test: empty"),
        ({"train": split(labels=[0, 2, 1, 0])}, r"train: labels\[1\] is 2 \(1 such\); expected 0 to 1"),
        ({"test": split(labels=[0, -1, -1, 0])}, r"test: labels\[1\] is -1 \(2 such\)"),
        ({"train": split(labels=[1, 1, 1, 1])}, "all samples are of the class 'yes'"),
        ({"train": split(labels=[0, 1])}, r"labels: int64 of shape \(2,\)"),
        ({"train": split(dtype="float64")}, "float64 of shape"),
        ({"labels": ("only",)}, r"one class only \(only\)"),
        ({"outputs": ("input",)}, "inputs and outputs are named"),
        ({"inputs": (Input(name="input", shape=(3,), preprocessing=RECIPE),)}, "2 channels in mean"),
    ],
)
def test_data_that_does_not_fit_is_one_sentence(changes: dict[str, Any], message: str) -> None:
    """Where, what came and what was expected."""
    with pytest.raises(ConfigError, match=message):
        made(**changes)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused_by_its_sample(number: float) -> None:
    """NaN in data would become NaN in every weight."""
    rows = split().inputs[0][:].copy()
    rows[2, 1] = number
    broken = Split(inputs=(rows,), labels=split().labels)

    with pytest.raises(ConfigError, match="small: train: input: sample 2 holds NaN or an infinite number"):
        made(train=broken)


def test_unlabelled_training_samples_make_a_task() -> None:
    """A teacher may label them later; until then there is nothing to check."""
    task = made(train=Split(inputs=split().inputs, labels=None))

    assert task.train.labels is None


def test_given_labels_fill_only_what_was_unlabelled() -> None:
    """Answers take the place of missing labels, the task says whose, and is another task."""
    task = made(train=Split(inputs=split().inputs, labels=None))

    labelled = with_labels(task, {"train": np.array([1, 1, 0, 0])}, by="the teacher")

    assert labelled.train.targets.tolist() == [1, 1, 0, 0]
    assert labelled.test.targets.tolist() == task.test.targets.tolist()
    assert labelled.labelled_by == "the teacher"
    assert labelled.digest != task.digest
