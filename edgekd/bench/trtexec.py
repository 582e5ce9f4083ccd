"""Measure with TensorRT on a Jetson: build an engine there with trtexec, check its answers, time it."""

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np

from edgekd.bench.connection import Device
from edgekd.bench.device_errors import DeviceError, NoRuntimeError
from edgekd.bench.inputs import Form, form_of, golden_samples, largest_difference, shapes_of
from edgekd.bench.measurement import Golden, Node, Run
from edgekd.bench.python_run import RUNNER, read_machine
from edgekd.bench.request import TENSORRT, Request
from edgekd.bench.trtexec_versions import WARMUP_MS, WORKSPACE_MIB, load_ms_of, options_of, version_of
from edgekd.core.errors import ConfigError

_FIND: Final = "command -v trtexec || for p in /usr/src/tensorrt/bin/trtexec; do [ -x $p ] && echo $p; done; true"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./-]+")
_File = TypeVar("_File")
_MS: Final = msgspec.Meta(ge=0)


class _Inference(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``--exportTimes``: *latency_ms* is host to device, compute, device to host."""

    start: float = msgspec.field(name="startComputeMs")
    compute: Annotated[float, _MS] = msgspec.field(name="computeMs")
    latency: Annotated[float, _MS] = msgspec.field(name="latencyMs")


class _Output(msgspec.Struct, frozen=True, kw_only=True):
    """One output of ``--exportOutput``; sizes as in ``1x10``."""

    name: str
    dimensions: str
    values: tuple[float, ...]


class _Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of ``--exportProfile``, whose first entry is only a count."""

    name: str = ""
    average: float = msgspec.field(name="averageMs", default=0.0)


def run_trtexec(device: Device, model: Path, golden: Path | None, request: Request) -> Run:
    """Return what trtexec measures of *model* on *device*: the times of an inference with its transfers.

    Raises NoRuntimeError where there is no trtexec or one of unknown options, DeviceError where it fails.
    """
    where = device.way.where
    program = device.run(("sh", "-c", _FIND)).decode(errors="replace").strip()
    if not program:
        message = (
            f"{where}: no trtexec there, neither on its PATH nor in /usr/src/tensorrt/bin; install TensorRT there."
        )
        raise NoRuntimeError(message)
    about = device.run((program, "--help")).decode(errors="replace")
    version = version_of(about, where)
    options = options_of(version, about, where)
    form = form_of(model)
    shapes = shapes_of(form, request.batch, path=model)
    shape = _shape_option(form, shapes, model)
    device.require_space(3 * model.stat().st_size)
    device.send({"model.onnx": model, "runner.py": RUNNER})
    flags = (*request.flags, options.workspace.format(WORKSPACE_MIB), *shape)
    device.run_long(
        (program, "--onnx=model.onnx", "--saveEngine=model.plan", *flags, options.build_only),
        timeout_s=request.timeout_s,
    )
    loaded = (program, "--loadEngine=model.plan", *shape)
    checked = None if golden is None else _checked(device, loaded, form, (golden, model), request.batch)
    before = read_machine(device, request.python)
    timing = (
        *("--useSpinWait", f"--warmUp={WARMUP_MS}", f"--iterations={request.runs}", "--avgRuns=100"),
        f"--duration={round(request.seconds)}",
    )
    said = device.run_long((*loaded, *timing, "--exportTimes=times.json"), timeout_s=request.timeout_s)
    after = read_machine(device, request.python)
    trace = [one for one in _decoded(device, "times.json", tuple[_Inference, ...]) if one.start >= WARMUP_MS]
    if not trace:
        message = f"{where}: trtexec exported no times after its warm-up."
        raise DeviceError(message)
    return Run(
        runtime="tensorrt",
        version=".".join(map(str, version)),
        before=msgspec.structs.replace(before, busy_ticks=None),  # they would count trtexec as another process
        after=after,
        load_ms=load_ms_of(said.decode(errors="replace")),
        first_ms=None,
        warmup_ms=(),
        samples_ms=tuple(one.latency for one in trace),
        started_ms=tuple(round(one.start - trace[0].start, 3) for one in trace),
        providers=(TENSORRT,),
        peak_memory_bytes=None,
        inputs=shapes,
        golden=checked,
        profile=_profile(device, loaded, request) if request.profile else (),
        flags=(*flags, *timing[:1]),
        gpu_ms=tuple(one.compute for one in trace),
    )


def _shape_option(form: Form, shapes: dict[str, tuple[int, ...]], model: Path) -> tuple[str, ...]:
    """Return ``--shapes`` where a size is open; ConfigError for a name that trtexec would take apart."""
    if all(all(sizes) for _, sizes in form.inputs.values()):
        return ()
    _require_plain(form.inputs, model)
    return ("--shapes=" + ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()),)


def _require_plain(names: Iterable[str], model: Path) -> None:
    """Raise ConfigError for a name of an input that trtexec would take apart."""
    for name in names:
        if not _PLAIN.fullmatch(name):
            message = f"{model}: input {name!r}: trtexec reads colons, commas and quotes as its own; rename it."
            raise ConfigError(message)


def _checked(device: Device, loaded: Sequence[str], form: Form, files: tuple[Path, Path], batch: int) -> Golden:
    """Return how far the engine's answers are from the golden outputs, a run for each sample.

    *files*: the golden samples and the model.
    """
    golden, model = files
    _require_plain(form.inputs, model)
    samples, expected = golden_samples(form, golden, batch=batch)
    largest = 0.0
    for row, sample in enumerate(samples):
        with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
            paths = [Path(name) / f"input{number}" for number in range(len(sample))]
            for path, array in zip(paths, sample, strict=True):
                path.write_bytes(np.ascontiguousarray(array).tobytes())
            device.send({path.name: path for path in paths})
        given = ",".join(f"{key}:{path.name}" for key, path in zip(form.inputs, paths, strict=True))
        once = (f"--loadInputs={given}", "--warmUp=0", "--duration=0", "--iterations=1")
        device.run_long((*loaded, *once, "--exportOutput=output.json"), timeout_s=600.0)
        answers = {one.name: one for one in _decoded(device, "output.json", tuple[_Output, ...])}
        missing = [key for key in form.outputs if key not in answers]
        if missing:
            message = f"{device.way.where}: the engine has no output '{missing[0]}'."
            raise DeviceError(message)
        got = tuple(_array(answers[key]) for key in form.outputs)
        largest = max(
            largest, largest_difference(got, tuple(array[row * batch : (row + 1) * batch] for array in expected))
        )
    return Golden(samples=len(samples), largest_difference=largest)


def _array(output: _Output) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return an output as an array."""
    sizes = [int(size) for size in output.dimensions.split("x") if size]
    values = np.asarray(output.values, np.float64)
    return values.reshape(sizes) if values.size == np.prod(sizes, dtype=int) else values


def _profile(device: Device, loaded: Sequence[str], request: Request) -> tuple[Node, ...]:
    """Return the layers of a run of its own, since a profile slows every inference, the longest first."""
    words = (*loaded, "--useSpinWait", f"--warmUp={WARMUP_MS}", "--dumpProfile", "--exportProfile=profile.json")
    device.run_long(words, timeout_s=request.timeout_s)
    layers = [one for one in _decoded(device, "profile.json", tuple[_Layer, ...]) if one.name]
    rows = [Node(operator=one.name, provider=TENSORRT, calls=1, ms=one.average) for one in layers]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _decoded(device: Device, name: str, kind: type[_File]) -> _File:
    """Return the file *name* that trtexec wrote."""
    try:
        return msgspec.json.decode(device.fetch(name), type=kind)
    except msgspec.MsgspecError as error:
        message = f"{device.way.where}: trtexec's {name} cannot be read ({error})."
        raise DeviceError(message) from error
