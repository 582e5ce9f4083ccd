"""What processors and runtimes can do at most, for judging a target file's claims."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class CoreLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The capabilities that some revision of a CPU core has."""

    dot_product: bool = False
    fp16_arithmetic: bool = False
    i8mm: bool = False


class RuntimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The newest model that a runtime release loads; *ir_version* is None where it does not look at it."""

    opset: int
    ir_version: int | None = None


def core_limits(core: str) -> CoreLimits | None:
    """Return what the core called *core* can do at most, or None for one that edgekd does not know."""
    return CORES.get(core)


def runtime_limits(name: str, version: str) -> RuntimeLimits | None:
    """Return the newest model that release *version* of runtime *name* can load, or None if nothing is known.

    Limits never shrink from one release to the next, so a release that is not in the table can load at most
    what the next one in it loads; one newer than the whole table is not bounded.
    """
    asked = version_numbers(version)
    for release, limits in RUNTIMES[name].items():
        if asked[: len(version_numbers(release))] <= version_numbers(release):
            return limits
    return None


def version_numbers(version: str) -> tuple[int, ...]:
    """Return ``(8, 2, 1)`` for ``"8.2.1"``."""
    return tuple(int(part) for part in version.split("."))


def tensorrt_has_int8(compute_capability: str) -> bool:
    """Return whether TensorRT builds INT8 layers there: from 6.1 on, but not on 6.2.

    Source: MathWorks, GPU Coder, reference page of coder.TensorRTConfig's DataType. DP4A, the int8 dot
    product, came with 6.1; 6.2 (Tegra X2) was left without.
    """
    return version_numbers(compute_capability) >= (6, 1) and compute_capability != "6.2"


def tensorrt_has_fp16(compute_capability: str) -> bool:
    """Return whether TensorRT builds fast FP16 layers there: 5.3, 6.0, 6.2 and from 7.0 on (same source)."""
    return compute_capability in {"5.3", "6.0", "6.2"} or version_numbers(compute_capability) >= (7, 0)


_ARMV8_0: Final = CoreLimits()
_ARMV8_2: Final = CoreLimits(dot_product=True, fp16_arithmetic=True)
_ARMV9: Final = CoreLimits(dot_product=True, fp16_arithmetic=True, i8mm=True)

# Sources: pytorch/cpuinfo src/arm/linux/aarch64-isa.c (which cores have the dot product; A55 and A75 only in
# later revisions), pigirons/cpufp benchmark_result/arm64 (BCM2711, BCM2712, CD8180), LLVM's Carmel
# /proc/cpuinfo in unittests/TargetParser (half precision but no dot product), microsoft/onnxruntime
# onnxruntime/core/mlas/lib/platform.cpp (i8mm: A510, A710, X2 and later), hrw/arm-socs-table/issues/25 (Denver 2).
# The levels of x86-64 are those of its psABI: none of them has VNNI, AVX512-FP16 or AMX.
CORES: Mapping[str, CoreLimits] = MappingProxyType(
    {
        "Cortex-A53": _ARMV8_0,
        "Cortex-A57": _ARMV8_0,
        "Cortex-A72": _ARMV8_0,
        "Cortex-A73": _ARMV8_0,
        "Denver 2": _ARMV8_0,
        "Carmel": CoreLimits(fp16_arithmetic=True),
        "Cortex-A55": _ARMV8_2,
        "Cortex-A75": _ARMV8_2,
        "Cortex-A76": _ARMV8_2,
        "Cortex-A77": _ARMV8_2,
        "Cortex-A78": _ARMV8_2,
        "Cortex-A78AE": _ARMV8_2,
        "Cortex-X1": _ARMV8_2,
        "Cortex-A510": _ARMV9,
        "Cortex-A710": _ARMV9,
        "Cortex-X2": _ARMV9,
        "Cortex-A720": _ARMV9,
        "x86-64-v2": CoreLimits(),
        "x86-64-v3": CoreLimits(),
        "x86-64-v4": CoreLimits(),
    },
)

# Oldest first. Sources: TensorRT: docs/operators.md of each release branch of onnx/onnx-tensorrt; its parser
# logs the IR version and goes on. ONNX Runtime up to 1.20: docs/reference/compatibility.md of
# microsoft/onnxruntime; 1.32: one-node models loaded with the released wheel, which took opset 28 and IR 14
# and refused opset 29 and IR 15.
RUNTIMES: Mapping[str, Mapping[str, RuntimeLimits]] = MappingProxyType(
    {
        "tensorrt": MappingProxyType(
            {
                "7.1": RuntimeLimits(opset=11),
                "8.2": RuntimeLimits(opset=13),
                "8.6": RuntimeLimits(opset=17),
                "10.3": RuntimeLimits(opset=20),
            },
        ),
        "onnxruntime": MappingProxyType(
            {
                "1.7": RuntimeLimits(opset=13, ir_version=7),
                "1.8": RuntimeLimits(opset=14, ir_version=7),
                "1.10": RuntimeLimits(opset=15, ir_version=8),
                "1.11": RuntimeLimits(opset=16, ir_version=8),
                "1.13": RuntimeLimits(opset=17, ir_version=8),
                "1.14": RuntimeLimits(opset=18, ir_version=8),
                "1.15": RuntimeLimits(opset=19, ir_version=8),
                "1.16": RuntimeLimits(opset=19, ir_version=9),
                "1.17": RuntimeLimits(opset=20, ir_version=9),
                "1.20": RuntimeLimits(opset=21, ir_version=10),
                "1.32": RuntimeLimits(opset=28, ir_version=14),
            },
        ),
    },
)
