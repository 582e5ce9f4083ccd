"""Facts of a target file that cannot both be true."""

from collections.abc import Callable, Iterator
from typing import Final

from edgekd.core.errors import ConfigError
from edgekd.targets.facts import Target
from edgekd.targets.limits import core_limits, runtime_limits, tensorrt_has_fp16, tensorrt_has_int8

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
    if target.precision.fp16.verdict != "fast" or target.runtime.name != "onnxruntime":
        return
    if not target.device.fp16_arithmetic:
        yield (
            *("precision.fp16.verdict", "fast", "device.fp16_arithmetic", False),
            'a CPU that cannot compute in half precision gains no time from it; say "size-only"',
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


def _core(target: Target) -> Iterator[Clash]:
    """Yield capabilities that the CPU core does not have in any revision."""
    limits = core_limits(target.device.core)
    if limits is None:
        return
    for name in ("dot_product", "fp16_arithmetic", "i8mm"):
        if getattr(target.device, name) and not getattr(limits, name):
            yield f"device.{name}", True, "device.core", target.device.core, "this core has none; say false"


def _versions(target: Target) -> Iterator[Clash]:
    """Yield opsets and IR versions that are beyond what the runtime takes."""
    runtime = target.runtime
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
_PROVIDERS: Final = {
    "onnxruntime": ("CPUExecutionProvider", "QNNExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider",),
}
_CHECKS: Final[tuple[Callable[[Target], Iterator[Clash]], ...]] = (
    _precision,
    _tensorrt_precision,
    _core,
    _versions,
    _commands,
    _quantization,
)
