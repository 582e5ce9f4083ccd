"""A pytest plugin: an app's own tests hold a network to its baseline and its budget.

    def test_latency(latency_gate):
        latency_gate("models/net.onnx", max_regression="3%", budget="20ms")

Baselines are files in ``edgekd_baselines`` beside the test; ``pytest --edgekd-update`` makes the networks of today the
new ones, and judges nothing. Nothing heavy is loaded until a test asks for the fixture.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

BASELINES: Final = "edgekd_baselines"
MARKER: Final = "latency_gate"
EMULATOR: Final = "emulator"
KEPT: Final = ("network", "samples")
MOST_THREADS: Final = 256
Gate = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a test asks of its network, as text with units.

    *max_regression*: what is allowed, 3% or 0.5% of instructions where nothing is said. *on*: this host (``local``), or
    ``emulator:CORE`` to count instructions, which a shared machine does not disturb. *baseline*: a copy of the
    ``network``, or its ``samples`` on this host, a small file that holds for this host alone and is sure less often.
    """

    max_regression: str | None = None
    floor: str = "0ms"
    budget: str | None = None
    threads: int = 1
    on: str = "local"
    baseline: str = "network"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that renews baselines."""
    group = parser.getgroup("edgekd")
    group.addoption("--edgekd-update", action="store_true", help="make the networks of today the new latency baselines")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known: what it is given, the fixture takes by default."""
    config.addinivalue_line("markers", f"{MARKER}(**settings): a latency test of edgekd, and what is allowed in it")


@pytest.fixture
def latency_gate(request: pytest.FixtureRequest) -> Gate:
    """Return a function that fails a test whose network is slower than its baseline, and skips one that is not sure."""
    settings: dict[str, Any] = {}
    unnamed: list[object] = []
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        settings |= marker.kwargs
        unnamed += marker.args
    kept = _Kept(folder=request.path.parent, root=request.config.rootpath, test=_test_name(request))
    folder = kept.folder
    update = bool(request.config.getoption("--edgekd-update"))

    def check(model: str | Path, **given: str | int) -> None:
        __tracebackhide__ = True
        from edgekd.core.errors import EdgekdError  # noqa: PLC0415 - pytest starts without it

        said = ""
        try:
            wanted = _wanted(settings | given, unnamed)
            baseline = _baseline(kept, Path(model), wanted)
            if not (folder / model).is_file():
                pytest.fail(f"{folder / model}: no such file", pytrace=False)
            if update:
                _renew(folder / model, baseline, wanted)
            elif not baseline.is_file():
                pytest.fail(
                    f"{baseline}: no baseline yet; run pytest --edgekd-update once and commit it", pytrace=False
                )
            else:
                _judge(folder / model, baseline, wanted)
        except EdgekdError as error:
            said = str(error)
        if said:  # out here, or pytest would show the error twice
            pytest.fail(said, pytrace=False)

    return check


def _wanted(settings: dict[str, Any], unnamed: Sequence[object]) -> Wanted:
    """Return what a test asks for. Raises ConfigError for a setting that is none, or *unnamed*, or of another type."""
    from edgekd.core.errors import ConfigError  # noqa: PLC0415

    if unnamed:
        message = f"{MARKER}: {unnamed[0]!r} given without a name; write it as in max_regression='3%'."
        raise ConfigError(message)
    known = [one.name for one in fields(Wanted)]
    if unknown := sorted(set(settings) - set(known)):
        message = f"{MARKER}: no setting {unknown[0]!r}; known are {', '.join(known)}."
        raise ConfigError(message)
    for name, value in settings.items():
        _require_type(name, value)
    wanted = Wanted(**settings)
    is_counted = wanted.on.partition(":")[0] == EMULATOR
    if wanted.on != "local" and not is_counted:
        message = f"{MARKER}: on={wanted.on!r} given; expected local or emulator:CORE, such as emulator:cortex-a76."
        raise ConfigError(message)
    if wanted.baseline not in KEPT:
        message = f"{MARKER}: baseline={wanted.baseline!r} given; expected {' or '.join(KEPT)}."
        raise ConfigError(message)
    timing = {"budget": None, "baseline": "network", "floor": "0ms", "threads": 1}
    others = [name for name, default in timing.items() if getattr(wanted, name) != default]
    if is_counted and others:
        message = f"{MARKER}: instructions have no budget in time, no samples, one thread; leave out {others[0]}."
        raise ConfigError(message)
    return wanted


def _require_type(name: str, value: object) -> None:
    """Raise ConfigError for a value that is no text, or for threads no whole number."""
    from edgekd.core.errors import ConfigError  # noqa: PLC0415

    if name == "threads":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_THREADS:
            message = f"{MARKER}: threads={value!r} given; expected a whole number from 1 to {MOST_THREADS}."
            raise ConfigError(message)
    elif not isinstance(value, str) and not (value is None and getattr(Wanted, name) is None):
        message = f"{MARKER}: {name}={value!r} given; expected text, such as '3%' for a part or '20ms' for a time."
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """Where a test keeps its baselines: beside it in *folder*, of a project in *root*; *models* are those by now."""

    folder: Path
    root: Path
    test: Path
    models: dict[Path, Path] = field(default_factory=dict)


def _test_name(request: pytest.FixtureRequest) -> Path:
    """Return a folder's name for the test that asks: its module, then itself, in letters that every disk takes."""
    name = request.node.nodeid.partition("::")[2]
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-")
    return Path(request.path.stem, f"{plain}-{sha256(name.encode()).hexdigest()[:8]}" if plain != name else plain)


def _baseline(kept: _Kept, model: Path, wanted: Wanted) -> Path:
    """Return where the baseline of *model*, as the test names it, is kept: by its path, so that names may repeat.

    What lies above the test's folder is below ``up``. An absolute path in the project is taken as it stands to that
    folder. Another one, such as pytest's folder for temporary files, may be a new one in every run: its baseline goes
    by the test's name, below ``elsewhere``. Raises ConfigError for a second network that would go by the same.
    """
    from edgekd.core.errors import ConfigError  # noqa: PLC0415

    named = Path(os.path.normpath(model))
    if named.is_absolute() and not named.is_relative_to(kept.root):
        inside = Path("elsewhere") / kept.test / named.name
    else:
        near = os.path.relpath(named, kept.folder) if named.is_absolute() else named
        inside = Path(*("up" if part == ".." else part for part in Path(near).parts))
    baseline = kept.folder / BASELINES / inside
    file = Path(os.path.normpath(kept.folder / named))
    if kept.models.setdefault(baseline, file) != file:
        message = (
            f"{file}: its baseline would be that of {kept.models[baseline]}, which this test gave before; give one of "
            f"them another name, or a test of its own."
        )
        raise ConfigError(message)
    return baseline.with_suffix(".json") if wanted.baseline == "samples" else baseline


def _renew(model: Path, baseline: Path, wanted: Wanted) -> None:
    """Make *model*, with the files that hold its tensors, the baseline. Raises ConfigError where it is no network."""
    from edgekd.bench.gate_files import save_samples  # noqa: PLC0415
    from edgekd.bench.inputs import parts_of  # noqa: PLC0415
    from edgekd.core.amounts import milliseconds_of  # noqa: PLC0415
    from edgekd.core.disk import disk_errors, write_atomically  # noqa: PLC0415

    settings = _settings(wanted)  # wrong words are told before the baseline is another
    if wanted.budget is not None:
        milliseconds_of(wanted.budget, where="budget")
    with disk_errors(baseline):
        baseline.parent.mkdir(parents=True, exist_ok=True)
        if wanted.baseline == "network":
            for name, part in reversed(parts_of(model).items()):  # the network last: it needs the others
                write_atomically(baseline if part == model else baseline.with_name(name), part.read_bytes())
            return
        with alone():
            save_samples(model, baseline, settings, threads=wanted.threads)


def _judge(model: Path, baseline: Path, wanted: Wanted) -> None:
    """Compare *model* with its baseline, and its median on this host with the budget."""
    __tracebackhide__ = True
    from edgekd.bench.gate_files import judge_files  # noqa: PLC0415
    from edgekd.bench.gate_instructions import count_and_judge  # noqa: PLC0415
    from edgekd.core.amounts import milliseconds_of  # noqa: PLC0415

    settings = _settings(wanted)
    place, _, core = wanted.on.partition(":")
    if place == EMULATOR:
        allowed = settings.max_regression
        counted = count_and_judge(baseline, model, core or "cortex-a76", allowed, environment=os.environ)
        _end(model, counted.answer, counted.reason, counted.advice)
        return
    limit_ms = None if wanted.budget is None else milliseconds_of(wanted.budget, where="budget")
    with alone():
        verdict = judge_files(baseline, model, settings, threads=wanted.threads)
    median_ms = verdict.comparisons[-1].candidate_ms
    if limit_ms is not None and median_ms > limit_ms and verdict.answer != "regression":
        said = f"{model.name}: {median_ms:.3g} ms on this host; the budget is {limit_ms:g} ms"
        if _workers() > 1:
            pytest.skip(f"{said}, but {_workers()} workers share it: run this test without -n")
        pytest.fail(said, pytrace=False)
    _end(model, verdict.answer, verdict.reason, verdict.advice)


def _end(model: Path, answer: str, reason: str, advice: str) -> None:
    """Fail the test for a regression, skip it where nothing is sure."""
    __tracebackhide__ = True
    if answer == "regression":
        wanted = "where that is wanted, pytest --edgekd-update makes it the baseline"
        pytest.fail(f"{model.name}: slower than its baseline: {reason}; {wanted}", pytrace=False)
    if answer == "inconclusive":
        pytest.skip(f"{model.name}: inconclusive: {reason}; {advice}")


def _settings(wanted: Wanted) -> Any:  # noqa: ANN401 - GateSettings, which is not loaded when this file is
    """Return the gate's settings."""
    from edgekd.bench.gate import GateSettings  # noqa: PLC0415
    from edgekd.core.amounts import milliseconds_of, part_of  # noqa: PLC0415

    default = "3%" if wanted.on == "local" else "0.5%"
    return GateSettings(
        max_regression=part_of(wanted.max_regression or default, where="max_regression"),
        floor_ms=milliseconds_of(wanted.floor, where="floor"),
        threads=wanted.threads,
    )


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other latency test of this user runs on this host, in whatever worker or run of pytest."""
    import fcntl  # noqa: PLC0415 - pytest also starts where there is none

    path = Path(tempfile.gettempdir()) / f"edgekd-gate-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _workers() -> int:
    """Return how many workers of pytest-xdist share this host; 1 without it."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
