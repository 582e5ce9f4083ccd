"""Data sets of Hugging Face ``datasets``, from folders that ``save_to_disk`` wrote."""

import io
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Rows, Task

Library = Any  # datasets has no types
Load = Callable[..., Task]
Numbers = Callable[[Rows], list[int]]


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> Library:
    """Give the library, without its network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets", reason="an extra: pip install 'edgekd[datasets]'")


def table(datasets: Library, *, start: int = 0, count: int = 20, label: Library = None) -> Library:
    """Return *count* images of one colour each, *start* and up, of the classes no and yes in turn."""
    images = []
    for number in range(start, start + count):
        stream = io.BytesIO()
        Image.new("L", (4, 4), number).save(stream, "PNG")
        images.append({"bytes": stream.getvalue(), "path": None})
    columns = {"picture": images, "answer": [number % 2 for number in range(count)]}
    features = {"picture": datasets.Image(), "answer": label or datasets.ClassLabel(names=["no", "yes"])}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def test_a_saved_table_is_split_and_named_by_its_features(
    datasets: Library,
    tmp_path: Path,
    load: Load,
    numbers: Numbers,
) -> None:
    """Columns are found by their types, names come with them, validation and test are drawn."""
    table(datasets).save_to_disk(tmp_path / "answers")

    task = load(f"hf:{tmp_path}/answers")

    found = {part: numbers(split.inputs[0]) for part, split in task.splits.items()}
    assert (task.name, task.labels, task.shapes) == ("answers", ("no", "yes"), ((1, 4, 4),))
    assert sorted(chain.from_iterable(found.values())) == list(range(20))
    for part, split in task.splits.items():
        assert split.targets.tolist() == [number % 2 for number in found[part]]


def test_saved_splits_are_the_splits(
    datasets: Library,
    tmp_path: Path,
    load: Load,
    numbers: Numbers,
    said: io.StringIO,
) -> None:
    """Three known names are used, another one is said to be left alone."""
    starts = {"train": 0, "validation": 40, "test": 80, "extra": 120}
    splits = {name: table(datasets, start=start) for name, start in starts.items()}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "answers")

    task = load(f"hf:{tmp_path}/answers")

    for part, split in task.splits.items():
        assert sorted(numbers(split.inputs[0])) == list(range(starts[part], starts[part] + 20))
    assert "the split 'extra' is not used" in said.getvalue()


def test_a_second_start_decodes_nothing_and_a_change_does(
    datasets: Library,
    tmp_path: Path,
    load: Load,
    said: io.StringIO,
) -> None:
    """The bytes of the images and the labels count, not where they are."""
    table(datasets).save_to_disk(tmp_path / "one" / "answers")
    table(datasets).save_to_disk(tmp_path / "two" / "answers")
    table(datasets, start=1).save_to_disk(tmp_path / "three" / "answers")
    first = load(f"hf:{tmp_path}/one/answers")
    said.truncate(0)
    said.seek(0)

    same = load(f"hf:{tmp_path}/two/answers")
    assert "decoding" not in said.getvalue()
    assert same.digest == first.digest
    assert load(f"hf:{tmp_path}/three/answers").digest != first.digest


def test_samples_marked_minus_one_are_unlabelled(
    datasets: Library,
    tmp_path: Path,
    load: Load,
) -> None:
    """As the hub publishes test sets whose answers are kept back."""
    test = table(datasets, start=40, label=datasets.Value("int64")).map(lambda _: {"answer": -1})
    splits = {"train": table(datasets), "test": test.cast_column("answer", datasets.ClassLabel(names=["no", "yes"]))}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "answers")

    task = load(f"hf:{tmp_path}/answers")

    assert task.test.labels is None
    assert task.train.labels is not None


def test_labels_of_plain_numbers_or_names_need_their_column(
    datasets: Library,
    tmp_path: Path,
    load: Load,
) -> None:
    """Only a class label is found by its type; numbers name themselves, names are sorted."""
    table(datasets, label=datasets.Value("int64")).save_to_disk(tmp_path / "numbers")
    named = table(datasets, label=datasets.Value("int64")).cast_column("answer", datasets.Value("string"))
    named.save_to_disk(tmp_path / "names")

    task = load(f"hf:{tmp_path}/numbers", label_column="answer")
    with pytest.raises(ConfigError, match=r"give data\.labels or data\.classes"):
        load(f"hf:{tmp_path}/numbers")

    assert task.labels == load(f"hf:{tmp_path}/names", label_column="answer").labels == ("0", "1")


def test_unreadable_images_are_named_by_split_and_row(
    datasets: Library,
    tmp_path: Path,
    load: Load,
) -> None:
    """As in a folder: the first is named, all are counted."""
    columns = {"picture": [{"bytes": b"no image", "path": None}], "answer": [0]}
    features = datasets.Features({"picture": datasets.Image(), "answer": datasets.ClassLabel(names=["no", "yes"])})
    bad = datasets.Dataset.from_dict(columns, features=features)
    datasets.concatenate_datasets([bad, table(datasets)]).save_to_disk(tmp_path / "answers")

    with pytest.raises(ConfigError, match=r"answers/train\[0\]: not an image; 1 of 21 images cannot be read"):
        load(f"hf:{tmp_path}/answers")
    assert len(load(f"hf:{tmp_path}/answers", skip_unreadable=True).train) in {16, 17}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_column": "pictur"}, "data.image_column: no column 'pictur'; did you mean 'picture'?"),
        ({"label_column": "x"}, "data.label_column: no column 'x'"),
    ],
)
def test_columns_that_are_not_there_are_refused(
    datasets: Library,
    tmp_path: Path,
    load: Load,
    settings: dict[str, Any],
    message: str,
) -> None:
    """Near names are offered."""
    table(datasets).save_to_disk(tmp_path / "answers")

    with pytest.raises(ConfigError) as error:
        load(f"hf:{tmp_path}/answers", **settings)

    assert message in str(error.value)


def test_data_without_images_is_refused(datasets: Library, tmp_path: Path, load: Load) -> None:
    """Tables of numbers come as NumPy archives."""
    datasets.Dataset.from_dict({"x": [1, 2]}).save_to_disk(tmp_path / "numbers")

    with pytest.raises(ConfigError, match=r"no column of images among \['x'\]; save other data with numpy.savez"):
        load(f"hf:{tmp_path}/numbers")


@pytest.mark.usefixtures("datasets")
def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path, load: Load) -> None:
    """An empty folder, and a damaged one."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "state.json").write_text("{")

    for name in ("empty", "damaged"):
        with pytest.raises(ConfigError) as error:
            load(f"hf:{tmp_path}/{name}")
        assert f"hf:{tmp_path}/{name}: cannot be opened: " in str(error.value)
        assert "\n" not in str(error.value)


def test_without_the_extra_the_way_to_it_is_said(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command to copy."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(ConfigError, match=r"needs Hugging Face datasets; pip install 'edgekd\[datasets\]'"):
        load("hf:anything")
