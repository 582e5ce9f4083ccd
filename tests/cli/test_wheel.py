"""The wheel is complete: built from this checkout, it works from another folder without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built once by the build backend that pip would call."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    finished = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return next(folder.glob("edgekd-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel's content: installing a pure wheel puts nothing more on the path."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(program: str, *, installed: Path, cwd: Path) -> str:
    """Return what *program* prints when Python finds edgekd in *installed* and stands in *cwd*."""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def names_of(wheel: Path) -> set[str]:
    """Return the names of the files inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_every_module_target_and_data_file(wheel: Path) -> None:
    """Nothing of the package and no target stays behind."""
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edgekd").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    targets = {f"edgekd/data/targets/{path.name}" for path in (ROOT / "targets").glob("*.toml")}

    missing = (package | targets) - names_of(wheel)

    assert targets
    assert missing == set()


def test_wheel_holds_nothing_but_the_package_and_its_metadata(wheel: Path) -> None:
    """Tests, tools and benchmarks do not land in anyone's site-packages."""
    tops = {name.partition("/")[0] for name in names_of(wheel)}

    assert len(tops) == 2
    assert "edgekd" in tops
    assert any(top.endswith(".dist-info") for top in tops)


def test_digits_load_from_the_wheel_in_another_folder(installed: Path, tmp_path: Path) -> None:
    """The demo's data travel inside the wheel."""
    program = (
        "import edgekd; from edgekd.tasks.digits import load_digits; print(edgekd.__file__, len(load_digits().train))"
    )

    printed = run_installed(program, installed=installed, cwd=tmp_path)

    assert printed == f"{installed / 'edgekd/__init__.py'} 3600"


def test_targets_load_from_the_wheel_in_another_folder(installed: Path, tmp_path: Path) -> None:
    """Every target of the repository is known by name and loads."""
    program = (
        "from edgekd.targets import load_target, target_names; "
        "print(*sorted(load_target(name).name for name in target_names()))"
    )

    printed = run_installed(program, installed=installed, cwd=tmp_path)

    assert printed.split() == sorted(path.stem for path in (ROOT / "targets").glob("*.toml"))
