"""Bundles, a store and data that the tests of whole runs share."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import compress_command
from patterns import write_folder, write_teacher


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store that all bundles of the session are made from."""
    return tmp_path_factory.mktemp("shared") / "store"


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Callable[[str], Path]:
    """Return a function that gives a tiny bundle for a target, made once in a session."""
    made: dict[str, Path] = {}

    def make(target: str) -> Path:
        if target not in made:
            out = tmp_path_factory.mktemp(target) / "bundle"
            command = compress_command(target, out=out, store=shared_store)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            made[target] = out
        return made[target]

    return make


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images, one folder for each of three classes."""
    return write_folder(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def onnx_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ONNX file that tells the images apart."""
    return write_teacher(tmp_path_factory.mktemp("teacher") / "teacher.onnx")
