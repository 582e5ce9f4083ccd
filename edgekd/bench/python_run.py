"""Measure with Python and ONNX Runtime, here or on a device: the runner, what it needs, and what it answers."""

import tempfile
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from edgekd.bench.connection import Device
from edgekd.bench.device_errors import DeviceError, NoRuntimeError, NoSpaceError
from edgekd.bench.here import Here
from edgekd.bench.measurement import Machine, Run
from edgekd.bench.request import Request
from edgekd.core.errors import ConfigError, EdgekdError

RUNNER: Final = Path(__file__).with_name("runner.py")
_Answer = TypeVar("_Answer")
_KINDS: Final[dict[str, type[EdgekdError]]] = {"runtime": NoRuntimeError, "input": ConfigError}


def run_python(device: Device, model: Path, golden: Path | None, request: Request) -> Run:
    """Return what the runner measures of *model* on *device*. Raises the error that its complaint stands for."""
    is_here = isinstance(device.way, Here)
    files = {"runner.py": RUNNER}
    if not is_here:  # here it stays where it is, with what lies beside it
        files["model.onnx"] = model
    if golden is not None:
        files["golden.npz"] = golden
    device.require_space(sum(path.stat().st_size for path in files.values()))
    there = msgspec.structs.replace(
        request,
        model=str(model.resolve()) if is_here else device.path("model.onnx"),
        golden=None if golden is None else device.path("golden.npz"),
    )
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        asked = Path(name) / "request.json"
        asked.write_bytes(msgspec.json.encode(there))
        device.send({**files, "request.json": asked})
    words = (request.python, device.path("runner.py"), device.path("request.json"))
    said = device.run_long(words, timeout_s=request.timeout_s)
    return _read(said, f"{model} on {device.way.where}", device.way.where)


def read_machine(device: Device, python: str) -> Machine:
    """Return what *device*, which has the runner, is at the moment."""
    said = device.run((python, device.path("runner.py"), "--machine"))
    return _decoded(said, device.way.where, Machine)


def _read(said: bytes, subject: str, where: str) -> Run:
    """Return what the runner measured, or raise what it complains of."""
    answer = _decoded(said, where, dict)
    if "error" in answer:
        kind = NoSpaceError if "No space left" in answer["error"] else _KINDS.get(answer["kind"], DeviceError)
        message = f"{subject}: {answer['error']}."
        raise kind(message)
    return _decoded(said, where, Run)


def _decoded(said: bytes, where: str, kind: type[_Answer]) -> _Answer:
    """Return the answer as *kind*; DeviceError where it is none."""
    try:
        return msgspec.json.decode(said, type=kind)
    except msgspec.MsgspecError as error:
        message = f"{where}: the runner's answer cannot be read ({error}); is something printed at login there?"
        raise DeviceError(message) from error
