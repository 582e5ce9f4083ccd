"""What the runtime of a target can build, by its own operator list: the rest is refused by name before it ships."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from onnx import ModelProto, NodeProto, helper

from edgekd.core.errors import ConfigError

Version = tuple[int, ...]
Restriction = Callable[[Mapping[str, Any]], str | None]


class OperatorList(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What one version of a runtime's documentation says, for versions from *oldest* up to, without, *before*.

    *lacking*: operators that it names as not supported. *known*: all that it says to support, where the list was read
    whole; what is not among them is refused too. *restricted*: operators that are supported in some forms only.
    """

    runtime: str
    oldest: Version
    before: Version
    source: str
    lacking: frozenset[str]
    known: frozenset[str] | None = None
    restricted: Mapping[str, Restriction] = MappingProxyType({})


def refuse_unlisted(model: ModelProto, runtime: str, version: str) -> None:
    """Raise ConfigError naming every node of *model* that the operator list of *runtime* in *version* does not have.

    A runtime without a list here takes all of its opset: that of ONNX Runtime's CPU provider, which implements the
    standard. A TensorRT version that no list covers is refused, since nothing is known of it.
    """
    if runtime in COMPLETE:
        return
    numbers = tuple(int(part) for part in re.findall(r"\d+", version))
    found = next((one for one in LISTS if one.runtime == runtime and one.oldest <= numbers < one.before), None)
    if found is None:
        spans = [f"{_text(one.oldest)} to below {_text(one.before)}" for one in LISTS if one.runtime == runtime]
        message = (
            f"{runtime} {version}: no operator list is known for it, only for {', '.join(spans) or 'other runtimes'}; "
            "correct runtime.version of the target, or add the list to edgekd.export.supported.LISTS."
        )
        raise ConfigError(message)
    reasons = [f"node '{node.name}' ({node.op_type}): {why}" for node in model.graph.node if (why := _why(node, found))]
    if reasons:
        message = (
            f"{runtime} {version} cannot build this network: {'; '.join(reasons)} (by {found.source}); "
            "replace the operator in the network, or choose a target whose runtime has it."
        )
        raise ConfigError(message)


def _why(node: NodeProto, listed: OperatorList) -> str | None:
    """Return why the runtime cannot build *node*, or None where nothing speaks against it."""
    if node.op_type in listed.lacking:
        return "its list says that it is not supported"
    if listed.known is not None and node.op_type not in listed.known:
        return "its list does not name it"
    restriction = listed.restricted.get(node.op_type)
    if restriction is None:
        return None
    return restriction({attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute})


def _text(version: Version) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def _planar(attributes: Mapping[str, Any]) -> str | None:
    """Restrict a kernel to two or three dimensions."""
    dimensions = len(attributes.get("kernel_shape", (0, 0)))
    return None if dimensions in {2, 3} else f"it has {dimensions} spatial dimension, and only 2 and 3 are supported"


def _resizing(attributes: Mapping[str, Any]) -> str | None:
    """Restrict Resize to the forms that the list names."""
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
_INTEGER: Final = frozenset({"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
"""Operators that are integers in the file; TensorRT takes Q/DQ pairs alone, in every version."""

_KNOWN_IN_8_4: Final = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip Concat
Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal
Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool
GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity If InstanceNormalization IsNaN LRN LSTM LeakyRelu Less
LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean Min Mul Neg NonMaxSuppression Not Or
PRelu Pad Pow QuantizeLinear RNN RandomUniform RandomUniformLike Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round Scan
Scatter ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample Where Xor
"""
_LACKING_IN_8_5: Final = """
Bernoulli BitShift BlackmanWindow Compress ConcatFromSequence DFT Det HammingWindow HannWindow Hardmax IsInf
LayerNormalization MaxRoiPool MaxUnpool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional
OptionalGetElement OptionalHasElement STFT SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert
SequenceLength SequenceMap SoftmaxCrossEntropyLoss SplitToSequence StringNormalizer TfIdfVectorizer Unique
"""

COMPLETE: Final = frozenset({"onnxruntime"})
"""Runtimes with every operator of their opset. Source: github.com/microsoft/onnxruntime, docs/OperatorKernels.md."""

LISTS: Final = (
    OperatorList(
        runtime="tensorrt",
        oldest=(8, 0),
        before=(8, 5),
        source="github.com/onnx/onnx-tensorrt, docs/operators.md of TensorRT 8.4, read 2026-11-24",
        lacking=_INTEGER | {"Reciprocal"},
        known=frozenset(_KNOWN_IN_8_4.split()),
        restricted=MappingProxyType(
            {"AveragePool": _planar, "Conv": _planar, "ConvTranspose": _planar, "MaxPool": _planar, "Resize": _resizing}
        ),
    ),
    OperatorList(
        runtime="tensorrt",
        oldest=(8, 5),
        before=(8, 6),
        source="github.com/onnx/onnx-tensorrt, docs/operators.md of TensorRT 8.5, read 2026-11-24",
        lacking=_INTEGER | frozenset(_LACKING_IN_8_5.split()),
        restricted=MappingProxyType({"AveragePool": _planar, "MaxPool": _planar, "Resize": _resizing}),
    ),
    OperatorList(
        runtime="tensorrt",
        oldest=(8, 6),
        before=(11,),
        source="github.com/onnx/onnx-tensorrt, docs/operators.md of TensorRT 10.0 and 10.1, its integer operators",
        lacking=_INTEGER,
    ),
)
"""Lists by version. That of 8.4 stands for 8.0 to 8.4, whose own were not at hand: what it lacks, they lack too."""
