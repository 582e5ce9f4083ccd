"""Facts of a target file that cannot both be true."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from edgekd.core.errors import ConfigError
from edgekd.targets.core_parts import CORE_PARTS
from edgekd.targets.cpus import cpu_numbers
from edgekd.targets.facts import Target
from edgekd.targets.limits import (
    core_limits,
    runtime_limits,
    tensorrt_has_fp16,
    tensorrt_has_int8,
    version_numbers,
)

Clash = tuple[str, object, str, object, str]


def require_consistent(target: Target, *, where: str) -> None:
    """Raise ConfigError for the first pair of facts that contradict each other, naming both fields."""
    for check in _CHECKS:
        for field, value, other_field, other_value, reason in check(target):
            pair = f"{field} = {_toml(value)} contradicts {other_field} = {_toml(other_value)}"
            message = f"{where}: {pair}: {reason}."
            raise ConfigError(message)


def _precision(target: Target) -> Iterator[Clash]:
    """Yield precisions that the processor cannot have."""
    default = target.precision.default
    chosen = getattr(target.precision, default)
    if chosen.verdict == "refused":
        yield (
            *("precision.default", default, f"precision.{default}.verdict", chosen.verdict),
            "what is refused cannot be shipped; choose another default",
        )
    if target.runtime.execution_provider != "CPUExecutionProvider":
        return
    where = f"device.clusters.{target.benchmark.cluster}"
    if target.precision.fp16.verdict == "fast" and not target.cluster.fp16_arithmetic:
        yield (
            *("precision.fp16.verdict", "fast", f"{where}.fp16_arithmetic", False),
            'a CPU that cannot compute in half precision gains no time from it; say "size-only"',
        )
    if target.precision.int8.verdict == "fast" and not target.cluster.dot_product:
        yield (
            *("precision.int8.verdict", "fast", f"{where}.dot_product", False),
            'without a dot product integers gain little; say "works"',
        )


def _tensorrt_precision(target: Target) -> Iterator[Clash]:
    """Yield precisions that TensorRT cannot build for the GPU."""
    gpu = target.device.gpu
    if target.runtime.name != "tensorrt":
        return
    if gpu is None:
        yield "runtime.name", "tensorrt", "device.gpu", None, "TensorRT needs an NVIDIA GPU; add [device.gpu]"
        return
    capability = ("device.gpu.compute_capability", gpu.compute_capability)
    int8, fp16 = target.precision.int8.verdict, target.precision.fp16.verdict
    if int8 != "refused" and not tensorrt_has_int8(gpu.compute_capability):
        yield (
            *("precision.int8.verdict", int8, *capability),
            'TensorRT has INT8 from compute capability 6.1 on, except 6.2; say "refused"',
        )
    if fp16 == "fast" and not tensorrt_has_fp16(gpu.compute_capability):
        yield (
            *("precision.fp16.verdict", fp16, *capability),
            "TensorRT has fast FP16 on 5.3, 6.0, 6.2 and from 7.0 on",
        )


def _cores(target: Target) -> Iterator[Clash]:
    """Yield what a CPU core does not have in any revision, and clusters whose CPUs cannot be as they are listed."""
    owners: dict[int, str] = {}
    for name, cluster in target.device.clusters.items():
        where = f"device.clusters.{name}"
        limits = core_limits(cluster.core)
        for feature in ("dot_product", "fp16_arithmetic", "i8mm"):
            if limits is not None and getattr(cluster, feature) and not getattr(limits, feature):
                yield f"{where}.{feature}", True, f"{where}.core", cluster.core, "this core has none; say false"
        if cluster.i8mm and not cluster.dot_product:
            yield (
                *(f"{where}.i8mm", True, f"{where}.dot_product", False),
                "every core with matrix products has the dot product too",
            )
        numbers = cpu_numbers(cluster.cpus)
        if len(set(numbers)) != cluster.cores:
            yield f"{where}.cores", cluster.cores, f"{where}.cpus", cluster.cpus, f"that is {len(set(numbers))} of them"
        for other in {owners[number] for number in numbers if number in owners}:
            cpus = target.device.clusters[other].cpus
            yield f"{where}.cpus", cluster.cpus, f"device.clusters.{other}.cpus", cpus, "a CPU is in one cluster alone"
        owners |= dict.fromkeys(numbers, name)


def _modes(target: Target) -> Iterator[Clash]:
    """Yield names of clusters and power modes that the device does not have."""
    for field, name, table, names in (
        ("benchmark.cluster", target.benchmark.cluster, "device.clusters", target.device.clusters),
        ("device.power_mode", target.device.power_mode, "device.power_modes", target.device.power_modes),
    ):
        if name not in names:
            yield field, name, table, ", ".join(names), "it must be one of them"


def _threads(target: Target) -> Iterator[Clash]:
    """Yield more threads than can run at once on the cores that are measured."""
    threads, clusters = target.benchmark.threads, target.device.clusters
    total = sum(cluster.cores for cluster in clusters.values())
    if threads <= target.cluster.cores:
        return
    if threads > total:
        reason = f"the device has {total} cores; more threads wait for each other"
    else:
        reason = "threads that span clusters wait for the slowest core; keep them on one"
    field = f"device.clusters.{target.benchmark.cluster}.cores"
    yield "benchmark.threads", threads, field, target.cluster.cores, reason


def _versions(target: Target) -> Iterator[Clash]:
    """Yield opsets, IR versions and operators that are beyond what the runtime takes."""
    runtime = target.runtime
    if version_numbers(runtime.operator_list) > version_numbers(runtime.version):
        yield (
            *("runtime.operator_list", runtime.operator_list, "runtime.version", runtime.version),
            "a newer release's list names operators that this one does not have",
        )
    limits = runtime_limits(runtime.name, runtime.version)
    for name in ("opset", "ir_version"):
        written, accepted = getattr(runtime, name), getattr(runtime, f"max_{name}")
        limit = getattr(limits, name, None)
        if written > accepted:
            yield (
                *(f"runtime.{name}", written, f"runtime.max_{name}", accepted),
                "edgekd would write files that the runtime cannot read",
            )
        if limit is not None and accepted > limit:
            yield (
                *(f"runtime.max_{name}", accepted, "runtime.version", runtime.version),
                f"{runtime.name} {runtime.version} takes at most {limit}",
            )


def _quantization(target: Target) -> Iterator[Clash]:
    """Yield placements that are missing, useless, or another runtime's."""
    verdict = ("precision.int8.verdict", target.precision.int8.verdict)
    refused = target.precision.int8.verdict == "refused"
    if target.quantization is None:
        if not refused:
            yield "quantization", None, *verdict, "where INT8 runs, [quantization] says how Q/DQ is placed"
        return
    placement = ("quantization.placement", target.quantization.placement)
    if refused:
        yield *placement, *verdict, "nothing is quantized where INT8 is refused; remove [quantization]"
    elif target.quantization.placement not in _PLACEMENTS[target.runtime.execution_provider]:
        expected = " or ".join(map(_toml, _PLACEMENTS[target.runtime.execution_provider]))
        provider = ("runtime.execution_provider", target.runtime.execution_provider)
        yield *placement, *provider, f"this provider's placement is {expected}"
    elif _ARCHITECTURES.get(target.quantization.placement, target.device.architecture) != target.device.architecture:
        yield (
            *(*placement, "device.architecture", target.device.architecture),
            "kernels of the other architecture leave what it places in float",
        )


def _commands(target: Target) -> Iterator[Clash]:
    """Yield commands and providers that do not suit the runtime."""
    runtime, benchmark = ("runtime.name", target.runtime.name), target.benchmark
    provider = target.runtime.execution_provider
    if provider not in _PROVIDERS[target.runtime.name]:
        expected = " or ".join(map(_toml, _PROVIDERS[target.runtime.name]))
        yield "runtime.execution_provider", provider, *runtime, f"this runtime's provider is {expected}"
    if target.runtime.name == "tensorrt" and benchmark.build_command is None:
        yield "benchmark.build_command", None, *runtime, "TensorRT runs engines, which a command must build"
    if benchmark.flags is not None and "{flags}" not in (benchmark.build_command or ""):
        yield (
            *("benchmark.flags", benchmark.flags, "benchmark.build_command", benchmark.build_command),
            "the command has no {flags} to replace",
        )
    for name in ("build_command", "time_command"):
        command = getattr(benchmark, name)
        if command is not None and "{model}" not in command:
            yield f"benchmark.{name}", command, *runtime, "the command must say {model} where the file goes"


def _throttling(target: Target) -> Iterator[Clash]:
    """Yield a pattern that no output can be compared with."""
    check = target.benchmark.throttle_check
    try:
        re.compile(check.unthrottled or "")
    except re.error as error:
        where = "benchmark.throttle_check"
        yield f"{where}.unthrottled", check.unthrottled, f"{where}.command", check.command, f"no pattern: {error}"


def _identity(target: Target) -> Iterator[Clash]:
    """Yield what recognises every machine, or none."""
    identity, where = target.device.identity, "device.identity"
    architecture = ("device.architecture", target.device.architecture)
    if identity is None:
        return
    if identity.system is None and identity.device_tree is None and identity.cores is None:
        yield where, None, *architecture, "any such machine would be recognised; say system, device_tree or cores"
    if identity.cores is None and identity.beside:
        yield f"{where}.beside", identity.beside, f"{where}.cores", None, "say which cores a measurement must stay on"
    for pattern in identity.device_tree or ():
        try:
            re.compile(pattern)
        except re.error as error:
            yield f"{where}.device_tree", pattern, "device.soc", target.device.soc, f"no pattern: {error}"
    for field, cores in (("cores", identity.cores or ()), ("beside", identity.beside)):
        for core in sorted(set(cores) - set(CORE_PARTS.values())):
            why = "edgekd knows no part number of it (edgekd/targets/core_parts.py), so nothing would be recognised"
            yield f"{where}.{field}", core, *architecture, why


def _identity_cores(target: Target) -> Iterator[Clash]:
    """Yield a class of devices that the target's own cores are not of."""
    identity, where = target.device.identity, "device.identity"
    if identity is None or identity.cores is None:
        return
    measured = (f"device.clusters.{target.benchmark.cluster}.core", target.cluster.core)
    if target.cluster.core not in identity.cores:
        yield f"{where}.cores", ", ".join(identity.cores), *measured, "the cores that are measured must be among them"
    known = (*identity.cores, *identity.beside)
    for name, cluster in target.device.clusters.items():
        if cluster.core not in known:
            own = (f"device.clusters.{name}.core", cluster.core)
            yield f"{where}.beside", ", ".join(identity.beside), *own, "the target's own device would not be recognised"


def _toml(value: object) -> str:
    """Return *value* as TOML writes it."""
    words = {None: "(absent)", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f'"{value}"' if isinstance(value, str) else str(value)


_PLACEMENTS: Final = {
    "CPUExecutionProvider": ("onnxruntime-arm64", "onnxruntime-armv8.0", "onnxruntime-x86"),
    "QNNExecutionProvider": ("qnn",),
    "TensorrtExecutionProvider": ("tensorrt",),
}
_ARCHITECTURES: Final = {
    "onnxruntime-arm64": "aarch64",
    "onnxruntime-armv8.0": "aarch64",
    "onnxruntime-x86": "x86_64",
}
_PROVIDERS: Final = {
    "onnxruntime": ("CPUExecutionProvider", "QNNExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider",),
}
_CHECKS: Final[tuple[Callable[[Target], Iterator[Clash]], ...]] = (
    _modes,
    _cores,
    _threads,
    _precision,
    _tensorrt_precision,
    _versions,
    _commands,
    _throttling,
    _identity,
    _identity_cores,
    _quantization,
)
