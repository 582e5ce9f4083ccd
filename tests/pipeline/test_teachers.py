"""Any teacher: an ONNX file, several of them, for images that nobody labelled; and those that are refused."""

import json
import re
from pathlib import Path

import pytest
from commands import FAST, Done, edgekd, sets
from patterns import NAMES, NORMALIZED, write_folder, write_teacher

from edgekd.networks.network import Network, build, save_network

pytestmark = pytest.mark.slow

NETWORK = Path(__file__).parents[1] / "support" / "networks" / "small.py"
STUDENT = ("--model", f"{NETWORK}:small", *sets(*FAST, *NORMALIZED))


def compress(target: str, folder: Path, *arguments: str | Path) -> Done:
    """Compress in *folder*, for *target*."""
    return edgekd("compress", "--target", target, *arguments, cwd=folder)


def report_of(folder: Path, target: str) -> dict[str, list[dict[str, dict[str, float]]]]:
    """Return the report of a run in *folder*."""
    content: dict[str, list[dict[str, dict[str, float]]]] = json.loads(
        (folder / "edgekd-out" / target / "report.json").read_text()
    )
    return content


def logits_of(done: Done, stage: str) -> tuple[int, int]:
    """Return how many logits a stage said that it computed and reused."""
    found = re.search(rf"^{stage}: teacher's logits: (\d+) computed, (\d+) reused$", done.said, re.MULTILINE)
    assert found is not None, done.said
    return int(found[1]), int(found[2])


def test_an_onnx_file_teaches_and_its_logits_are_computed_once(
    tmp_path: Path, photos: Path, onnx_teacher: Path
) -> None:
    """A file at an opset that no target reads teaches; other targets and batch sizes reuse what it said."""
    run = ("--data", f"folder:{photos}", "--teacher", str(onnx_teacher), *STUDENT)
    first = compress("jetson-nano", tmp_path, *run)
    assert first.code == 0, first.said
    assert "teach: the teacher is right on 100.0%" in first.said
    assert logits_of(first, "distill") == (5 * 144, 0)
    assert report_of(tmp_path, "jetson-nano")["stages"][1]["measured"]["accuracy"] > 0.8
    second = compress("raspberry-pi-4", tmp_path, *run)
    assert second.code == 0, second.said
    assert "distill: found in the store" in second.said
    assert "prune: found in the store" in second.said
    assert logits_of(second, "quantize")[0] == 0
    smaller = compress("jetson-nano", tmp_path, *run, *sets("distill.batch_size=24", "prune.ratio=0"))
    assert smaller.code == 0, smaller.said
    assert logits_of(smaller, "distill") == (0, 5 * 144)


def test_an_onnx_file_for_one_image_at_a_time_teaches_batches(tmp_path: Path, photos: Path) -> None:
    """A batch that is fixed to 1, as in files for a device, is no obstacle; built-in names take the data's classes."""
    teacher = write_teacher(tmp_path / "single.onnx", batch=1)
    run = ("--data", f"folder:{photos}", "--teacher", str(teacher), "--model", "dscnn", "--model-arg", "width=8")
    done = compress("jetson-nano", tmp_path, *run, *sets(*FAST, *NORMALIZED, "prune.ratio=0"))
    assert done.code == 0, done.said
    assert logits_of(done, "distill") == (5 * 144, 0)


def test_two_teachers_are_averaged(tmp_path: Path, photos: Path, onnx_teacher: Path) -> None:
    """An ONNX file and a saved network teach together; the mean knows what one of them knows."""
    saved = tmp_path / "saved"
    saved.mkdir()
    network = Network(factory=f"{NETWORK}:small", arguments={"width": 8})
    save_network(saved, network, build(network, seed=1))
    run = ("--data", f"folder:{photos}", "--teacher", str(onnx_teacher), "--teacher", str(saved), *STUDENT)
    done = compress("jetson-nano", tmp_path, *run, *sets("prune.ratio=0"))
    assert done.code == 0, done.said
    assert "teach: the teacher is right on 100.0%" in done.said
    record = json.loads((tmp_path / "edgekd-out" / "jetson-nano" / "report.json").read_text())["stage_records"]["teach"]
    assert record["teachers"] == [str(onnx_teacher), str(saved)]


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ({"classes": 4}, ["teacher.onnx", "(4,)", "(3,)"]),
        ({"sign": -1.0}, ["chance", "data.labels"]),
        ({"batch": 32}, ["teacher.onnx", "32 samples"]),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_before_any_training(
    tmp_path: Path, photos: Path, teacher: dict[str, int], words: list[str]
) -> None:
    """Another number of classes, knowledge worse than chance, a fixed batch: exit code 2 and one sentence."""
    path = write_teacher(tmp_path / "teacher.onnx", **teacher)
    done = compress("jetson-nano", tmp_path, "--data", f"folder:{photos}", "--teacher", path, *STUDENT)
    assert done.code == 2, done.said
    assert "Traceback" not in done.said
    assert "distill" not in done.said
    assert all(word in done.said.splitlines()[-1] for word in words), done.said
    assert not (tmp_path / "edgekd-out" / "jetson-nano").exists()


def test_images_without_labels_are_taught_by_a_teacher_alone(tmp_path: Path, onnx_teacher: Path) -> None:
    """The teacher's answers take the labels' place, and the report calls the figures agreement."""
    loose = write_folder(tmp_path / "loose", labelled=False)
    names = f"data.labels={json.dumps(NAMES)}"
    data = ("--data", f"folder:{loose}", *STUDENT, *sets(names, "prune.ratio=0"))
    done = compress("jetson-nano", tmp_path, *data, "--teacher", onnx_teacher)
    assert done.code == 0, done.said
    assert "data: no labels in train, validation, test" in done.said
    bundle = tmp_path / "edgekd-out" / "jetson-nano"
    assert "agreement with the teacher" in (bundle / "report.md").read_text()
    assert json.loads((bundle / "report.json").read_text())["labelled_by"] == str(onnx_teacher)
    assert edgekd("verify", bundle).code == 0
    alone = compress("jetson-nano", tmp_path, *data, "--out", "alone")
    assert alone.code == 2
    assert "--teacher" in alone.said.splitlines()[-1]
    assert not (tmp_path / "alone").exists()
