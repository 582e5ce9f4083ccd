"""Which operators each version of a runtime can build, as its own documents say: data with sources."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

Version = tuple[int, ...]
Restriction = Callable[[Mapping[str, Any]], str | None]


class OperatorList(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What one *runtime* can build in versions from *oldest* up to, without, *before*.

    *operators*: all that it has; any other is not there. *restricted*: those that it has in some forms only; the
    function is told the attributes of a node and returns what is wrong with them, or None.
    """

    runtime: str
    oldest: Version
    before: Version
    source: str
    operators: frozenset[str]
    restricted: Mapping[str, Restriction]


def _planar(attributes: Mapping[str, Any]) -> str | None:
    """Restrict a kernel to two or three dimensions."""
    given = next((attributes[name] for name in ("kernel_shape", "strides", "dilations") if name in attributes), (1, 1))
    dimensions = len(given)
    return None if dimensions in {2, 3} else f"it has {dimensions} spatial dimension, and only 2 and 3 are supported"


def _planar_and_dense(attributes: Mapping[str, Any]) -> str | None:
    """Restrict a window to two or three dimensions without gaps."""
    return _planar(attributes) or _dense(attributes)


def _dense(attributes: Mapping[str, Any]) -> str | None:
    """Restrict a window to one without gaps."""
    dilations = list(attributes.get("dilations", ()))
    return None if set(dilations) <= {1} else f"dilations are {dilations}, and only ones are supported"


def _resizing(attributes: Mapping[str, Any]) -> str | None:
    """Restrict Resize to the forms that the lists of all versions name."""
    for name, (default, allowed) in _RESIZE.items():
        value = bytes(attributes.get(name, default)).decode()
        if value not in allowed:
            return f"{name} is {value}, and only {', '.join(allowed)} are supported"
    return None


_RESIZE: Final[Mapping[str, tuple[bytes, tuple[str, ...]]]] = MappingProxyType(
    {
        "mode": (b"nearest", ("nearest", "linear")),
        "coordinate_transformation_mode": (
            b"half_pixel",
            ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
        ),
        "nearest_mode": (b"round_prefer_floor", ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")),
    }
)

# What came with each version; a version has all that came before it. Operators of other domains are left out.
_ADDED: Final[Mapping[Version, str]] = MappingProxyType(
    {
        (8, 0): """
            Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu
            Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div
            Dropout Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements Gemm GlobalAveragePool
            GlobalLpPool GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity If InstanceNormalization LRN LSTM
            LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean Min Mul Neg
            NonMaxSuppression Not Or PRelu Pad Pow QuantizeLinear RNN RandomUniform RandomUniformLike Range ReduceL1
            ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
            Relu Reshape Resize ReverseSequence Scan Selu Shape Sigmoid Sin Sinh Size Slice Softmax Softplus Softsign
            SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample
            Where
        """,
        (8, 2): "Einsum GatherND IsNaN Round Scatter ScatterElements ScatterND Sign",
        (8, 4): "Shrink Xor",
        (8, 5): """
            GridSample HardSwish MeanVarianceNormalization Mod NonZero OneHot RandomNormal RandomNormalLike Reciprocal
            RoiAlign Trilu
        """,
        (8, 6): "GroupNormalization IsInf LayerNormalization",
        (9, 2): "CastLike Hardmax",
        (10, 1): "DeformConv",
        (10, 4): "BlackmanWindow HammingWindow HannWindow",
        (10, 5): "STFT",
        (10, 6): "Gelu Mish",
    }
)

_SOURCES: Final[Mapping[Version, str]] = MappingProxyType(
    {
        (8, 0): "docs/operators.md of TensorRT 8.2 (commit 078f20b8) without what docs/Changelog.md says 8.2 added",
        (8, 2): "docs/operators.md of TensorRT 8.2 (commit 078f20b8)",
        (8, 4): "docs/operators.md of TensorRT 8.4 (commit 009d6541) and Shrink from docs/Changelog.md",
        (8, 5): "docs/operators.md of TensorRT 8.5 (commit 6d0ab7be)",
        (8, 6): "docs/operators.md of TensorRT 8.5 (commit 6d0ab7be) with what docs/Changelog.md says 8.6 added",
        (9, 2): "docs/operators.md of TensorRT 9.2",
        (10, 1): "docs/operators.md of TensorRT 9.2 with what docs/Changelog.md says 10.1 added",
        (10, 4): "docs/operators.md of TensorRT 9.2 with what docs/Changelog.md says came up to 10.4",
        (10, 5): "docs/operators.md of TensorRT 9.2 with what docs/Changelog.md says came up to 10.5",
        (10, 6): "docs/operators.md of TensorRT 10.6 (commit 0137504e)",
    }
)
"""Where the list of each version was read, all of them in github.com/onnx/onnx-tensorrt on 2026-11-24.

Gelu and Mish came between 9.2 and 10.6; no document says when, so they count from 10.6.
"""

_END: Final = (11,)
"""The first version of which nothing was read."""

_FORMS: Final[Mapping[Version, Mapping[str, Restriction]]] = MappingProxyType(
    {
        (8, 0): {"AveragePool": _planar, "Conv": _planar, "ConvTranspose": _planar, "MaxPool": _planar},
        (8, 5): {"AveragePool": _planar, "MaxPool": _planar},
        (10, 0): {"AveragePool": _planar_and_dense, "LpPool": _dense, "MaxPool": _planar_and_dense},
    }
)
"""From which version on an operator has only some forms (same documents; the gaps of 10.0 to 10.5 by that of 10.6)."""


def _forms(version: Version) -> Mapping[str, Restriction]:
    """Return the restrictions that hold in *version*."""
    return MappingProxyType({"Resize": _resizing} | dict(_FORMS[max(first for first in _FORMS if first <= version)]))


def _tensorrt() -> tuple[OperatorList, ...]:
    """Return the lists of TensorRT, oldest first, each up to the next."""
    starts = sorted(_ADDED.keys() | _FORMS.keys())
    operators = {
        start: frozenset(itertools.chain(*(text.split() for first, text in _ADDED.items() if first <= start)))
        for start in starts
    }
    sources = {start: _SOURCES[max(first for first in _SOURCES if first <= start)] for start in starts}
    return tuple(
        OperatorList(
            runtime="tensorrt",
            oldest=start,
            before=before,
            source=f"github.com/onnx/onnx-tensorrt {sources[start]}, read 2026-11-24",
            operators=operators[start],
            restricted=_forms(start),
        )
        for start, before in itertools.pairwise((*starts, _END))
    )


LISTS: Final = _tensorrt()
"""All lists, those of one runtime from the oldest to the newest and without gaps between them."""

COMPLETE: Final = frozenset({"onnxruntime"})
"""Runtimes with every operator of the opsets that edgekd writes, 13 to 18.

Source: the kernels that the released wheels 1.16.3, 1.18.1, 1.22.1 and 1.32.0 of ONNX Runtime register for the CPU,
which they list themselves (get_all_opkernel_def, read 2026-11-24). In all four every operator has a kernel, except
those that ONNX defines by others and Constant, which is read when the file is loaded.
"""
