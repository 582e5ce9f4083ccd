"""Which ONNX operators cost what kind of work, and which cost none."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgekd.predict.layers import Kind

_ELEMENTWISE: Final = (
    *("Abs", "Add", "And", "BitShift", "Cast", "Ceil", "Celu", "Clip", "Cos", "DequantizeLinear", "Div"),
    *("DynamicQuantizeLinear", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual"),
    *(
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
    ),
    *(
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "QuantizeLinear",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
    ),
    *("Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu", "Where", "Xor"),
)
_POOLING: Final = (
    *("ArgMax", "ArgMin", "AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"),
    *("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)
_NORMALIZATION: Final = (
    *("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization"),
    *("LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "Softmax"),
)
_MOVEMENT: Final = (
    *("Concat", "DepthToSpace", "Expand", "Gather", "GatherElements", "GatherND", "Pad", "Resize", "ReverseSequence"),
    *("Slice", "SpaceToDepth", "Split", "Tile", "Transpose", "Upsample"),
)

CONVOLUTIONS: Final = frozenset({"Conv", "ConvInteger", "QLinearConv"})
"""Their kind is that of their form (``convolution_kind``)."""

PRODUCTS: Final = frozenset({"Einsum", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"})
"""*linear* with a matrix of weights, *product* of two activations."""

KIND_OF_OTHERS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "ConvTranspose": "transposed",
        **dict.fromkeys(("GRU", "LSTM", "RNN"), "recurrent"),
        **dict.fromkeys(_ELEMENTWISE, "elementwise"),
        **dict.fromkeys(_POOLING, "pooling"),
        **dict.fromkeys(_NORMALIZATION, "normalization"),
        **dict.fromkeys(_MOVEMENT, "movement"),
    }
)

VIEWS: Final = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""They give their input another shape, or none: nothing moves."""

SHAPES: Final = frozenset({"Constant", "ConstantOfShape", "Range", "Shape", "Size"})
"""With all sizes fixed their outputs are constants."""

FUSED: Final = frozenset(
    {"Add", "BatchNormalization", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Tanh"}
)
"""Computed by the layer before, where they alone read it and whatever else they read is constant."""

INTEGER: Final = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
"""They read integers, with no DequantizeLinear before."""

KNOWN: Final = frozenset(KIND_OF_OTHERS) | CONVOLUTIONS | PRODUCTS | VIEWS | SHAPES
