"""Measurements in words and as a table: what was measured, what speaks against it, what was measured before."""

import csv
import io
from collections.abc import Iterator, Sequence

from edgekd.bench.criticism import criticism
from edgekd.bench.emulated import Emulation
from edgekd.bench.history import comparable
from edgekd.bench.measurement import Measurement
from edgekd.bench.protocol import Protocol
from edgekd.core.units import count, memory, milliseconds, size

_MOST_NODES = 12
_SHOWN = (("median", "median_ms"), ("p90", "p90_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"), ("minimum", "minimum_ms"))


def told(found: Measurement, protocol: Protocol | None) -> Iterator[str]:
    """Yield the lines about one measurement."""
    said, run = found.summary(), found.run
    cores = "" if run.cores is None else f" on cores {', '.join(map(str, run.cores))}"
    yield f"{found.model} ({size(found.size_bytes)}) on {found.where}: {run.before.cpu},"
    flags = f" {' '.join(run.flags)}" if run.flags else ""
    used = f"{run.providers[0]}{flags}"
    yield f"{run.runtime} {run.version}, {used}, threads: {found.threads}{cores}, batch {found.batch}."
    shapes = (f"'{name}' [{','.join(map(str, sizes))}]" for name, sizes in run.inputs.items())
    yield f"Inputs: {', '.join(shapes) or 'none'}."
    times = ", ".join(f"{name} {milliseconds(said[key] or 0.0)}" for name, key in _SHOWN)
    yield f"{times}; n = {len(run.samples_ms)}. Measured, not estimated."
    told_once = (
        None if run.load_ms is None else f"load {milliseconds(run.load_ms)}",
        None if run.first_ms is None else f"first inference {milliseconds(run.first_ms)}",
        f"{said['samples_per_s']:.4g} samples/s",
        None if run.peak_memory_bytes is None else f"peak memory {memory(run.peak_memory_bytes)}",
    )
    yield ", ".join(part for part in told_once if part is not None)
    if len(minutes := found.by_minute_ms()) > 1:
        yield f"minute by minute {', '.join(map(milliseconds, minutes))}; drift {said['drift']:+.1%}"
    if run.golden is not None:
        judged = "" if run.golden.tolerance is None else f", {run.golden.tolerance:.3g} allowed"
        off = f"off by {run.golden.largest_difference:.3g} at most{judged}"
        yield f"answers to {run.golden.samples} golden samples {off}"
    for node in run.profile[:_MOST_NODES]:
        yield f"  {node.operator}: {node.calls:g} in an inference, {node.ms:.3f} ms"
    against = list(criticism(found))
    if protocol is not None and found.not_target is not None:
        name = protocol.name
        against.append(f"this is not shown to be {name}: {found.not_target}; the figures say nothing about {name}")
    elif protocol is not None and against:
        against.append(f"{protocol.name} is prepared there, by hand, with: {protocol.prepare}")
    yield from (f"beware: {sentence}." for sentence in against)


def told_before(earlier: Sequence[Measurement], found: Measurement) -> Iterator[str]:
    """Yield a line about each measurement of before."""
    for one in earlier:
        why = comparable(one, found)
        median = milliseconds(one.summary()["median_ms"] or 0.0)
        other = "" if one.model_sha256 == found.model_sha256 else " (another file of this name)"
        yield f"before, {one.date}{other}: " + (
            f"not comparable: {why}" if why else f"median {median}, n = {len(one.run.samples_ms)}"
        )


def told_history(found: Sequence[Measurement]) -> Iterator[str]:
    """Yield a line about each measurement: only those of one file and one fingerprint can be compared."""
    for one in found:
        median = milliseconds(one.summary()["median_ms"] or 0.0)
        threw = "" if one.refused is None else f"; it throttled: {one.refused}"
        yield (
            f"{one.date}: {one.model} ({one.model_sha256[:12]}) on {one.where}, {one.run.before.cpu}, threads: "
            f"{one.threads}, batch {one.batch}: median {median}, n = {len(one.run.samples_ms)}{threw}"
        )


def told_emulation(found: Emulation) -> Iterator[str]:
    """Yield the lines about an emulated file. There is no time among them."""
    yield (
        f"{found.model} ({size(found.size_bytes)}) on an emulated {found.core}: ONNX Runtime "
        f"{found.versions.onnxruntime}, QEMU {found.versions.qemu}, one thread. Counted: it says "
        "nothing about time."
    )
    classes = {name: getattr(found.instructions, name) for name in found.instructions.__struct_fields__}
    total = classes.pop("total")
    parts = ", ".join(f"{name} {number / total:.1%}" for name, number in classes.items() if number)
    yield f"{count(total)} instructions in an inference: {parts}"
    if found.golden is not None:
        judged = "" if found.golden.tolerance is None else f", {found.golden.tolerance:.3g} allowed"
        off = f"off by {found.golden.largest_difference:.3g} at most{judged}"
        yield f"answers to {found.golden.samples} golden samples {off}"


def csv_of(found: Sequence[Measurement]) -> str:
    """Return the raw samples, a row for each."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["model", "where", "threads", "batch", "started_ms", "latency_ms"])
    for one in found:
        for started, taken in zip(one.run.started_ms, one.run.samples_ms, strict=True):
            writer.writerow([one.model, one.where, one.threads, one.batch, started, taken])
    return lines.getvalue()
