"""A pytest plugin: an app's own tests hold a network to its baseline and its budget.

    def test_latency(latency_gate):
        latency_gate("models/net.onnx", max_regression="3%", budget="20ms")

Baselines are files in ``edgekd_baselines`` beside the test; ``pytest --edgekd-update`` makes the networks of today the
new ones. Nothing heavy is loaded until a test asks for the fixture.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BASELINES = "edgekd_baselines"
MARKER = "latency_gate"
Gate = Callable[..., None]


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
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        settings |= marker.kwargs
    folder = request.path.parent
    update = bool(request.config.getoption("--edgekd-update"))

    def check(model: str | Path, **given: str | int) -> None:
        _check(folder / model, folder / BASELINES, update=update, **(settings | given))

    return check


def _check(  # noqa: PLR0913 - what a test may say of its network
    model: Path,
    baselines: Path,
    *,
    update: bool,
    max_regression: str = "3%",
    floor: str = "0ms",
    budget: str | None = None,
    threads: int = 1,
) -> None:
    """Compare *model* with its baseline, and its median on this host with *budget*."""
    __tracebackhide__ = True
    from edgekd.bench.gate import GateSettings, gate  # noqa: PLC0415 - pytest starts without it
    from edgekd.core.amounts import milliseconds_of, part_of  # noqa: PLC0415
    from edgekd.core.errors import EdgekdError  # noqa: PLC0415

    baseline = baselines / model.name
    if not model.is_file():
        pytest.fail(f"{model}: no such file", pytrace=False)
    if update or not baseline.exists():
        if not update:
            pytest.fail(f"{baseline}: no baseline yet; run pytest --edgekd-update once and commit it", pytrace=False)
        baselines.mkdir(exist_ok=True)
        shutil.copyfile(model, baseline)
    try:
        settings = GateSettings(
            max_regression=part_of(max_regression, where="max_regression"),
            floor_ms=milliseconds_of(floor, where="floor"),
            threads=threads,
        )
        limit_ms = None if budget is None else milliseconds_of(budget, where="budget")
        verdict = gate(baseline, model, settings)
    except EdgekdError as error:
        pytest.fail(str(error), pytrace=False)
    if verdict.answer == "regression":
        pytest.fail(f"{model.name}: {verdict.reason}", pytrace=False)
    median_ms = verdict.comparisons[-1].candidate_ms
    if limit_ms is not None and median_ms > limit_ms:
        pytest.fail(f"{model.name}: {median_ms:.3g} ms on this host; the budget is {limit_ms:g} ms", pytrace=False)
    if verdict.answer == "inconclusive":
        pytest.skip(f"{model.name}: inconclusive: {verdict.reason}; {verdict.advice}")
