"""The pytest plugin in an app's own test suite, run by a real pytest."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from emulator import the_emulator
from slowed import equal_layers, sure

from edgekd.pytest_plugin import alone

SUITE = """
import pytest

@pytest.mark.latency_gate(max_regression="20%")
def test_latency(latency_gate):
    latency_gate("net.onnx"{more})
"""


def run(folder: Path, *words: str, more: str = "", suite: str = SUITE) -> tuple[int, str]:
    """Run the suite in *folder*, whose call has *more* arguments; return the exit code and what was said."""
    (folder / "test_app.py").write_text(suite.format(more=more))
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an app with a network and the baseline that an update made of it."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "pytest.ini").write_text("[pytest]\n")
    equal_layers(folder / "net.onnx", 6)
    code, said = run(folder, "--edgekd-update")
    assert code == 0, said
    assert (folder / "edgekd_baselines" / "net.onnx").read_bytes() == (folder / "net.onnx").read_bytes()
    return folder


@pytest.fixture
def app(updated: Path, tmp_path: Path) -> Path:
    """Give a copy of it."""
    return shutil.copytree(updated, tmp_path / "app")


def test_a_slower_network_fails_and_an_update_accepts_it(app: Path) -> None:
    """Thrice as many layers fail by name with the ratio; after --edgekd-update they are the baseline."""
    equal_layers(app / "net.onnx", 18)
    code, said = sure(lambda _: run(app), lambda one: one[1] if "inconclusive" in one[1] else "")
    assert code == 1
    assert "net.onnx: slower than its baseline: the candidate takes" in said
    assert "where that is wanted, pytest --edgekd-update" in said
    assert run(app, "--edgekd-update")[0] == 0
    assert (app / "edgekd_baselines" / "net.onnx").read_bytes() == (app / "net.onnx").read_bytes()


def test_a_budget_is_held_to(app: Path) -> None:
    """A nanosecond is too little for any network."""
    code, said = run(app, more=', budget="1ns"')
    assert code == 1
    assert "the budget is 1e-06 ms" in said


WRONG = {
    'budget="fast"': "budget: 'fast' given",
    'max_regression="200%"': "max_regression",
    'max_regresion="2%"': "no setting 'max_regresion'; known are max_regression, floor",
    'on="desk"': "on='desk' given; expected local or emulator:CORE",
    'on="emulator", budget="2ms"': "instructions have no budget in time",
    'on="emulator", floor="2ms"': "no samples, one thread; leave out floor",
    'baseline="digest"': "baseline='digest' given; expected network or samples",
    "max_regression=0.03": "max_regression=0.03 given; expected text, such as '3%'",
    "budget=20": "budget=20 given; expected text",
    'threads="2"': "threads='2' given; expected a whole number from 1 to 256",
    "threads=0": "threads=0 given; expected a whole number",
}


def test_wrong_settings_fail_in_a_sentence(app: Path) -> None:
    """Each in its own, and none in a traceback."""
    calls = "".join(
        f"\n\ndef test_{number}(latency_gate):\n    latency_gate('net.onnx', {setting})\n"
        for number, setting in enumerate(WRONG)
    )
    code, said = run(app, suite=calls)
    assert (code, f"{len(WRONG)} failed" in said) == (1, True), said
    _, *parts = re.split(r"^_+ test_\d+ _+$", said, flags=re.MULTILINE)
    for part, sentence in zip(parts, WRONG.values(), strict=True):
        assert sentence in part
        assert "Traceback" not in part
        assert "another exception" not in part
        assert "Error: " not in part


def test_wrong_words_renew_no_baseline(app: Path) -> None:
    """They fail while the baseline is what it was: the next run would have failed all the same."""
    (baseline,) = (app / "edgekd_baselines").rglob("net.onnx")
    before = baseline.read_bytes()
    equal_layers(app / "net.onnx", 7)
    for setting in ("max_regression='x%'", "budget='soon'"):
        suite = f"def test_latency(latency_gate):\n    latency_gate('net.onnx', {setting})\n"
        code, said = run(app, "--edgekd-update", suite=suite)
        assert (code, "Traceback" in said) == (1, False), said
    assert baseline.read_bytes() == before


def test_a_marker_without_names_fails_in_a_sentence(app: Path) -> None:
    """What it means would be a guess, and leaving it out would hold the test to another limit."""
    suite = SUITE.replace('max_regression="20%"', '"20%"')
    code, said = run(app, suite=suite)
    assert code == 1
    assert "'20%' given without a name" in said


def test_without_a_baseline_the_test_fails_and_says_how_to_make_one(tmp_path: Path) -> None:
    """A gate that passes for want of a baseline would be none."""
    equal_layers(tmp_path / "net.onnx", 2)
    code, said = run(tmp_path)
    assert code == 1
    assert "--edgekd-update" in said
    assert not (tmp_path / "edgekd_baselines").exists()


def test_networks_of_one_name_in_two_folders_have_two_baselines(tmp_path: Path) -> None:
    """Each is where its network is, below the folder of baselines."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("day", "night"):
        (tmp_path / name).mkdir()
        equal_layers(tmp_path / name / "net.onnx", 2 if name == "day" else 3)
    suite = """
import pytest

@pytest.mark.parametrize("name", ["day", "night"])
def test_latency(latency_gate, name):
    latency_gate(f"{{name}}/net.onnx"{more})
"""
    assert run(tmp_path, "--edgekd-update", suite=suite)[0] == 0
    for name in ("day", "night"):
        network = tmp_path / name / "net.onnx"
        assert (tmp_path / "edgekd_baselines" / name / "net.onnx").read_bytes() == network.read_bytes()


def test_absolute_paths_have_baselines_of_their_own(tmp_path: Path) -> None:
    """In the project by where they are, elsewhere by the test: a temporary folder is a new one in every run."""
    project, others = tmp_path / "project", tmp_path / "others"
    tests = project / "tests"
    for folder in (tests, project / "models", others / "day", others / "night", others / "again"):
        folder.mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n")
    paths = [project / "models/net.onnx", others / "day/net.onnx", others / "night/net.onnx"]
    for number, path in enumerate(paths, start=2):
        equal_layers(path, number)
    suite = f"""
import pytest

def test_own(latency_gate):
    latency_gate("{paths[0]}"{{more}})

@pytest.mark.parametrize("name", ["day", "night"])
def test_latency(latency_gate, name):
    latency_gate("{others}/" + name + "/net.onnx"{{more}})
"""
    assert run(tests, "--edgekd-update", suite=suite)[0] == 0
    kept = sorted((tests / "edgekd_baselines").rglob("*.onnx"))
    assert sorted(path.read_bytes() for path in kept) == sorted(path.read_bytes() for path in paths)
    assert (tests / "edgekd_baselines/up/models/net.onnx").read_bytes() == paths[0].read_bytes()
    equal_layers(others / "again/net.onnx", 2)
    moved = suite.replace('["day", "night"]', '["day"]').replace('name + "/net', '"again/net')
    code, said = run(tests, suite=moved, more=', max_regression="50%", floor="1s"')
    assert code == 0, said


def test_two_networks_that_one_test_would_keep_as_one_are_refused(tmp_path: Path) -> None:
    """Of one name, both outside the project, in one test: a sentence, and what to do."""
    project = tmp_path / "project"
    for folder in (project, tmp_path / "day", tmp_path / "night"):
        folder.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    for name in ("day", "night"):
        equal_layers(tmp_path / name / "net.onnx", 1)
    suite = f"""
def test_both(latency_gate):
    latency_gate("{tmp_path}/day/net.onnx"{{more}})
    latency_gate("{tmp_path}/night/net.onnx"{{more}})
"""
    code, said = run(project, "--edgekd-update", suite=suite)
    assert code == 1
    assert "give one of them another name, or a test of its own" in said
    assert "Traceback" not in said


def test_networks_above_the_test_have_baselines_of_their_own(tmp_path: Path) -> None:
    """One baseline for two networks would let the smaller one grow to the size of the larger."""
    tests = tmp_path / "tests"
    for folder in (tests, tmp_path / "day", tmp_path / "night"):
        folder.mkdir()
    (tests / "pytest.ini").write_text("[pytest]\n")
    layers = {"day": 2, "night": 3}
    for name, number in layers.items():
        equal_layers(tmp_path / name / "net.onnx", number)
    suite = """
import pytest

@pytest.mark.parametrize("name", ["day", "night"])
def test_latency(latency_gate, name):
    latency_gate(f"../{{name}}/net.onnx"{more})
"""
    assert run(tests, "--edgekd-update", suite=suite)[0] == 0
    for name in layers:
        kept = tests / "edgekd_baselines" / "up" / name / "net.onnx"
        assert kept.read_bytes() == (tmp_path / name / "net.onnx").read_bytes()


def test_a_baseline_brings_the_files_that_hold_its_tensors(tmp_path: Path) -> None:
    """Without them it could not be run."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    model = onnx.load(equal_layers(tmp_path / "net.onnx", 2))
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    code, said = run(tmp_path, "--edgekd-update")
    assert code == 0, said
    ort.InferenceSession(tmp_path / "edgekd_baselines" / "net.onnx", providers=["CPUExecutionProvider"])


def test_a_file_that_is_no_network_becomes_no_baseline(tmp_path: Path) -> None:
    """It is named instead."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "net.onnx").write_text("no network " * 9)
    code, said = run(tmp_path, "--edgekd-update")
    assert code == 1
    assert "net.onnx: not an ONNX file" in said
    assert not list((tmp_path / "edgekd_baselines").glob("*"))


def test_on_an_emulated_core_a_layer_more_fails(tmp_path: Path) -> None:
    """Seven layers instead of six; what the machine does meanwhile does not matter."""
    the_emulator()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    on = ', on="emulator:cortex-a76", max_regression="0.5%"'
    equal_layers(tmp_path / "net.onnx", 6, channels=4, side=8)
    assert run(tmp_path, "--edgekd-update", more=on)[0] == 0
    code, said = run(tmp_path, more=on)
    assert (code, "1 passed" in said) == (0, True), said
    equal_layers(tmp_path / "net.onnx", 7, channels=4, side=8)
    code, said = run(tmp_path, more=on)
    assert code == 1
    assert "times the instructions of the baseline, and 1.0050 is allowed" in said


def test_among_several_workers_a_missed_budget_fails_nobody(app: Path) -> None:
    """The others disturb it: the test is skipped and says what to do."""
    code, said = run(app, "-n", "2", more=', budget="1ns"')
    assert code == 0, said
    assert "2 workers share it: run this test without -n" in " ".join(said.split())


def test_only_one_latency_test_of_a_user_runs_at_a_time() -> None:
    """Another process, as another worker is, does not get the lock meanwhile, and gets it afterwards."""
    script = "import edgekd.pytest_plugin as plugin\nwith plugin.alone():\n    print('alone')"
    with alone():
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1.5)
    said, _ = other.communicate(timeout=60)
    assert said == "alone\n"


@pytest.mark.slow
def test_samples_are_a_baseline_that_never_lets_a_network_thrice_as_slow_pass(app: Path) -> None:
    """A file of some kilobytes instead of a copy of the network."""
    more = ', baseline="samples"'
    # As few blocks as are judged at all, so that it ends soon.
    (app / "conftest.py").write_text(
        "from edgekd.bench import gate, gate_stored\n\ngate.LOOKS = gate_stored.LOOKS = gate.LOOKS[:1]\n"
    )
    code, said = run(app, more=more)
    assert code == 1
    assert "net.json: no baseline yet" in said
    assert run(app, "--edgekd-update", more=more)[0] == 0
    assert (app / "edgekd_baselines" / "net.json").is_file()
    code, said = run(app, more=more)
    assert code == 0, said
    equal_layers(app / "net.onnx", 18)
    code, said = run(app, more=more)
    assert "1 passed" not in said
