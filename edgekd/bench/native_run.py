"""Measure without Python: the emulator's own program, ONNX Runtime and C library, which need a Linux kernel only.

A phone's shell runs them as they are: /data/local/tmp may execute files, and a program that brings its loader needs no
library of Android's.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgekd.bench.connection import Device
from edgekd.bench.device_errors import DeviceError, NoRuntimeError
from edgekd.bench.emulator import Emulator
from edgekd.bench.inputs import form_of, golden_samples, largest_difference, random_sample
from edgekd.bench.measurement import Golden, Node, Reading, Run
from edgekd.bench.phone import read_phone
from edgekd.bench.raw_tensors import AnyArrays, RawTensor, parse_description, read_outputs, write_samples
from edgekd.bench.request import CPU, Request
from edgekd.bench.runner import PROFILED_RUNS, profile
from edgekd.core.errors import ConfigError

LIBRARIES: Final = (
    *("ld-linux-aarch64.so.1", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0"),
    *("librt.so.1", "libstdc++.so.6"),
)
_LOADER: Final = ("./ld-linux-aarch64.so.1", "--library-path", ".")


def run_native(device: Device, model: Path, golden: Path | None, request: Request, emulator: Emulator) -> Run:
    """Return what the program measures of *model* on *device*, a 64-bit ARM one.

    Raises ConfigError for what it cannot do, NoRuntimeError on another processor, DeviceError where it fails there.
    """
    if request.provider != CPU:
        message = f"{device.way.where}: {request.provider} asked, but what runs on a phone has {CPU} only."
        raise ConfigError(message)
    before, fastest = read_phone(device)
    if before.machine != "aarch64":
        message = f"{device.way.where}: its processor is {before.machine!r}, the program that measures is for aarch64."
        raise NoRuntimeError(message)
    form = form_of(model)
    if golden is None:
        samples: tuple[AnyArrays, ...] = (random_sample(form, request.batch, path=model),)
        expected = None
    else:
        samples, expected = golden_samples(form, golden, batch=request.batch)
    cores = tuple(sorted(fastest[: request.threads])) if request.cores is None else request.cores
    kinds = _send_all(device, model, samples, emulator)
    before, _ = read_phone(device)  # again, after the pushing
    words = _words(kinds, request, cores)
    timing = ("--times", "times", "--warmup", str(request.warmup_runs), "--runs", str(request.runs))
    seconds = ("--seconds", str(round(request.seconds)))
    described = device.run_long((*_LOADER, "./run_model", *words, *timing, *seconds), timeout_s=request.timeout_s)
    times = _Times.read(device.fetch("times").decode(), device.way.where)
    after, _ = read_phone(device)
    answers = _answers(device, described, len(samples))
    return Run(
        runtime="onnxruntime",
        version=emulator.versions.onnxruntime,
        before=before,
        after=msgspec.structs.replace(after, own_ticks=round(times.one("own_ms") / 10)),
        load_ms=times.one("load_ms"),
        first_ms=times.one("first_ms"),
        warmup_ms=tuple(row[0] for row in times.rows["warmup"]),
        samples_ms=tuple(row[1] for row in times.rows["sample"]),
        started_ms=tuple(row[0] for row in times.rows["sample"]),
        readings=tuple(
            Reading(started_ms=row[0], clocks_khz=tuple(map(int, row[1:]))) for row in times.rows["reading"]
        ),
        providers=(CPU,),
        peak_memory_bytes=max(0, round(1024 * (times.one("peak_kb") - times.one("resting_kb")))),
        inputs={name: array.shape for name, array in zip(form.inputs, samples[0], strict=True)},
        cores=cores or None,
        golden=None if expected is None else _checked(answers, expected, len(samples)),
        profile=_profile(device, words, request, len(samples)) if request.profile else (),
    )


def _send_all(device: Device, model: Path, samples: Sequence[AnyArrays], emulator: Emulator) -> tuple[RawTensor, ...]:
    """Send the program with its libraries, the model and the samples; return what each input is."""
    libraries = [emulator.folder / "root" / "lib" / name for name in LIBRARIES]
    programs = [emulator.folder / "run_model", emulator.folder / "libonnxruntime.so.1", *libraries]
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        raw = Path(name) / "samples"
        kinds = write_samples(samples, raw)
        device.require_space(sum(path.stat().st_size for path in (*programs, model, raw)))
        device.send({path.name: path for path in programs} | {"model.onnx": model, "samples": raw})
    device.run(("chmod", "755", device.path("run_model"), device.path(LIBRARIES[0])))
    return kinds


def _words(kinds: Sequence[RawTensor], request: Request, cores: Sequence[int]) -> tuple[str, ...]:
    """Return the program's options, but for the timing."""
    return (
        *("--model", "model.onnx", "--samples", "samples", "--outputs", "outputs", "--threads", str(request.threads)),
        *("--batch", str(request.batch)),
        *(word for kind in kinds for word in ("--input", str(kind))),
        *(word for core in cores for word in ("--core", str(core))),
    )


def _answers(device: Device, described: bytes, samples: int) -> AnyArrays:
    """Return every output of all samples."""
    kinds = tuple(kind for _, kind in parse_description(described))
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        path = Path(name) / "outputs"
        path.write_bytes(device.fetch("outputs"))
        return read_outputs(path, kinds, samples)


def _checked(answers: AnyArrays, expected: AnyArrays, samples: int) -> Golden:
    """Return how far the answers are from the golden outputs."""
    return Golden(samples=samples, largest_difference=largest_difference(answers, expected))


def _profile(device: Device, words: Sequence[str], request: Request, samples: int) -> tuple[Node, ...]:
    """Return the profile of a process of its own, over all samples."""
    runs = max(1, min(PROFILED_RUNS, request.runs) // samples)
    device.run_long(
        (*_LOADER, "./run_model", *words, "--profile", "profile", "--repeats", str(runs)), timeout_s=request.timeout_s
    )
    trace = device.run(("sh", "-c", 'cat "$1"/profile*.json', "sh", device.folder))
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        path = Path(name) / "profile.json"
        path.write_bytes(trace)
        rows = profile(path, runs * samples)  # type: ignore[no-untyped-call] # it runs on Python 3.6 too
        return msgspec.convert(rows, tuple[Node, ...])


class _Times(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of the program's file of times: numbers by their name."""

    rows: Mapping[str, tuple[tuple[float, ...], ...]]
    where: str

    @classmethod
    def read(cls, text: str, where: str) -> "_Times":
        """Return them from *text*."""
        rows: dict[str, list[tuple[float, ...]]] = {"warmup": [], "sample": [], "reading": []}
        for line in text.splitlines():
            name, *numbers = line.split()
            rows.setdefault(name, []).append(tuple(map(float, numbers)))
        return cls(rows={name: tuple(found) for name, found in rows.items()}, where=where)

    def one(self, name: str) -> float:
        """Return the only number of that name."""
        if len(self.rows.get(name, ())) != 1:
            message = f"{self.where}: the times that came back lack {name}; is the disk full there?"
            raise DeviceError(message)
        return self.rows[name][0][0]
