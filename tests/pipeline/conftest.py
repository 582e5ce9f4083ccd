"""Bundles, a store and data that the tests of whole runs share."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import compress_words, edgekd
from patterns import write_folder, write_teacher


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of the session have in common."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def shared_store(shared: Path) -> Path:
    """Return a store that all bundles of the session are made from."""
    return shared / "store"


@pytest.fixture(scope="session")
def bundle_of(shared: Path, shared_store: Path) -> Callable[[str], Path]:
    """Return a function that gives a tiny bundle for a target, made once in a session, by whoever comes first."""

    def make(target: str) -> Path:
        out = shared / target
        with (shared / f"{target}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not out.exists():
                done = edgekd(*compress_words(target, out=out, store=shared_store))
                assert done.code == 0, done.said
        return out

    return make


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images, one folder for each of three classes."""
    return write_folder(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def onnx_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ONNX file that tells the images apart."""
    return write_teacher(tmp_path_factory.mktemp("teacher") / "teacher.onnx")
