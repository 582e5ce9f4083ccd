"""Time the kernels of many networks at one place, in one run of one program."""

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from edgekd.bench.connection import Device
from edgekd.bench.device_errors import DeviceError, NoRuntimeError
from edgekd.bench.measurement import Machine
from edgekd.bench.python_run import RUNNER
from edgekd.bench.request import CPU

KERNEL_RUNNER: Final = Path(__file__).with_name("kernel_runner.py")
WEIGHTS: Final = "weights.bin"
"""The file, beside all networks, in which the runner puts the numbers that they take for weights."""


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """Networks by file name, which read at most *weight_bytes* from the start of ``WEIGHTS``."""

    networks: Mapping[str, bytes]
    weight_bytes: int


class KernelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner is asked for; *cores* as in a ``Request``."""

    seconds: float
    threads: int = 1
    python: str = "python3"
    provider: str = CPU
    cores: tuple[int, ...] | None = None
    least_runtime: str = "1.15"


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a trace: its *operator* with no domain, and the type and sizes of what it read and wrote."""

    name: str
    operator: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    samples_us: tuple[int, ...] = ()


class TracedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the suite: its own samples, without a trace, and its kernels in the order in which they ran."""

    model: str
    samples_ms: tuple[float, ...]
    kernels: tuple[Traced, ...]


class KernelRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner prints; *version* is that of ONNX Runtime there."""

    version: str
    cores: tuple[int, ...] | None
    before: Machine
    after: Machine
    networks: tuple[TracedNetwork, ...]


def run_kernels(device: Device, suite: Suite, request: KernelRequest) -> KernelRun:
    """Return what *device* measures of *suite* until the seconds are over; at least a dozen networks.

    Raises NoRuntimeError where there is no ONNX Runtime there, DeviceError where it cannot run the suite.
    """
    packed = _packed(suite)
    device.require_space(len(packed) + suite.weight_bytes + sum(map(len, suite.networks.values())))
    asked = msgspec.to_builtins(request) | {
        "folder": device.folder,
        "models": list(suite.networks),
        "weight_bytes": suite.weight_bytes,
    }
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        folder = Path(name)
        (folder / "suite.tar.gz").write_bytes(packed)
        (folder / "request.json").write_bytes(msgspec.json.encode(asked))
        sent = {"suite.tar.gz": folder / "suite.tar.gz", "request.json": folder / "request.json"}
        device.send({**sent, "runner.py": RUNNER, "kernel_runner.py": KERNEL_RUNNER})
    words = (request.python, device.path("kernel_runner.py"), device.path("request.json"))
    said = device.run_long(words, timeout_s=10 * request.seconds + 600)
    return _read(said, device.way.where)


def _packed(suite: Suite) -> bytes:
    """Return the networks as one compressed archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, content in suite.networks.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _read(said: bytes, where: str) -> KernelRun:
    """Return what the runner measured, or raise what it complains of."""
    try:
        answer = msgspec.json.decode(said)
        if "error" in answer:
            kind = NoRuntimeError if answer["kind"] == "runtime" else DeviceError
            message = f"{where}: {answer['error']}."
            raise kind(message)
        return msgspec.convert(answer, KernelRun)
    except (msgspec.MsgspecError, TypeError) as error:
        message = f"{where}: the runner's answer cannot be read ({error}); is something printed at login there?"
        raise DeviceError(message) from error
