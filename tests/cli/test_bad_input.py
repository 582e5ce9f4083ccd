"""Bad input ends in one clear sentence and exit code 2, without a traceback and before torch is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import edgekd as warm_edgekd
from commands import sets, small_disk

PROBE = """
import sys
from edgekd.cli.main import main
sys.argv = ["edgekd", *sys.argv[1:]]
try:
    main()
finally:
    heavy = sorted({"torch", "onnx", "onnxruntime", "scipy"} & sys.modules.keys())
    print("loaded:", heavy, file=sys.stderr)
"""

NANO = ["compress", "--target", "jetson-nano"]
INT8_ON_NANO = [*NANO, "--set", "export.precision=int8"]
NETWORKS = Path(__file__).parents[1] / "support" / "networks"


def edgekd(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that tells which heavy libraries it loaded."""
    command = [sys.executable, "-c", PROBE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compress", "--target", "jetson-nao"], ["jetson-nao", "did you mean 'jetson-nano'"]),
        (["compress"], ["no target given"]),
        (["compress", "--tarket", "x"], ["--tarket", "--target"]),
        (["compres"], ["compress"]),
        (["compress", "--target", "jetson-nano", "--seed", "one"], ["--seed"]),
        (
            ["compress", "--target", "jetson-nano", "--set", "prune.ration=0.4"],
            ["prune", "did you mean 'ratio'"],
        ),
        (["compress", "--target", "jetson-nano", "--set", "prun.ratio=0.4"], ["did you mean 'prune'"]),
        (
            ["compress", "--target", "jetson-nano", "--set", "prune.ratio=1.5"],
            ["ratio", "1.5", "less than 1"],
        ),
        (["compress", "--target", "jetson-nano", "--set", "prune.ratio"], ["stage.field=value"]),
        (["compress", "--target", "jetson-nano", "--set", "teach.momentum=0"], ["nesterov"]),
        (INT8_ON_NANO, ["jetson-nano", "5.3", 'precision = "fp16"']),
        (["compress", "--target", "jetson-nano", "--set", "export.opset=17"], ["opset", "17", "at most 13"]),
        (["compress", "--target", "jetson-nano", "--recipe", "absent.toml"], ["absent.toml", "no such file"]),
        (["compress", "--target", "absent.toml"], ["absent.toml"]),
        (["plan", "--target", "jetson-nano", "--set", "teach.schedule=linear"], ["schedule", "linear"]),
        ([*NANO, "--data", "folders:here"], ["data", "'folders'", "did you mean 'folder:DIR'"]),
        ([*NANO, "--data", "photos/"], ["did you mean 'folder:photos/'"]),
        ([*NANO, "--data", "folder:"], ["'folder:' given", "folder:DIR"]),
        ([*NANO, "--data", "npz:x.npz", "--skip-unreadable"], ["skip_unreadable", "means nothing"]),
        ([*NANO, "--set", "data.sise=[8, 8]"], ["did you mean 'size'"]),
        ([*NANO, "--data", "folder:x", "--set", "data.size=8"], ["data: size: 8 given"]),
        ([*NANO, "--data", "folder:x", "--set", "data.validation=0.6", "--set", "data.test=0.5"], ["below 1"]),
        ([*NANO, "--data", "folder:x", "--set", "data.std=[0]"], ["data: std", "0 given"]),
        ([*NANO, "--set", "distill.alpha=1.1"], ["distill: alpha: 1.1", "at most 1"]),
        ([*NANO, "--set", "distill.temperature=0"], ["distill: temperature: 0", "more than 0"]),
        ([*NANO, "--set", "prune.kl_weight=-1"], ["prune: kl_weight: -1", "at least 0"]),
        ([*NANO, "--set", "distill.attention_weight=1"], ["student_features", "teacher_features"]),
        ([*NANO, "--set", 'distill.student_maps=["a"]'], ["in pairs"]),
        ([*NANO, "--model-arg", "width=8"], ["--model-arg", "--model"]),
        ([*NANO, "--weights", "w.pt"], ["--weights", "--model"]),
        ([*NANO, "--model", "resnet8", "--model-arg", "8"], ["name=value"]),
        ([*NANO, "--model", "resnet9"], ["resnet9", "did you mean"]),
        ([*NANO, "--model", "absent.py:net"], ["absent.py", "no such file"]),
        ([*NANO, "--model", "absent_package:net"], ["no module 'absent_package'"]),
        ([*NANO, "--model", "resnet8", "--weights", "absent.pt"], ["absent.pt", "no such file"]),
        ([*NANO, "--teacher", "absent.onnx"], ["absent.onnx", "no such file"]),
        ([*NANO, "--teacher", "t.onnx", "--teacher-arg", "width=8"], ["--teacher-arg", "name"]),
        ([*NANO, "--teacher", "t.onnx", "--teacher", "resnet8"], ["--teacher resnet8", "network.json"]),
        (["targets", "show", "raspberry-pi-44"], ["raspberry-pi-4"]),
        (["verify", "absent"], ["absent", "manifest.json"]),
        (["report", "absent"], ["absent", "report.md"]),
    ],
)
def test_a_mistake_is_named_in_one_sentence(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    """The message is one line that holds what came and what to do; nothing is written."""
    done = edgekd(*arguments, cwd=tmp_path)
    message, loaded = done.stderr.splitlines()
    assert done.returncode == 2
    assert message.startswith("edgekd: ")
    assert all(word in message for word in words), message
    if arguments[0] != "verify":
        assert loaded == "loaded: []"
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_recipe_names_its_line(tmp_path: Path) -> None:
    """A recipe that is not TOML is refused with the place of the mistake."""
    (tmp_path / "recipe.toml").write_text("[prune]\nratio = \n")
    done = edgekd("compress", "--target", "jetson-nano", "--recipe", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "recipe.toml" in done.stderr
    assert "line 2" in done.stderr


def test_a_target_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    """INT8 asked of a GPU that has none is found in the facts, with both fields named."""
    nano = edgekd("targets", "show", "jetson-nano").stdout
    assert 'verdict = "refused"' in nano
    (tmp_path / "mine.toml").write_text(nano.replace('verdict = "refused"', 'verdict = "fast"'))
    done = edgekd("compress", "--target", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine.toml" in done.stderr
    assert "precision.int8" in done.stderr
    assert "compute_capability" in done.stderr


def test_an_output_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something else is never replaced: refused before any work."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    done = edgekd("compress", "--target", "jetson-nano", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "not part of a bundle" in done.stderr
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_an_output_that_is_a_file_or_unwritable_is_refused(tmp_path: Path) -> None:
    """A file in the way, and a place where no folder can be made, end before any work."""
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/edgekd/out")):
        done = edgekd("compress", "--target", "jetson-nano", "--out", str(out))
        assert done.returncode == 2, out
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["compress", "--help"],
        ["targets", "list"],
        ["plan", "--target", "raspberry-pi-4"],
        ["plan", "--target", "jetson-nano", "--model", f"{NETWORKS / 'small.py'}:small", "--data", "folder:photos"],
    ],
)
def test_light_commands_do_not_load_torch(arguments: list[str]) -> None:
    """Help, version, targets and plans, also for a network of one's own, come without the heavy libraries."""
    done = edgekd(*arguments)
    assert done.returncode == 0
    assert done.stderr == "loaded: []\n"


def test_importing_edgekd_does_not_load_torch() -> None:
    """``import edgekd`` is free."""
    code = "import sys, edgekd; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_a_plan_fed_back_as_a_recipe_is_the_same_plan(tmp_path: Path) -> None:
    """What `edgekd plan` prints is a recipe that resolves to itself."""
    first = edgekd("plan", "--target", "raspberry-pi-4", "--set", "prune.ratio=0.4", "--seed", "7")
    (tmp_path / "plan.toml").write_text(first.stdout)
    second = edgekd("plan", "--recipe", str(tmp_path / "plan.toml"))
    assert first.returncode == 0
    assert second.stdout == first.stdout


def test_a_recipe_made_with_other_code_is_refused(tmp_path: Path) -> None:
    """A printed plan holds the digest of the user's file; after a change it says what to remove."""
    (tmp_path / "net.py").write_text("first = 1\n")
    printed = edgekd("plan", "--target", "jetson-nano", "--model", "net.py:net", cwd=tmp_path)
    (tmp_path / "plan.toml").write_text(printed.stdout)
    (tmp_path / "net.py").write_text("first = 2\n")
    done = edgekd("compress", "--recipe", "plan.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "plan.toml: teach.factory: net.py:net: not the code" in done.stderr
    assert "remove factory_sha256" in done.stderr


@pytest.mark.slow
def test_a_full_disk_under_the_store_ends_in_one_sentence(tmp_path: Path) -> None:
    """A store on a disk that fills up ends with exit code 2 and the folder's name, not with a traceback."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "1m"):
        done = warm_edgekd(*NANO, "--store", disk / "store", "--out", tmp_path / "out", *sets("teach.epochs=1"))
    assert done.code == 2, done.said
    assert str(disk) in done.said
    assert "Traceback" not in done.said
    assert not (tmp_path / "out").exists()


HUNGRY = """
import numpy, torch
from torch import nn

class Hungry(nn.Module):
    def __init__(self, numbers):
        super().__init__()
        self.layer = nn.Linear(784, 10)
        self.numbers = numbers
    def forward(self, images):
        if self.training:
            (numpy if self.numbers else torch).empty(1 << 55)
        return self.layer(images.flatten(1))
"""


@pytest.mark.parametrize("numbers", ["true", "false"])
def test_too_little_memory_ends_in_one_sentence(tmp_path: Path, numbers: str) -> None:
    """Whether torch asks for more than there is, or numpy: exit code 2 and what to lower, no traceback."""
    (tmp_path / "net.py").write_text(HUNGRY)
    done = warm_edgekd(*NANO, "--model", "net.py:Hungry", "--model-arg", f"numbers={numbers}", cwd=tmp_path)

    assert done.code == 2, done.said
    assert "edgekd: not enough memory; lower batch_size" in done.said
    assert "Traceback" not in done.said
