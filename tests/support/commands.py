"""Command lines for tests that run edgekd from the outside, with networks small enough for a test."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import pytest

TINY: tuple[str, ...] = (
    "teach.arguments.width=8",
    "teach.epochs=3",
    "distill.arguments.width=8",
    "distill.epochs=2",
    "prune.epochs=1",
    "factorize.epochs=1",
    "factorize.energy=0.5",
    "factorize.prices_ns.layers=0",
    "factorize.prices_ns.numbers=0",
    "quantize.epochs=1",
    "measure.runs=20",
    "measure.warmup_runs=2",
    "budgets.drop_points=100",
)


STAGES: Final = ("teach", "distill", "prune", "factorize", "quantize")

FAST: Final = (
    *(f"{stage}.batch_size=16" for stage in STAGES),
    *(f"{stage}.epochs=2" for stage in STAGES[2:]),
    "distill.epochs=5",
    "distill.lr=0.05",
    "measure.runs=20",
    "measure.warmup_runs=2",
    "budgets.drop_points=100",
)
"""Settings for a data set of a test's own, of some hundred samples; ``teach.epochs`` stays as the command has it."""

# What is started from here, in whatever folder, finds edgekd and these files as this process does.
os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["commands", "warm"])


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to both streams."""

    code: int | None
    out: str
    said: str


def edgekd(*arguments: str | Path, cwd: Path | None = None, environment: Mapping[str, str] = _NOTHING) -> Done:
    """Run the command line in a process of its own, forked from one that has loaded the heavy libraries already."""
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "stdout", Path(folder) / "stderr"
        with started(*arguments, cwd=cwd, out=out, said=said, environment=environment) as process:
            process.join()
        return Done(process.exitcode, out.read_text(), said.read_text())


@contextmanager
def started(
    *arguments: str | Path,
    said: Path,
    out: Path = Path(os.devnull),
    cwd: Path | None = None,
    environment: Mapping[str, str] = _NOTHING,
) -> Iterator[BaseProcess]:
    """Start the command line as ``edgekd`` does, its streams going to *out* and *said*; end it with the block."""
    said.touch()
    own = (cwd or Path.cwd(), {**os.environ, **environment}, out, said)
    process = _PROCESSES.Process(target=_run, args=([*map(str, arguments)], *own))
    process.start()
    try:
        yield process
    finally:
        process.kill()  # nothing where it has ended
        process.join()


def _run(arguments: list[str], cwd: Path, environment: Mapping[str, str], out: Path, said: Path) -> None:
    """Be the command: its arguments, its folder, its environment, its streams."""
    from edgekd.cli.main import main  # noqa: PLC0415 - typer's warnings about click are no test's affair

    for number, stream in enumerate((Path(os.devnull), out, said)):
        os.dup2(os.open(stream, os.O_RDWR | os.O_CREAT), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["edgekd", *arguments]
    main()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let what is started in this block be interrupted: a shell has what runs in its background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def sets(*assignments: str) -> list[str]:
    """Return *assignments* as ``--set`` options."""
    return [part for assignment in assignments for part in ("--set", assignment)]


def compress_words(target: str, *, out: Path, store: Path, settings: tuple[str, ...] = TINY) -> list[str]:
    """Return the words of one tiny compression, for ``edgekd`` and ``started``."""
    return ["compress", "--target", target, "--out", str(out), "--store", str(store), *sets(*settings)]


def edgekd_command(*arguments: str) -> list[str]:
    """Return the command line of edgekd with the interpreter that runs the tests."""
    return [sys.executable, "-m", "edgekd.cli.main", *arguments]


def model_bytes(bundle: Path) -> Mapping[str, bytes]:
    """Return the bytes of every model file in *bundle* by name."""
    return {path.name: path.read_bytes() for path in sorted(bundle.glob("*.onnx"))}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Make *folder* a disk of *size* for the length of the block; skip the test where that cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
