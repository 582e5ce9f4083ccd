"""What a target file holds: the device, its runtime, and what they mean for a network."""

from datetime import date
from typing import Annotated, Literal

import msgspec

PrecisionName = Literal["fp32", "fp16", "int8"]
PlacementName = Literal["onnxruntime-arm64", "onnxruntime-armv8.0", "onnxruntime-x86", "qnn", "tensorrt"]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)+$")]
Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a target file: every field is named, none can be misspelt."""


class Gpu(_Table, frozen=True, kw_only=True):
    """The graphics processor that the runtime uses."""

    name: Text
    compute_capability: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]$")]


class Device(_Table, frozen=True, kw_only=True):
    """The board. *core* is the name of its CPU core, such as Cortex-A72; *cores* is how many it has.

    The three capabilities are the core's: *dot_product* the SDOT and UDOT instructions, *fp16_arithmetic*
    computing (not only converting) in half precision, *i8mm* the int8 matrix instructions.
    """

    soc: Text
    core: Text
    cores: Count
    clock_ghz: Positive
    dot_product: bool
    fp16_arithmetic: bool
    i8mm: bool
    memory_gib: Positive
    memory_bandwidth_gb_per_s: Positive
    power_mode: Text
    gpu: Gpu | None = None


class Runtime(_Table, frozen=True, kw_only=True):
    """What runs the file. *opset* and *ir_version* are what edgekd writes, the others what it accepts."""

    name: Literal["onnxruntime", "tensorrt"]
    version: Version
    execution_provider: Literal["CPUExecutionProvider", "QNNExecutionProvider", "TensorrtExecutionProvider"]
    opset: Count
    max_opset: Count
    ir_version: Count
    max_ir_version: Count
    python: Version


class Verdict(_Table, frozen=True, kw_only=True):
    """How one precision fares on the device, and *why*.

    ``fast``: its arithmetic is native and quick. ``works``: it runs, with little or no gain. ``size-only``:
    the file shrinks, the latency does not. ``refused``: it cannot be built, or must not be; *why* then goes
    on after "INT8 asked, but".
    """

    verdict: Literal["fast", "works", "size-only", "refused"]
    why: Text


class Precision(_Table, frozen=True, kw_only=True):
    """What is shipped when nothing else is asked for, and how each precision fares."""

    default: PrecisionName
    fp32: Verdict
    fp16: Verdict
    int8: Verdict


class Quantization(_Table, frozen=True, kw_only=True):
    """Which rules place the Q/DQ pairs."""

    placement: PlacementName


class Channels(_Table, frozen=True, kw_only=True):
    """Pruned layers keep a multiple of this many channels."""

    multiple: Count


class Cost(_Table, frozen=True, kw_only=True):
    """A rough price of a layer: ``MACs / gmacs_per_s``, plus what each number it writes and the layer itself cost."""

    gmacs_per_s: Positive
    ns_per_activation: NotNegative
    layer_overhead_us: NotNegative


class Flags(_Table, frozen=True, kw_only=True):
    """What replaces ``{flags}`` in the build command, for each precision."""

    fp32: str
    fp16: str
    int8: str


class Benchmark(_Table, frozen=True, kw_only=True):
    """How to measure on the device. In the commands ``{model}`` stands for the file that ships."""

    threads: Count
    warmup_runs: Count
    runs: Count
    prepare_command: Text
    time_command: Text
    build_command: Text | None = None
    flags: Flags | None = None


class Budgets(_Table, frozen=True, kw_only=True):
    """What the shipped file may cost: 1 kB is 1000 bytes; *drop_points* is lost to the teacher's accuracy."""

    size_kb: Positive
    drop_points: NotNegative
    latency_ms: Positive


class Source(_Table, frozen=True, kw_only=True):
    """Where facts come from. A fact is a dotted name; naming a table covers all that it holds.

    ``published``: *text* names who printed it where. ``derived``: *text* shows the arithmetic or the run.
    ``assumption``: nobody printed it; *text* is the reasoning. ``choice``: *text* says why edgekd chose so.
    *read* is the day the source was read, or the reasoning or choice made.
    """

    facts: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    kind: Literal["published", "derived", "assumption", "choice"]
    text: Text
    read: date


class Target(_Table, frozen=True, kw_only=True):
    """A device with its runtime, every fact with its source. Stages never see it, only numbers from it."""

    name: Name
    title: Text
    device: Device
    runtime: Runtime
    precision: Precision
    channels: Channels
    cost: Cost
    benchmark: Benchmark
    budgets: Budgets
    sources: tuple[Source, ...]
    quantization: Quantization | None = None
