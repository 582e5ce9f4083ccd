"""Bundles and a store that the tests of whole runs share."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import compress_command


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
