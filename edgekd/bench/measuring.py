"""Measure one file somewhere and read what came back."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from edgekd.bench.measurement import FORMAT, Measurement, Run
from edgekd.bench.places import DeviceError, Request, run_here, run_over_ssh
from edgekd.core.digest import file_digest
from edgekd.core.errors import ConfigError

LOCAL: Final = "local"
_OVER: Final[Mapping[str, Callable[[str, Path, Request], bytes]]] = MappingProxyType({"ssh": run_over_ssh})


def measure(model: Path, request: Request, *, where: str, target: str | None) -> Measurement:
    """Return the measurement of the ONNX file *model* at *where*: ``local`` or ``ssh:HOST``.

    Raises ConfigError for a file or place that is none, DeviceError where the device cannot do it or runs the file with
    another execution provider than asked.
    """
    if not model.is_file():
        message = f"{model}: no such file; give an ONNX file."
        raise ConfigError(message)
    kind, _, name = where.partition(":")
    if where == LOCAL:
        said = run_here(model, request)
    elif kind in _OVER and name:
        said = _OVER[kind](name, model, request)
    else:
        message = f"--on: {where!r} given; expected local or ssh:HOST."
        raise ConfigError(message)
    return Measurement(
        format=FORMAT,
        date=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        model=model.name,
        model_sha256=file_digest(model),
        size_bytes=model.stat().st_size,
        target=target,
        where=where,
        threads=request.threads,
        batch=request.batch,
        run=_read(said, model, where, request),
    )


def _read(said: bytes, model: Path, where: str, request: Request) -> Run:
    """Return what the runner measured, or raise what it complains of."""
    try:
        answer = msgspec.json.decode(said)
        if isinstance(answer, dict) and "error" in answer:
            message = f"{model} on {where}: {answer['error']}."
            raise DeviceError(message)
        run = msgspec.convert(answer, Run)
    except msgspec.MsgspecError as error:
        message = f"{where}: the runner's answer cannot be read ({error}); is something printed at login there?"
        raise DeviceError(message) from error
    if run.providers[0] != request.provider:
        message = f"{model} on {where}: ran with {run.providers[0]}, asked was {request.provider}; no number is given."
        raise DeviceError(message)
    return run
