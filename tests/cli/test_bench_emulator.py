"""edgekd bench on an emulated ARM core: instructions and answers, and never a time."""

import json
from pathlib import Path

import pytest
from benching import bench, require_refusal
from bundled import ROWS, bundle
from emulator import the_emulator


@pytest.mark.slow  # a start under QEMU takes seconds
def test_instructions_and_answers_are_those_of_the_core_and_no_field_is_a_time(tmp_path: Path) -> None:
    """Counts by class add up; golden samples are answered; nothing in the JSON is in milliseconds or seconds."""
    the_emulator()
    done = bench(bundle(tmp_path / "bundle"), "--on", "emulator:cortex-a72", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    counted = dict(found["instructions"])
    assert counted.pop("total") == sum(counted.values())
    assert counted["fmla"] > 0
    assert counted["dot"] == 0  # an A72 has no dot product
    assert (found["kind"], found["core"], found["answers"]) == ("instructions", "cortex-a72", {"y": [ROWS, 4, 8, 8]})
    assert found["golden"]["largest_difference"] <= 1e-4
    assert not [name for name in _names(found) if name.endswith(("_ms", "_s", "latency"))]
    assert not (tmp_path / "history").exists()  # the history is of measurements


@pytest.mark.slow
def test_the_core_is_like_the_targets_and_time_is_not_spoken_of(tmp_path: Path) -> None:
    """A Raspberry Pi 4 has the Cortex-A72."""
    the_emulator()
    model = bundle(tmp_path / "bundle")
    said = bench(model, "--on", "emulator", "--target", "raspberry-pi-4", folder=tmp_path).stdout
    assert "on an emulated cortex-a72" in said
    assert "instructions in an inference" in said
    assert " ms" not in said


@pytest.mark.slow
def test_other_answers_are_refused(tmp_path: Path) -> None:
    """Exit code 11, as on a device."""
    the_emulator()
    done = bench(bundle(tmp_path / "bundle", wrong_by=1.0), "--on", "emulator", folder=tmp_path)
    require_refusal(done, 11, "on an emulated cortex-a76: it answers the golden inputs with other numbers")


def test_a_missing_emulator_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and the command that makes it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = bench(bundle(tmp_path / "bundle"), "--on", "emulator", folder=tmp_path)
    require_refusal(done, 2, "run tools/arm-emulation/setup")


def _names(value: object) -> list[str]:
    """Return the name of every field in *value*."""
    if isinstance(value, dict):
        return [*value, *(name for inner in value.values() for name in _names(inner))]
    return [name for inner in value for name in _names(inner)] if isinstance(value, list) else []
