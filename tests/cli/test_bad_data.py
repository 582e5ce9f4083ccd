"""Data and devices that cannot be used end in one sentence and exit code 2; no bundle is left."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import FAST, Done, edgekd, sets
from patterns import NORMALIZED, patterns, write_folder

NETWORKS = Path(__file__).parents[1] / "support" / "networks"
NETWORK, TWO, SENSES = f"{NETWORKS / 'small.py'}:small", f"{NETWORKS / 'small.py'}:two_senses", NETWORKS / "senses.py"
UNREADABLE = "across/broken.png"

pytestmark = pytest.mark.slow


def compress(folder: Path, *arguments: str) -> Done:
    """Compress for the Jetson Nano in *folder*."""
    return edgekd("compress", "--target", "jetson-nano", "--out", "out", "--store", "store", *arguments, cwd=folder)


def write_npz(folder: Path, **arrays: np.ndarray) -> str:
    """Write *arrays* to ``rows.npz`` in *folder*, and return the source that means it."""
    np.savez(folder / "rows.npz", allow_pickle=False, **arrays)
    return "npz:rows.npz"


def label_out_of_range(folder: Path) -> list[str]:
    """Return data with a label that no class has."""
    images, labels = patterns(60)
    labels[7] = 9
    return ["--data", write_npz(folder, x=images, y=labels), *sets('data.labels=["a", "b", "c"]')]


def negative_label(folder: Path) -> list[str]:
    """Return data with a label below 0."""
    images, labels = patterns(60)
    labels[7] = -1
    return ["--data", write_npz(folder, x=images, y=labels)]


def one_class(folder: Path) -> list[str]:
    """Return data of a single class."""
    images, labels = patterns(60)
    return ["--data", write_npz(folder, x=images, y=np.zeros_like(labels))]


def one_folder(folder: Path) -> list[str]:
    """Return a folder with a single class in it."""
    write_folder(folder / "photos" / "all", count=30, labelled=False)
    return ["--data", "folder:photos"]


def not_a_number(folder: Path) -> list[str]:
    """Return rows with a NaN."""
    images, labels = patterns(60)
    rows = images.astype(np.float32)
    rows[5, 0, 3, 3] = np.nan
    return ["--data", write_npz(folder, x=rows, y=labels)]


def empty_folder(folder: Path) -> list[str]:
    """Return a folder without anything."""
    (folder / "photos").mkdir()
    return ["--data", "folder:photos"]


def empty_class(folder: Path) -> list[str]:
    """Return a folder with a class that has no image."""
    write_folder(folder / "photos", count=30)
    (folder / "photos" / "nothing").mkdir()
    return ["--data", "folder:photos"]


def unreadable(folder: Path) -> list[str]:
    """Return a folder with one file that is called an image and is none."""
    write_folder(folder / "photos", count=60)
    (folder / "photos" / UNREADABLE).write_bytes(b"no image")
    return ["--data", "folder:photos"]


def unlabelled(folder: Path) -> list[str]:
    """Return images that nobody has labelled, with the names that a teacher would give, but no teacher."""
    write_folder(folder / "photos", count=30, labelled=False)
    return ["--data", "folder:photos", *sets('data.labels=["a", "b", "c"]')]


def failing_module(folder: Path) -> list[str]:
    """Return a task of the user's own whose code fails."""
    (folder / "mine.py").write_text("def task():\n    return 1 / 0\n")
    return ["--data", "module:mine.py:task"]


CASES: list[tuple[Callable[[Path], list[str]], list[str]]] = [
    (label_out_of_range, ["rows.npz", "9"]),
    (negative_label, ["rows.npz", "y[7] is -1"]),
    (one_class, ["rows.npz", "class"]),
    (one_folder, ["photos", "class"]),
    (not_a_number, ["rows.npz", "x[5]", "NaN"]),
    (empty_folder, ["photos", "holds no image"]),
    (empty_class, ["nothing", "holds no image"]),
    (unreadable, [UNREADABLE, "1 ", "--skip-unreadable"]),
    (unlabelled, ["no labels", "--teacher"]),
    (failing_module, ["mine.py, line 2", "ZeroDivisionError"]),
    (lambda _: ["--data", "folder:absent"], ["absent", "No such file"]),
    (lambda _: ["--data", "npz:absent.npz"], ["absent.npz", "No such file"]),
    (lambda _: ["--data", "module:absent.py:task"], ["absent.py"]),
    (lambda _: ["--device", "cuda"], ["--device cuda", "--device cpu"]),
    (lambda _: ["--device", "tpu"], ["--device tpu", "cpu, cuda, mps"]),
    (lambda _: ["--data", f"module:{SENSES}:task", "--model", TWO, *sets("teach.cutmix=1")], ["teach", "cutmix"]),
]


@pytest.mark.parametrize(("make", "words"), CASES)
def test_what_cannot_be_used_is_named_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], list[str]], words: list[str]
) -> None:
    """The last line says where and what; nothing is trained and no bundle is left."""
    done = compress(tmp_path, *make(tmp_path))
    assert done.code == 2, done.said
    assert "Traceback" not in done.said
    assert "[1/" not in done.said
    *_, message = done.said.splitlines()
    assert message.startswith("edgekd: ")
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()


def test_unreadable_images_are_left_out_on_demand(tmp_path: Path) -> None:
    """With ``--skip-unreadable`` the run goes on, and says how many images it left out."""
    data = unreadable(tmp_path)
    quick = sets(*FAST, *NORMALIZED, "teach.epochs=12", "teach.lr=0.05", "prune.ratio=0")
    done = compress(tmp_path, *data, "--skip-unreadable", "--model", NETWORK, *quick)
    assert done.code == 0, done.said
    assert UNREADABLE in done.said
    assert "1 " in next(line for line in done.said.splitlines() if UNREADABLE in line)


def test_a_loss_that_leaves_the_numbers_stops_with_step_and_learning_rate(tmp_path: Path) -> None:
    """A far too high learning rate: exit code 2, the step, the rate and the setting to change; no bundle."""
    write_folder(tmp_path / "photos")
    data = ["--data", "folder:photos", "--model", NETWORK]
    done = compress(tmp_path, *data, *sets(*FAST, "teach.epochs=4", "teach.lr=1e30", "teach.momentum=0.99"))
    assert done.code == 2, done.said
    assert "Traceback" not in done.said
    *_, message = done.said.splitlines()
    assert all(word in message for word in ("teach: the loss became", "at step", "learning rate", "teach.lr")), message
    assert not (tmp_path / "out").exists()


def test_a_tap_whose_module_never_runs_is_refused_before_training(tmp_path: Path) -> None:
    """A module that exists and is skipped in the forward pass gives nothing to compare."""
    (tmp_path / "idle.py").write_text(
        "from torch import nn\n\n\n"
        "class Idle(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 3))\n"
        "        self.unused = nn.ModuleDict({'inner': nn.Linear(3, 3)})\n\n"
        "    def forward(self, pixels):\n"
        "        return self[1](self[0](pixels))\n\n\n"
        "def idle():\n    return Idle()\n"
    )
    write_folder(tmp_path / "photos", count=60)
    networks = ["--teacher", "idle.py:idle", "--model", "idle.py:idle"]
    taps = sets(
        "distill.feature_weight=1",
        'distill.student_features=["unused.inner"]',
        'distill.teacher_features=["1"]',
    )
    done = compress(tmp_path, "--data", "folder:photos", *networks, *taps)
    assert done.code == 2, done.said
    assert "[1/" not in done.said
    assert "'unused.inner': this module did not run" in done.said.splitlines()[-1]
