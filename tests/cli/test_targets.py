"""`edgekd targets`: what people see of the devices, and the way to one of their own."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgekd.targets import load_target, target_names

PROBE = """
import sys
from edgekd.cli.main import main
sys.argv = ["edgekd", *sys.argv[1:]]
try:
    main()
finally:
    heavy = sorted({"torch", "onnx", "onnxruntime", "scipy", "numpy"} & sys.modules.keys())
    print("loaded:", *heavy, file=sys.stderr)
"""


def edgekd(*arguments: str, cwd: Path, loads: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Run the command in a process of its own; return how it ended, what it wrote and said.

    Of the heavy modules it loads no others than *loads*.
    """
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    said, _, loaded = done.stderr.rpartition("loaded:")
    assert set(loaded.split()) <= set(loads), done.stderr
    return done.returncode, done.stdout, said


def targets(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Run `edgekd targets`."""
    return edgekd("targets", *arguments, cwd=cwd)


def test_the_list_is_a_table_with_a_verdict_for_each_precision(tmp_path: Path) -> None:
    """Every column starts where its heading does, in every line, and each device has a line."""
    code, out, _ = targets("list", cwd=tmp_path)
    heading, *lines = out.splitlines()
    assert code == 0
    assert heading.split() == ["name", "ships", "fp32", "fp16", "int8", "title"]
    assert [line.split()[0] for line in lines] == list(target_names())
    starts = [heading.index(column) for column in heading.split()]
    for line in lines:
        assert all(line[start - 1] == " " != line[start] for start in starts[1:])
    nano = next(line for line in lines if line.startswith("jetson-nano "))
    assert nano.split()[1:5] == ["fp16", "works", "fast", "refused"]


def test_the_list_as_json_says_the_same(tmp_path: Path) -> None:
    """One object for each device, by the same columns."""
    code, out, _ = targets("list", "--json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert tuple(rows) == target_names()
    assert rows["jetson-tx2"] == {
        "name": "jetson-tx2",
        "ships": "fp16",
        "fp32": "works",
        "fp16": "fast",
        "int8": "refused",
        "title": "NVIDIA Jetson TX2 8 GB, JetPack 4.6.6",
    }


def test_a_board_of_ones_own_works_from_its_path(tmp_path: Path) -> None:
    """Started from a known one, changed, checked, shown: text as it was written, JSON with all facts."""
    assert targets("new", "my-board", "--from", "rk3588", cwd=tmp_path)[0] == 0
    file = tmp_path / "my-board.toml"
    file.write_text(file.read_text().replace("threads = 4", "threads = 2"))
    assert targets("check", "my-board.toml", cwd=tmp_path)[:2] == (
        0,
        f"my-board.toml: good; my-board, started from {load_target('rk3588').title} ships int8.\n",
    )
    assert targets("show", "my-board.toml", cwd=tmp_path)[1] == file.read_text()
    shown = json.loads(targets("show", "my-board.toml", "--json", cwd=tmp_path)[1])
    assert shown["benchmark"]["threads"] == 2
    assert shown["device"]["clusters"]["little"]["core"] == "Cortex-A55"


def test_a_board_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    """Both facts are named, and what to do."""
    targets("new", "my-board", "--from", "rk3588", cwd=tmp_path)
    file = tmp_path / "my-board.toml"
    file.write_text(file.read_text().replace("threads = 4", "threads = 8"))
    code, _, said = targets("check", "my-board.toml", cwd=tmp_path)
    assert code == 2
    assert said == (
        "edgekd: my-board.toml: benchmark.threads = 8 contradicts device.clusters.big.cores = 4: threads that span "
        "clusters wait for the slowest core; keep them on one.\n"
    )


def test_the_schema_is_printed_for_editors(tmp_path: Path) -> None:
    """It is JSON and says which draft it is."""
    code, out, _ = targets("schema", cwd=tmp_path)
    assert code == 0
    assert json.loads(out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.slow
@pytest.mark.parametrize("name", target_names())
def test_every_device_has_a_plan(name: str, tmp_path: Path) -> None:
    """What would run there is a recipe, made without training anything, and without torch: numpy reads the prices."""
    code, out, said = edgekd("plan", "--target", name, cwd=tmp_path, loads=("numpy",))
    assert code == 0, said
    plan = tomllib.loads(out)
    assert plan["target"] == name
    assert plan["export"]["precision"] == load_target(name).precision.default
    assert list(tmp_path.iterdir()) == []
