"""A network with two inputs and two outputs, on a task of the user's own, from training to INT8."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import FAST, edgekd, sets

pytestmark = pytest.mark.slow

NETWORKS = Path(__file__).parents[1] / "support" / "networks"


def test_two_inputs_and_two_outputs_go_all_the_way(tmp_path: Path) -> None:
    """Every input and output is in the files, the manifest and the golden samples, and ``verify`` replays all."""
    network = f"{NETWORKS / 'small.py'}:two_senses"
    run = ["--data", f"module:{NETWORKS / 'senses.py'}:task", "--teacher", network, "--teacher-arg", "width=16"]
    quick = sets(*FAST, "teach.epochs=6", "teach.lr=0.05")
    target = ["--target", "raspberry-pi-4"]
    done = edgekd("compress", *target, *run, "--model", network, *quick, "--out", "out", cwd=tmp_path)
    assert done.code == 0, done.said
    manifest, report = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("manifest", "report"))
    assert {entry["name"]: entry["shape"] for entry in manifest["inputs"]} == {"image": [1, 1, 8, 8], "touch": [1, 4]}
    assert {entry["name"]: entry["shape"] for entry in manifest["outputs"]} == {"kind": [1, 3], "felt": [1, 4]}
    assert {name: recipe["layout"] for name, recipe in manifest["preprocessing"].items()} == {
        "image": "NCHW",
        "touch": "NC",
    }
    with np.load(tmp_path / "out" / "golden.npz") as golden:
        assert {name: golden[name].shape for name in golden} == {
            "image": (3, 1, 8, 8),
            "touch": (3, 4),
            "kind": (3, 3),
            "felt": (3, 4),
        }
    assert report["stages"][0]["measured"]["accuracy"] > 0.9
    assert report["stages"][1]["measured"]["accuracy"] > 0.9
    checked = edgekd("verify", "out", cwd=tmp_path)
    assert checked.code == 0, checked.said
    assert "3 golden samples replayed" in checked.out
