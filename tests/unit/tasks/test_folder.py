"""Folders of images as tasks, and what is said of folders that are none."""

import io
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Rows, Task

Load = Callable[..., Task]
Draw = Callable[..., Path]
Numbers = Callable[[Rows], list[int]]
Stranger = Callable[[], AbstractContextManager[None]]


def cut(path: Path) -> None:
    """Take away the second half of the file at *path*."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(root: Path) -> None:
    """Leave an empty folder."""
    shutil.rmtree(root)
    root.mkdir()


def text_alone(root: Path) -> None:
    """Leave a folder with a text in it."""
    emptied(root)
    (root / "readme.txt").write_text("")


def only_cats(root: Path) -> None:
    """Leave one class."""
    shutil.rmtree(root / "dog")


def a_file_instead(root: Path) -> None:
    """Put a file where the folder was."""
    shutil.rmtree(root)
    root.write_text("")


def only_a_test_split(root: Path) -> None:
    """Leave a folder with nothing but the split ``test`` in it."""
    shutil.rmtree(root / "cat")
    (root / "dog").rename(root / "test")


def test_a_folder_for_each_class_is_split_by_class(pets: Path, load: Load, numbers: Numbers) -> None:
    """Ten cats (0 to 9) and ten dogs (100 to 109): one of each for validation and test, all with their label."""
    task = load(f"folder:{pets}")

    found = {part: numbers(split.inputs[0]) for part, split in task.splits.items()}
    assert task.labels == ("cat", "dog")
    assert task.shapes == ((3, 4, 4),)
    assert {part: len(split) for part, split in task.splits.items()} == {"train": 16, "validation": 2, "test": 2}
    assert sorted(chain.from_iterable(found.values())) == [*range(10), *range(100, 110)]
    for part, split in task.splits.items():
        assert split.targets.tolist() == [int(number >= 100) for number in found[part]]


def test_the_first_rows_of_a_part_are_of_all_classes(pets: Path, load: Load) -> None:
    """Whoever takes the first few samples gets a fair sample of them, though folders are sorted by class."""
    assert set(load(f"folder:{pets}").train.targets[:8].tolist()) == {0, 1}


def test_images_are_normalized_by_the_training_rows_own_numbers(pets: Path, load: Load) -> None:
    """Over all training samples each channel has mean 0 and deviation 1, to the four decimals that are kept."""
    task = load(f"folder:{pets}")

    (images,) = task.read(task.train, slice(None))

    assert np.abs(images.mean(axis=(0, 2, 3))).max() < 1e-3
    assert np.abs(images.std(axis=(0, 2, 3)) - 1).max() < 1e-3
    assert task.inputs[0].preprocessing.scale == 1 / 255
    assert task.inputs[0].preprocessing.channel_order == "rgb"


def test_asked_for_numbers_and_names_are_used(pets: Path, load: Load) -> None:
    """A published network's own mean and deviation, and its names for input and output."""
    task = load(f"folder:{pets}", mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0), scale=0.5, input_name="x", output_name="y")

    recipe = task.inputs[0].preprocessing
    assert (recipe.mean, recipe.std, recipe.scale) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 0.5)
    assert (task.inputs[0].name, task.outputs) == ("x", ("y",))


def test_folders_of_splits_are_the_splits(tmp_path: Path, draw: Draw, load: Load, numbers: Numbers) -> None:
    """``train``, ``valid`` and ``test`` at the top, with classes in each; images may lie deeper."""
    for part, start in (("train", 0), ("valid", 10), ("test", 20)):
        draw(tmp_path / part / "a" / "one.png", start)
        draw(tmp_path / part / "b" / "deep" / "er" / "two.png", start + 1)

    task = load(f"folder:{tmp_path}")

    found = {part: sorted(numbers(split.inputs[0])) for part, split in task.splits.items()}
    assert found == {"train": [0, 1], "validation": [10, 11], "test": [20, 21]}


def test_a_split_that_is_missing_is_drawn_from_train(pets: Path, draw: Draw, load: Load, numbers: Numbers) -> None:
    """With train and test alone, validation is a part of train; test stays whole."""
    root = pets.parent / "data"
    root.mkdir()
    pets.rename(root / "train")
    draw(root / "test" / "cat" / "0.png", 50)
    draw(root / "test" / "dog" / "0.png", 150)

    task = load(f"folder:{root}")

    assert sorted(numbers(task.test.inputs[0])) == [50, 150]
    assert (len(task.train), len(task.validation)) == (18, 2)


def test_images_without_folders_are_unlabelled(tmp_path: Path, draw: Draw, load: Load) -> None:
    """They need the names or the number of classes, and a teacher later."""
    for number in range(10):
        draw(tmp_path / f"{number}.png", number)

    task = load(f"folder:{tmp_path}", classes=3)

    assert [split.labels for split in task.splits.values()] == [None, None, None]
    assert task.labels == ("0", "1", "2")
    with pytest.raises(ConfigError, match=r"give data\.labels or data\.classes"):
        load(f"folder:{tmp_path}")


def test_gray_images_are_stored_gray_unless_one_has_colour(pets: Path, draw: Draw, load: Load) -> None:
    """One channel where no image has colour; three as soon as one has, or where that is asked for."""
    for path in pets.rglob("*.png"):
        Image.open(path).convert("L").save(path)

    assert load(f"folder:{pets}").shapes == ((1, 4, 4),)
    assert load(f"folder:{pets}", channel_order="rgb").shapes == ((3, 4, 4),)
    draw(pets / "cat" / "colour.png", 3)
    assert load(f"folder:{pets}").shapes == ((3, 4, 4),)
    assert load(f"folder:{pets}", channel_order="gray").shapes == ((1, 4, 4),)


def test_different_sizes_need_a_size(pets: Path, draw: Draw, load: Load) -> None:
    """The error names two files that differ; with a size all images get it."""
    odd = draw(pets / "dog" / "odd.png", 1, size=(4, 5))

    with pytest.raises(ConfigError) as error:
        load(f"folder:{pets}")

    assert str(error.value) == (
        f"pets: images of different sizes: {pets}/cat/0.png is 4x4, {odd} is 4x5 (height x width); give data.size."
    )
    assert load(f"folder:{pets}", size=(6, 8)).shapes == ((3, 6, 8),)


def test_unreadable_images_are_named_and_counted(pets: Path, load: Load) -> None:
    """A cut file and a text file: the first is named, the two are counted, and the way on is said."""
    cut(pets / "cat" / "3.png")
    (pets / "dog" / "5.png").write_text("no image")

    with pytest.raises(ConfigError) as error:
        load(f"folder:{pets}")

    assert str(error.value).startswith(f"{pets}/cat/3.png: ")
    assert "; 2 of 20 images cannot be read: repair or remove them" in str(error.value)
    assert "--skip-unreadable" in str(error.value)


def test_unreadable_images_can_be_left_out(pets: Path, load: Load, numbers: Numbers, said: io.StringIO) -> None:
    """The others stay in the parts they had; the number is said at every start, and is part of the task."""
    before = load(f"folder:{pets}")
    cut(pets / "cat" / "3.png")
    (pets / "dog" / "5.png").write_text("no image")

    task = load(f"folder:{pets}", skip_unreadable=True)
    said.truncate(0)
    load(f"folder:{pets}", skip_unreadable=True)

    for part, split in task.splits.items():
        kept = [number for number in numbers(before.splits[part].inputs[0]) if number not in {3, 105}]
        assert numbers(split.inputs[0]) == kept
        assert split.targets.tolist() == [int(number >= 100) for number in kept]
    assert "pets: 2 of 20 images cannot be read and were left out (the first: cat/3.png)" in said.getvalue()


def test_a_class_of_unreadable_images_is_refused(pets: Path, load: Load) -> None:
    """Leaving all of them out would leave a class that nothing is known of."""
    for path in (pets / "dog").iterdir():
        path.write_text("no image")

    with pytest.raises(ConfigError, match="can be read"):
        load(f"folder:{pets}", skip_unreadable=True)


def test_no_readable_image_at_all_is_refused(pets: Path, load: Load) -> None:
    """Nothing is left to go on with."""
    for path in pets.rglob("*.png"):
        path.write_text("no image")

    with pytest.raises(ConfigError, match="not an image; none of 20 images can be read"):
        load(f"folder:{pets}", skip_unreadable=True)


def test_files_that_are_no_images_by_name_are_said(pets: Path, load: Load, said: io.StringIO) -> None:
    """A list beside the images is not decoded, and not passed over in silence; hidden files are."""
    (pets / "cat" / "notes.txt").write_text("")
    (pets / "cat" / ".thumbs.png").write_text("")

    task = load(f"folder:{pets}")

    assert sum(len(split) for split in task.splits.values()) == 20
    assert f"1 files are no images by their names (the first: {pets}/cat/notes.txt)" in said.getvalue()


def test_a_moved_folder_is_the_same_task(pets: Path, load: Load) -> None:
    """The digest, and with it every stored result, does not depend on where the images are."""
    before = load(f"folder:{pets}").digest
    (pets.parent / "elsewhere").mkdir()
    shutil.move(pets, pets.parent / "elsewhere" / "pets")

    assert load(f"folder:{pets.parent}/elsewhere/pets").digest == before


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (shutil.rmtree, "pets: No such file or directory; expected a folder that can be read."),
        (a_file_instead, "pets: is a file; expected a folder."),
        (emptied, "holds no image and no folder of images"),
        (text_alone, "holds no image and no folder of images"),
        (lambda root: (root / "bird").mkdir(), "bird: holds no image; every folder is a class"),
        (only_cats, "one class only ('cat')"),
        (lambda root: (root / "dog").rename(root / "test"), "has 'test' beside 'cat'; expected"),
        (
            only_a_test_split,
            "has 'test' without 'train';",
        ),
        (lambda root: (root / "dog").rename(root / "train"), "has 'train' beside 'cat'; expected"),
        (lambda root: (root / "dog" / "0.png").rename(root / "0.png"), "holds images (0.png) beside the folder 'cat'"),
        (lambda root: (root / "dog").chmod(0), "dog: Permission denied; expected a folder that can be read."),
        (lambda root: (root / "dog" / "1.png").chmod(0), "1.png: Permission denied; expected a file that can be read."),
    ],
)
def test_a_folder_that_is_no_task_is_one_sentence(
    pets: Path, load: Load, stranger: Stranger, arrange: Callable[[Path], object], message: str
) -> None:
    """Missing, a file, empty, without images, of one class, half of a split, mixed, or forbidden."""
    arrange(pets)

    with stranger(), pytest.raises(ConfigError) as error:
        load("folder:pets")

    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_two_names_for_one_split_are_refused(tmp_path: Path, draw: Draw, load: Load) -> None:
    """Nobody guesses which of them is meant."""
    for part in ("train", "val", "valid"):
        draw(tmp_path / part / "a" / "0.png", 0)

    with pytest.raises(ConfigError, match="'val' and 'valid' are both the validation split"):
        load(f"folder:{tmp_path}")


def test_a_class_that_train_has_not_is_refused(tmp_path: Path, draw: Draw, load: Load) -> None:
    """Nothing could ever answer with it."""
    for part, label in (("train", "a"), ("train", "b"), ("test", "c")):
        draw(tmp_path / part / label / "0.png", 0)

    with pytest.raises(ConfigError, match="test has the class 'c'"):
        load(f"folder:{tmp_path}")


def test_equal_images_everywhere_are_refused(tmp_path: Path, draw: Draw, load: Load) -> None:
    """Nothing can be divided by a deviation of zero, unless a deviation is given."""
    for label in ("a", "b"):
        for number in range(10):
            draw(tmp_path / label / f"{number}.png", 7)

    with pytest.raises(ConfigError, match="every training sample has the same number in channel 0"):
        load(f"folder:{tmp_path}")
    assert load(f"folder:{tmp_path}", std=(1.0, 1.0, 1.0)).shapes == ((3, 4, 4),)


def test_mean_and_std_of_another_number_of_channels_are_refused(pets: Path, load: Load) -> None:
    """Numbers for gray images do not fit colour ones."""
    with pytest.raises(ConfigError, match=r"data\.mean has 1 numbers, the data has 3 channels"):
        load(f"folder:{pets}", mean=(0.5,), std=(0.5,))
