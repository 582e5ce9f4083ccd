"""Target files: found by name or path, read strictly."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import edgekd
from edgekd.core.errors import ConfigError
from edgekd.targets import load_target, target_file, target_names

Edit = Callable[[str, Mapping[str, object]], Path]

LIST_TARGETS = """
import sys
from edgekd.targets import load_target, target_file, target_names
for name in target_names():
    load_target(name)
print(target_file("jetson-nano"))
print(sorted({"torch", "numpy", "onnx", "scipy", "rich", "typer"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", target_names())
def test_every_bundled_target_loads_under_its_own_name(name: str) -> None:
    """A bundled file is valid, free of contradictions, fully sourced, and named as its file."""
    assert load_target(name).name == name


def test_every_device_that_is_promised_is_there() -> None:
    """The devices of the README have files."""
    assert set(target_names()) == {
        *("raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2-w", "rk3588", "x86-64"),
        *("jetson-nano", "jetson-tx2", "jetson-xavier-nx", "jetson-agx-xavier"),
        *("jetson-orin-nano", "jetson-orin-nx", "jetson-agx-orin"),
        *("android-a53", "android-a75", "android-a76", "android-armv9"),
    }


def test_targets_that_share_stages_agree_on_the_numbers() -> None:
    """The Nano and the Pi 4 prune to the same multiple, so one pruned network serves both."""
    assert load_target("jetson-nano").channels == load_target("raspberry-pi-4").channels


def test_a_path_loads_as_a_name_does(edited: Edit) -> None:
    """The same facts in a file elsewhere give an equal target."""
    assert load_target(str(edited("jetson-nano", {}))) == load_target("jetson-nano")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jetson-nana", "unknown target; did you mean 'jetson-nano'?"),
        ("raspberrypi4", "did you mean 'raspberry-pi-4'?"),
        ("toaster", "unknown target; Known: android-a53, android-a75, android-a76"),
    ],
)
def test_an_unknown_name_gets_the_nearest_and_all(name: str, words: str) -> None:
    """A misspelt name is answered with the likeliest, every time with all that exist."""
    with pytest.raises(ConfigError) as error:
        load_target(name)
    assert words in str(error.value)
    assert all(known in str(error.value) for known in target_names())


def test_a_missing_file_is_named() -> None:
    """A path that leads nowhere is no unknown name."""
    with pytest.raises(ConfigError, match=r"boards/mine.toml: no such file"):
        load_target("boards/mine.toml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"channels.multipel": 8},
            "channels.multipel: unknown field; did you mean 'multiple'?",
        ),
        ({"channels.multiple": 0}, "channels.multiple: 0 given; expected an integer at least 1."),
        ({"precision.int8.verdict": "fats"}, "precision.int8.verdict: 'fats' given; did you mean 'fast'?"),
        ({"precision.fp16.why": ""}, "precision.fp16.why: '' given; expected a string that is not empty."),
        ({"device.gpu.compute_capability": "sm_53"}, "device.gpu.compute_capability: 'sm_53' given; "),
        ({"budgets.latency_ms": -1}, "budgets.latency_ms: -1 given; expected a number more than 0."),
        ({"name": "My Board"}, "name: 'My Board' given; "),
        ({"device.soc": None}, "device.soc: missing; expected a string that is not empty."),
        ({"sources": []}, "device.soc: has no source"),
        ({"device.clusters.Big": {}}, "device.clusters: the name 'Big' given; expected a string that matches"),
        ({"device.power_modes": {"": "none"}}, "device.power_modes: the name '' given; expected a string that is not"),
        (
            {"device.clusters.all.cpus": "0..3"},
            "device.clusters.all.cpus: '0..3' given; expected a string that matches",
        ),
        ({"device.clusters": {}}, "device.clusters: a table given; expected a table with at least one entry."),
    ],
)
def test_a_wrong_field_is_named(edited: Edit, changes: Mapping[str, object], words: str) -> None:
    """Unknown, missing and impossible values end in one sentence with the file and the field."""
    path = edited("jetson-nano", changes)
    with pytest.raises(ConfigError) as error:
        load_target(str(path))
    assert str(error.value).startswith(f"{path}: {words}")


def test_an_installed_package_finds_its_own_targets_without_heavy_imports(tmp_path: Path) -> None:
    """With the files inside the package, started elsewhere, all targets load, and nothing heavy with them."""
    package = Path(edgekd.__file__).parent
    shutil.copytree(package, tmp_path / "site" / "edgekd", ignore=shutil.ignore_patterns("__pycache__"))
    bundled = tmp_path / "site" / "edgekd" / "data" / "targets"
    shutil.rmtree(bundled, ignore_errors=True)
    shutil.copytree(target_file("jetson-nano").parent, bundled)
    result = subprocess.run(
        [sys.executable, "-c", LIST_TARGETS],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
    )
    assert result.stdout.splitlines() == [str(bundled / "jetson-nano.toml"), "[]"]
