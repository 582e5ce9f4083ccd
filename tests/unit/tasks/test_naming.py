"""Which classes there are, and their order."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.core.errors import ConfigError
from edgekd.tasks.naming import classes_named, classes_numbered, task_name
from edgekd.tasks.source import Data


def folder(**settings: object) -> Data:
    """Return settings of a source that names its classes."""
    return Data(source="folder:x", **settings)  # type: ignore[arg-type]


def test_names_are_sorted_unless_their_order_is_given() -> None:
    """A teacher's classes may stand in another order than the alphabet."""
    assert classes_named({"b", "a"}, folder(), where="x") == ("a", "b")
    assert classes_named({"b", "a"}, folder(labels=("b", "a")), where="x") == ("b", "a")


def test_numbers_are_named_by_settings_then_data_then_themselves() -> None:
    """What a person says goes first."""
    labels = np.array([0, 1, 0])

    assert classes_numbered(labels, folder(labels=("n", "y")), where="x", names=("a", "b")) == ("n", "y")
    assert classes_numbered(labels, folder(), where="x", names=("a", "b")) == ("a", "b")
    assert classes_numbered(labels, folder(classes=3), where="x") == ("0", "1", "2")
    assert classes_numbered(labels, folder(), where="x") == ("0", "1")


def test_data_without_labels_takes_its_classes_from_the_settings() -> None:
    """A count gives numbers for names."""
    nothing = np.array([], dtype=np.int64)

    assert classes_named((), folder(classes=2), where="x") == ("0", "1")
    assert classes_numbered(nothing, folder(labels=("n", "y")), where="x") == ("n", "y")
    with pytest.raises(ConfigError, match=r"give data\.labels or data\.classes"):
        classes_named((), folder(), where="x")


@pytest.mark.parametrize(
    ("found", "settings", "message"),
    [
        ({"a", "b"}, {"labels": ("a", "c")}, "class 'b': the data has it"),
        ({"a"}, {"labels": ("a", "c")}, "class 'c': the data has no such class"),
        ({"a", "b"}, {"classes": 3}, "2 classes; data.classes says 3"),
        ({"a"}, {}, r"one class only \('a'\)"),
    ],
)
def test_names_that_contradict_the_settings_are_refused(
    found: set[str], settings: dict[str, object], message: str
) -> None:
    """Nothing is renamed or dropped in silence."""
    with pytest.raises(ConfigError, match=message):
        classes_named(found, folder(**settings), where="x")


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([0, 5, 1], {"classes": 3}, r"label 5 of sample 1 \(1 such\); expected 0 to 2 for 3 classes"),
        ([0, 1, 255], {}, "go up to 255, but 2 never occurs"),
        ([0, 0], {}, "one class only"),
    ],
)
def test_numbers_that_are_no_classes_are_refused(labels: list[int], settings: dict[str, object], message: str) -> None:
    """A label that was mistyped as 255 does not make 256 classes."""
    with pytest.raises(ConfigError, match=message):
        classes_numbered(np.array(labels), folder(**settings), where="x")


def test_a_task_is_named_by_the_last_part_of_its_path() -> None:
    """Moved to another place, data keeps its name, and with it its results."""
    assert task_name(Path("/one/pets")) == task_name(Path("/another/place/pets/")) == "pets"
