"""Data without labels: the given teachers name the classes, and everything after knows whose word it is."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.progress import SilentProgress
from edgekd.stages.labelling import labelled
from edgekd.stages.settings import Teach
from edgekd.tasks.task import Split, Task

PathOf = Callable[..., Path]


def without_labels(task: Task, *parts: str) -> Task:
    """Return *task* with the labels of *parts* gone."""
    splits = {part: Split(inputs=task.splits[part].inputs, labels=None) for part in parts}
    return msgspec.structs.replace(task, **splits)


def by(task: Task, *given: Path) -> Task:
    """Return *task* labelled by the given teachers."""
    return labelled(task, Teach(given=tuple(map(str, given))), SilentProgress())


def test_a_teacher_names_what_nobody_has_named(quadrants: Task, onnx_of: PathOf, folder_of: PathOf) -> None:
    """A network and an ONNX file that know the task give its labels back, in every split that had none."""
    for teacher in (onnx_of("quadrants"), folder_of("quadrants")):
        found = by(without_labels(quadrants, "train", "validation", "test"), teacher)
        assert all(np.array_equal(s.targets, quadrants.splits[name].targets) for name, s in found.splits.items())
        assert found.labelled_by == str(teacher)


def test_labels_that_are_there_stay(quadrants: Task, onnx_of: PathOf) -> None:
    """A teacher that is wrong about everything names only what had no name."""
    found = by(without_labels(quadrants, "train"), onnx_of("quadrants", turn=1))

    assert np.array_equal(found.train.targets, (quadrants.train.targets + 1) % 4)
    assert np.array_equal(found.test.targets, quadrants.test.targets)


def test_several_teachers_name_the_class_of_the_largest_mean(
    quadrants: Task, onnx_of: PathOf, folder_of: PathOf
) -> None:
    """Two who agree outvote the third, whatever their form."""
    found = by(
        without_labels(quadrants, "train"),
        onnx_of("quadrants"),
        onnx_of("quadrants", turn=1),
        folder_of("quadrants"),
    )

    assert np.array_equal(found.train.targets, quadrants.train.targets)


def test_another_teacher_makes_another_task(quadrants: Task, onnx_of: PathOf) -> None:
    """Other labels, other digest, so nothing in the store is taken for the same; equal labels are the same task."""
    bare = without_labels(quadrants, "train", "validation", "test")
    first, turned = by(bare, onnx_of("quadrants")), by(bare, onnx_of("quadrants", turn=1))

    assert len({bare.digest, first.digest, turned.digest}) == 3
    assert by(bare, onnx_of("quadrants")).digest == first.digest


def test_without_a_teacher_nobody_knows_what_the_samples_are(quadrants: Task) -> None:
    """One sentence with both ways out."""
    with pytest.raises(
        ConfigError, match=r"data 'images': has no labels and no teacher is given; give one with --teacher"
    ):
        by(without_labels(quadrants, "train"))


def test_a_teacher_that_names_one_class_only_is_refused(quadrants: Task, folder_of: PathOf) -> None:
    """There would be nothing to tell apart."""
    one = msgspec.structs.replace(
        without_labels(quadrants, "train"),
        train=Split(inputs=(np.asarray(quadrants.train.inputs[0])[::4],), labels=None),
    )
    with pytest.raises(ConfigError, match="the teacher calls every training sample 'class 0'"):
        by(one, folder_of("quadrants"))


def test_a_teacher_of_other_classes_is_refused(quadrants: Task, onnx_of: PathOf) -> None:
    """Before any label is made."""
    with pytest.raises(ConfigError, match=r"answers with shape \(7,\); the task 'images' wants \(4,\)"):
        by(without_labels(quadrants, "train"), onnx_of("linear", classes=7))
