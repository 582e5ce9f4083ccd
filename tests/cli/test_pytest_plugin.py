"""The pytest plugin in an app's own test suite, run by a real pytest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from slowed import equal_layers

SUITE = """
import pytest

@pytest.mark.latency_gate(max_regression="20%")
def test_latency(latency_gate):
    latency_gate("net.onnx"{more})
"""


def run(folder: Path, *words: str, more: str = "") -> tuple[int, str]:
    """Run the suite in *folder*, whose call has *more* arguments; return the exit code and what was said."""
    (folder / "test_app.py").write_text(SUITE.format(more=more))
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Give the folder of an app with a network and its baseline."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    equal_layers(tmp_path / "net.onnx", 6)
    code, said = run(tmp_path, "--edgekd-update")
    assert code == 0, said
    assert (tmp_path / "edgekd_baselines" / "net.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()
    return tmp_path


def test_a_slower_network_fails_and_an_update_accepts_it(app: Path) -> None:
    """Twice as many layers fail by name with the ratio; after --edgekd-update they are the baseline."""
    equal_layers(app / "net.onnx", 12)
    code, said = run(app)
    assert code == 1
    assert "net.onnx: the candidate takes" in said
    assert run(app, "--edgekd-update")[0] == 0
    assert (app / "edgekd_baselines" / "net.onnx").read_bytes() == (app / "net.onnx").read_bytes()


def test_a_budget_is_held_to(app: Path) -> None:
    """A nanosecond is too little for any network."""
    code, said = run(app, more=', budget="1ns"')
    assert code == 1
    assert "the budget is 1e-06 ms" in said


@pytest.mark.parametrize(
    ("more", "sentence"), [(', budget="fast"', "budget: 'fast' given"), (', max_regression="200%"', "max_regression")]
)
def test_a_wrong_setting_fails_in_a_sentence(app: Path, more: str, sentence: str) -> None:
    """Not in a traceback."""
    code, said = run(app, more=more)
    assert code == 1
    assert sentence in said
    assert "Traceback" not in said


def test_without_a_baseline_the_test_fails_and_says_how_to_make_one(tmp_path: Path) -> None:
    """A gate that passes for want of a baseline would be none."""
    equal_layers(tmp_path / "net.onnx", 2)
    code, said = run(tmp_path)
    assert code == 1
    assert "--edgekd-update" in said
    assert not (tmp_path / "edgekd_baselines").exists()
