"""The tutorial does what it says: its files and its command, as they are printed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from commands import edgekd, sets

TUTORIAL = Path(__file__).parents[2] / "edgekd" / "docs" / "your-own-task.md"
QUICK = (
    *(f"{stage}.epochs=2" for stage in ("teach", "distill", "prune", "factorize", "quantize")),
    "teach.batch_size=32",
    "distill.batch_size=32",
    "measure.runs=20",
    "measure.warmup_runs=2",
    "budgets.drop_points=100",
)


def blocks(language: str) -> list[str]:
    """Return the tutorial's code blocks in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_printed(tmp_path: Path) -> None:
    """Each Python block is a file, named in its first line; the shell block, with fewer epochs, leaves a bundle."""
    for block in blocks("python"):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    (command,) = blocks("sh")
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    done = edgekd(*arguments, *sets(*QUICK), cwd=tmp_path)
    assert program == "edgekd"
    assert done.code == 0, done.said
    bundle = tmp_path / "edgekd-out" / "raspberry-pi-4"
    manifest, report = (json.loads((bundle / f"{name}.json").read_text()) for name in ("manifest", "report"))
    assert manifest["labels"] == ["rest", "shake", "turn", "lift"]
    assert manifest["inputs"] == [{"name": "acceleration", "dtype": "float32", "shape": [1, 3, 64]}]
    assert manifest["preprocessing"]["acceleration"]["scale"] == 0.001
    assert manifest["preprocessing"]["acceleration"]["layout"] == "NCL"
    arguments_of = {row["stage"]: row["settings"].get("arguments") for row in manifest["lineage"]}
    assert (arguments_of["teach"], arguments_of["distill"]) == ({"width": 64}, {"width": 16})
    assert {row["stage"] for row in manifest["lineage"]} >= {"teach", "distill", "prune", "factorize", "quantize"}
    assert report["stages"][-1]["measured"]["accuracy"] > 0.6
    assert edgekd("verify", bundle).code == 0
