"""Measure one file somewhere: get there, check what came back, and name it."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekd.bench.connection import opened
from edgekd.bench.criticism import elsewhere, throttling
from edgekd.bench.device_errors import ElsewhereError
from edgekd.bench.emulator import Emulator
from edgekd.bench.golden import GoldenFile, require_golden
from edgekd.bench.here import Here
from edgekd.bench.identity import why_not
from edgekd.bench.inputs import require_network
from edgekd.bench.measurement import FORMAT, Measurement, Run
from edgekd.bench.places import measure_there, place_of
from edgekd.bench.protocol import Protocol, checked, rest, throttled_between, unlike_inputs
from edgekd.bench.request import Request
from edgekd.core.digest import file_digest
from edgekd.core.errors import ConfigError
from edgekd.core.names import require_utf8


def measure(
    model: Path,
    request: Request,
    *,
    where: str,
    find_emulator: Callable[[], Emulator],
    golden: GoldenFile | None = None,
    protocol: Protocol | None = None,
) -> Measurement:
    """Return the measurement of the ONNX file *model* at *where*.

    Its *refused* says where the device throttled. Raises ConfigError for a file or place that is none, and the errors
    of ``device_errors`` where the device cannot do it, runs the file elsewhere, or answers with other numbers.
    """
    require_file(model)
    place = place_of(where)
    require_network(model)
    if isinstance(place.way, Here):
        request = msgspec.structs.replace(request, python=sys.executable)
    with opened(place.way, parent=place.parent) as device:
        rest(protocol)
        before = checked(device, protocol)
        run = measure_there(device, model, None if golden is None else golden.path, request, find_emulator)
        after = checked(device, protocol)
    subject = f"{model} on {place.way.where}"
    _require_provider(run, request, subject)
    if run.golden is not None and golden is not None:
        run = msgspec.structs.replace(run, golden=msgspec.structs.replace(run.golden, tolerance=golden.tolerance))
    require_golden(run.golden, subject=subject)
    not_target = None if protocol is None else why_not(protocol.of, run)
    return Measurement(
        format=FORMAT,
        date=now(),
        model=model.name,
        model_sha256=file_digest(model),
        size_bytes=model.stat().st_size,
        target=protocol.name if protocol is not None and not_target is None else None,
        where=place.way.where,
        threads=request.threads,
        batch=request.batch,
        run=run,
        not_target=not_target,
        unlike_target=unlike_inputs(model, protocol),
        refused=throttling(run) or throttled_between(before, after, protocol),
    )


def require_file(model: Path) -> None:
    """Raise ConfigError where there is no such file, or no result could hold its name."""
    require_utf8(model)
    if not model.is_file():
        message = f"{model}: no such file; give an ONNX file."
        raise ConfigError(message)


def now() -> str:
    """Return the time, to the second."""
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _require_provider(run: Run, request: Request, subject: str) -> None:
    """Raise ElsewhereError where another provider than asked ran the file, or a part of it without leave."""
    if run.providers[0] != request.provider:
        message = f"{subject}: ran with {run.providers[0]}, asked was {request.provider}; no time is given."
        raise ElsewhereError(message)
    if run.elsewhere and not request.allow_elsewhere:
        message = (
            f"{subject}: asked was {request.provider}, but {elsewhere(run)}; no time is given. --allow-elsewhere "
            f"measures it as it is."
        )
        raise ElsewhereError(message)
