"""What a target file holds: the device, its runtime, and what they mean for a network.

The descriptions are part of the JSON Schema, so editors show them beside the field.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

PrecisionName = Literal["fp32", "fp16", "int8"]
PlacementName = Literal["onnxruntime-arm64", "onnxruntime-armv8.0", "onnxruntime-x86", "qnn", "tensorrt"]
VerdictName = Literal["fast", "works", "size-only", "refused"]
Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Version = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)+$")]
CpuList = Annotated[str, Meta(pattern=r"^[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?)*$")]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a target file: every field is named, none can be misspelt."""


class Gpu(_Table, frozen=True, kw_only=True):
    """The graphics processor that the runtime uses."""

    name: Annotated[Text, Meta(description="Architecture, units and highest clock.")]
    compute_capability: Annotated[str, Meta(pattern=r"^[0-9]+\.[0-9]$", description="NVIDIA's number, such as 8.7.")]


class Cluster(_Table, frozen=True, kw_only=True):
    """CPU cores of one kind and one highest clock."""

    core: Annotated[Text, Meta(description="The name of its core, such as Cortex-A72.")]
    cores: Annotated[Count, Meta(description="How many cores it has.")]
    cpus: Annotated[CpuList, Meta(description="Their numbers in Linux, such as 0-3 or 0,3-5.")]
    clock_ghz: Annotated[float, Meta(gt=0, le=10, description="The highest clock in the power mode of all figures.")]
    dot_product: Annotated[
        bool, Meta(description="Sums four products of 8 bits at once: SDOT and UDOT on Arm, VNNI on x86.")
    ]
    fp16_arithmetic: Annotated[bool, Meta(description="Computes, not only converts, in half precision.")]
    i8mm: Annotated[bool, Meta(description="Multiplies matrices of 8 bits: SMMLA and UMMLA on Arm, AMX-INT8 on x86.")]


class Identity(_Table, frozen=True, kw_only=True):
    """How a machine shows that it is this device: whatever is given here must hold, and the architecture too."""

    system: Annotated[
        Literal["Android", "Linux"] | None, Meta(description="The operating system, where the device is one with it.")
    ] = None
    device_tree: Annotated[
        Texts | None,
        Meta(
            description="Of a board: regular expressions, one of which matches a whole entry of "
            "/proc/device-tree/compatible, or the model there. Then the CPUs must be as many as those of the clusters.",
        ),
    ] = None
    cores: Annotated[
        Texts | None,
        Meta(
            description="Of a class of devices: the cores, by /proc/cpuinfo, that a measurement must stay on.",
        ),
    ] = None
    beside: Annotated[
        tuple[Text, ...], Meta(description="Of a class: the kinds of cores that it may have beside those.")
    ] = ()


class Device(_Table, frozen=True, kw_only=True):
    """The board. All figures of the file are for *power_mode*, one of *power_modes*."""

    soc: Annotated[Text, Meta(description="The system on a chip.")]
    architecture: Annotated[
        Literal["aarch64", "x86_64"], Meta(description="The instruction set of its CPU, as uname -m prints it.")
    ]
    clusters: Annotated[
        Mapping[Name, Cluster],
        Meta(min_length=1, description="Its CPU cores: a table for each kind, under a name such as big or little."),
    ]
    memory_gib: Annotated[Positive, Meta(description="Memory in GiB.")]
    memory_bandwidth_gb_per_s: Annotated[Positive, Meta(description="Theoretical peak in 10^9 bytes per second.")]
    power_mode: Annotated[Text, Meta(description="The one of power_modes that all figures are for.")]
    power_modes: Annotated[
        Mapping[Text, Text], Meta(min_length=1, description="What each mode sets, by its name: clocks, cores, watts.")
    ]
    gpu: Annotated[Gpu | None, Meta(description="Absent where the runtime uses none.")] = None
    identity: Annotated[
        Identity | None,
        Meta(
            description="How a machine shows that it is this device; without it no measurement is called the target's."
        ),
    ] = None

    @property
    def cpus(self) -> int:
        """Return how many CPUs all clusters have."""
        return sum(cluster.cores for cluster in self.clusters.values())


class Runtime(_Table, frozen=True, kw_only=True):
    """What runs the file. *opset* and *ir_version* are what edgekd writes, *max_...* what the runtime accepts."""

    name: Annotated[Literal["onnxruntime", "tensorrt"], Meta(description="The runtime.")]
    version: Annotated[Version, Meta(description="The release on the device.")]
    operator_list: Annotated[
        Version,
        Meta(
            description="The release whose list of operators the files keep to: this one or an older one. The lists "
            "are in edgekd/export/operator_lists.py."
        ),
    ]
    execution_provider: Annotated[
        Literal["CPUExecutionProvider", "QNNExecutionProvider", "TensorrtExecutionProvider"],
        Meta(description="The execution provider of ONNX Runtime that computes there."),
    ]
    opset: Annotated[Count, Meta(description="The opset that edgekd writes.")]
    max_opset: Annotated[Count, Meta(description="The newest opset that the runtime loads.")]
    ir_version: Annotated[Count, Meta(description="The IR version that edgekd writes.")]
    max_ir_version: Annotated[Count, Meta(description="The newest IR version that the runtime loads.")]
    input_layout: Annotated[Literal["NCHW", "NHWC"], Meta(description="The order of an image's axes it prefers.")]
    input_dtype: Annotated[
        Literal["float32", "float16", "uint8"], Meta(description="The type of input numbers it prefers.")
    ]
    python: Annotated[
        Version | None, Meta(description="The Python that the system brings; absent where it brings none, as Android.")
    ] = None


class Verdict(_Table, frozen=True, kw_only=True):
    """How one precision fares on the device, and *why*."""

    verdict: Annotated[
        VerdictName,
        Meta(
            description="fast: its arithmetic is native and quick. works: it runs, with little or no gain. "
            "size-only: the file shrinks, the latency does not. refused: it cannot be built, or must not be."
        ),
    ]
    why: Annotated[Text, Meta(description='The reason; of a refused one it goes on after "INT8 asked, but".')]


class Precision(_Table, frozen=True, kw_only=True):
    """What is shipped when nothing else is asked for, and how each precision fares."""

    default: Annotated[PrecisionName, Meta(description="The precision that ships when nothing else is asked for.")]
    fp32: Annotated[Verdict, Meta(description="Single precision.")]
    fp16: Annotated[Verdict, Meta(description="Half precision.")]
    int8: Annotated[Verdict, Meta(description="8-bit integers between Q/DQ pairs.")]


class Quantization(_Table, frozen=True, kw_only=True):
    """Which rules place the Q/DQ pairs."""

    placement: Annotated[PlacementName, Meta(description="The rules of the runtime's kernels.")]


class Channels(_Table, frozen=True, kw_only=True):
    """How many channels the kernels like."""

    multiple: Annotated[Count, Meta(description="Pruned layers keep a multiple of this many channels.")]


class Cost(_Table, frozen=True, kw_only=True):
    """A rough price of a layer: ``MACs / gmacs_per_s``, plus what each number it writes and the layer itself cost.

    It decides which layers are split where no published points do: on a GPU, or on a CPU that none is like.
    """

    gmacs_per_s: Annotated[Positive, Meta(description="10^9 multiply-accumulates per second.")]
    ns_per_activation: Annotated[
        NotNegative, Meta(description="Nanoseconds for each number that a layer writes, and the next one reads.")
    ]
    layer_overhead_us: Annotated[NotNegative, Meta(description="Microseconds for each layer.")]


class Flags(_Table, frozen=True, kw_only=True):
    """What replaces ``{flags}`` in the build command, for each precision."""

    fp32: Annotated[str, Meta(description="For an FP32 file.")]
    fp16: Annotated[str, Meta(description="For an FP16 file.")]
    int8: Annotated[str, Meta(description="For a file with Q/DQ pairs.")]


class ThrottleCheck(_Table, frozen=True, kw_only=True):
    """How to see that the device slowed itself down: *command* is run before and after the measurement."""

    command: Annotated[Text, Meta(description="Prints whether the device is, or was, slowed down.")]
    reading: Annotated[Text, Meta(description="How to read what it prints.")]
    unthrottled: Annotated[
        Text | None,
        Meta(
            description="A regular expression that all it prints matches when nothing is slowed down. Absent where "
            "only a difference between before and after tells."
        ),
    ] = None


class Benchmark(_Table, frozen=True, kw_only=True):
    """How to measure on the device. All commands run there.

    In *time_command* ``{threads}``, ``{runs}`` and ``{mask}`` (the cluster's CPUs as a hexadecimal mask, for
    taskset) stand for the other fields.
    """

    cluster: Annotated[Name, Meta(description="The one of device.clusters that the threads stay on.")]
    threads: Annotated[Count, Meta(description="Threads within an operator, at most the cluster's cores.")]
    warmup_runs: Annotated[Count, Meta(description="Runs before the first that counts.")]
    runs: Annotated[Count, Meta(description="Runs that count.")]
    cool_down_s: Annotated[NotNegative, Meta(description="Seconds of rest before each measurement.")]
    prepare_command: Annotated[Text, Meta(description="Sets power mode and clocks.")]
    throttle_check: Annotated[ThrottleCheck, Meta(description="How to see that the device slowed itself down.")]
    time_command: Annotated[
        Text, Meta(description="Measures the file: {model}, {threads}, {runs} and {mask} are replaced.")
    ]
    build_command: Annotated[
        Text | None,
        Meta(description="Builds an engine: {model} and {flags} are replaced. Absent where none is needed."),
    ] = None
    flags: Annotated[Flags | None, Meta(description="Absent where the build command has no {flags}.")] = None


class Budgets(_Table, frozen=True, kw_only=True):
    """What the shipped file may cost. A recipe may change it."""

    size_kb: Annotated[Positive, Meta(description="Its size in kB of 1000 bytes.")]
    drop_points: Annotated[NotNegative, Meta(description="Points of accuracy lost to the teacher.")]
    latency_ms: Annotated[Positive, Meta(description="The median latency on the device in milliseconds.")]


class Source(_Table, frozen=True, kw_only=True):
    """Where facts come from."""

    facts: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="Dotted names, such as device.soc; naming a table covers all that it holds."),
    ]
    kind: Annotated[
        Literal["published", "derived", "assumption", "choice"],
        Meta(
            description="published: text names who printed it where. derived: text shows the arithmetic or the run. "
            "assumption: nobody printed it, text is the reasoning. choice: text says why edgekd chose so."
        ),
    ]
    text: Annotated[Text, Meta(description="The source itself, as its kind demands.")]
    read: Annotated[date, Meta(description="The day it was read, or the reasoning or choice made.")]


class Target(_Table, frozen=True, kw_only=True):
    """A device with its runtime, every fact with its source. Stages never see it, only numbers from it."""

    name: Annotated[Name, Meta(description="What --target takes; the file has the same name.")]
    title: Annotated[Text, Meta(description="The device with its system, as people say it.")]
    device: Annotated[Device, Meta(description="The board.")]
    runtime: Annotated[Runtime, Meta(description="What runs the file.")]
    precision: Annotated[Precision, Meta(description="What is shipped, and how each precision fares.")]
    channels: Annotated[Channels, Meta(description="How many channels the kernels like.")]
    cost: Annotated[Cost, Meta(description="A rough price of a layer, for where no published points give one.")]
    benchmark: Annotated[Benchmark, Meta(description="How to measure on the device.")]
    budgets: Annotated[Budgets, Meta(description="What the shipped file may cost.")]
    sources: Annotated[tuple[Source, ...], Meta(description="Where the facts come from, each in exactly one entry.")]
    quantization: Annotated[
        Quantization | None, Meta(description="Which rules place the Q/DQ pairs; absent where INT8 is refused.")
    ] = None

    @property
    def cluster(self) -> Cluster:
        """Return the CPU cores that measurements run on."""
        return self.device.clusters[self.benchmark.cluster]
