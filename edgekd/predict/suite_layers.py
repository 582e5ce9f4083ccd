"""The layers that the blocks of the suite are made of, each written with the sizes that follow from it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from edgekd.predict.drafting import Draft, Value
from edgekd.predict.suite_draws import one_of


def conv(
    draft: Draft, value: Value, channels: int, *, kernel: int | tuple[int, int] = 1, stride: int = 1, groups: int = 1
) -> Value:
    """Return a convolution with bias over *value*, padded so that stride 1 keeps the size (patches are not padded)."""
    high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
    pads = [0, 0, 0, 0] if stride == high > 2 else [high // 2, wide // 2, high // 2, wide // 2]  # noqa: PLR2004
    _, given, height, width = value.shape
    size = ((height + 2 * pads[0] - high) // stride + 1, (width + 2 * pads[1] - wide) // stride + 1)
    if min(size) < 1:
        return value
    weight = draft.weight(channels, given // groups, high, wide)
    draft.macs += weight.numbers * size[0] * size[1]
    inputs = [value, weight, draft.weight(channels, fan_in=4)]
    return draft.node(
        "Conv",
        inputs,
        (1, channels, *size),
        kernel_shape=[high, wide],
        strides=[stride, stride],
        pads=pads,
        group=groups,
    )


def norm(draft: Draft, value: Value) -> Value:
    """Return a batch norm that no convolution takes in."""
    statistics = [draft.positive(value.shape[1]) for _ in range(4)]
    return draft.node("BatchNormalization", [value, *statistics], value.shape)


def layer_norm(draft: Draft, value: Value) -> Value:
    """Return *value* normalized over its last axis."""
    width = value.shape[-1]
    inputs = [value, draft.positive(width), draft.weight(width, fan_in=4)]
    return draft.node("LayerNormalization", inputs, value.shape, axis=-1)


def linear(draft: Draft, value: Value, width: int) -> Value:
    """Return a matrix product with weights over the last axis, and a bias."""
    weight = draft.weight(value.shape[-1], width, fan_in=value.shape[-1])
    draft.macs += value.numbers * width
    shape = (*value.shape[:-1], width)
    return draft.node("Add", [draft.node("MatMul", [value, weight], shape), draft.weight(width, fan_in=4)], shape)


def products(draft: Draft, value: Value) -> Value:
    """Return two products with an activation between, the first one wider."""
    width = value.shape[-1]
    inner = activation(draft, linear(draft, value, width * one_of(draft, {2: 1.0, 3: 1.0, 4: 2.0})), smooth=True)
    return linear(draft, inner, width)


def add(draft: Draft, value: Value, other: Value) -> Value:
    """Return the sum of two values of one shape."""
    return draft.node("Add", [value, other], value.shape)


def map_mean(draft: Draft, value: Value) -> Value:
    """Return the mean of each map (1, channels, 1, 1), in one of the two forms that exporters write."""
    shape = (*value.shape[:2], 1, 1)
    if draft.random.random() < 0.6:  # noqa: PLR2004
        return draft.node("GlobalAveragePool", [value], shape)
    return draft.node("ReduceMean", [value, draft.integers(2, 3)], shape, keepdims=1)


def sliced(draft: Draft, value: Value, begin: int, end: int) -> Value:
    """Return the channels from *begin* to *end*."""
    inputs = [value, draft.integers(begin), draft.integers(end), draft.integers(1)]
    return draft.node("Slice", inputs, (1, end - begin, *value.shape[2:]))


def activation(draft: Draft, value: Value, *, smooth: bool = False) -> Value:
    """Return *value* through an activation of the table, or as it is; *smooth*: one that transformers have."""
    return ACTIVATIONS[one_of(draft, SMOOTH if smooth else COMMON)](draft, value)


def _none(_draft: Draft, value: Value) -> Value:
    return value


def _relu(draft: Draft, value: Value) -> Value:
    return draft.node("Relu", [value], value.shape)


def _relu6(draft: Draft, value: Value) -> Value:
    return draft.node("Clip", [value, draft.scalar(0.0), draft.scalar(6.0)], value.shape)


def _hard_swish(draft: Draft, value: Value) -> Value:
    return draft.node("HardSwish", [value], value.shape)


def _hard_swish_in_two(draft: Draft, value: Value) -> Value:
    gate = draft.node("HardSigmoid", [value], value.shape, alpha=1 / 6, beta=0.5)
    return draft.node("Mul", [value, gate], value.shape)


def _silu(draft: Draft, value: Value) -> Value:
    return draft.node("Mul", [value, draft.node("Sigmoid", [value], value.shape)], value.shape)


def _leaky_relu(draft: Draft, value: Value) -> Value:
    return draft.node("LeakyRelu", [value], value.shape, alpha=0.1)


def _prelu(draft: Draft, value: Value) -> Value:
    slopes = draft.positive(value.shape[1], *(1 for _ in value.shape[2:]))
    return draft.node("PRelu", [value, slopes], value.shape)


def _tanh(draft: Draft, value: Value) -> Value:
    return draft.node("Tanh", [value], value.shape)


def _elu(draft: Draft, value: Value) -> Value:
    return draft.node("Elu", [value], value.shape)


def _gelu(draft: Draft, value: Value) -> Value:
    scaled = draft.node("Div", [value, draft.scalar(2**0.5)], value.shape)
    lifted = draft.node("Add", [draft.node("Erf", [scaled], value.shape), draft.scalar(1.0)], value.shape)
    whole = draft.node("Mul", [value, lifted], value.shape)
    return draft.node("Mul", [whole, draft.scalar(0.5)], value.shape)


def _gelu_halved_first(draft: Draft, value: Value) -> Value:
    halved = draft.node("Mul", [value, draft.scalar(0.5)], value.shape)
    scaled = draft.node("Div", [value, draft.scalar(2**0.5)], value.shape)
    lifted = draft.node("Add", [draft.node("Erf", [scaled], value.shape), draft.scalar(1.0)], value.shape)
    return draft.node("Mul", [halved, lifted], value.shape)


ACTIVATIONS: Final[Mapping[str, Callable[[Draft, Value], Value]]] = MappingProxyType(
    {
        "none": _none,
        "relu": _relu,
        "relu6": _relu6,
        "hard swish": _hard_swish,
        "hard swish in two": _hard_swish_in_two,
        "silu": _silu,
        "gelu": _gelu,
        "gelu halved first": _gelu_halved_first,
        "leaky relu": _leaky_relu,
        "prelu": _prelu,
        "elu": _elu,
        "tanh": _tanh,
    }
)

COMMON: Final[Mapping[str, float]] = MappingProxyType(
    {
        "none": 3.0,
        "relu": 5.0,
        "relu6": 2.0,
        "hard swish": 0.8,
        "hard swish in two": 0.8,
        "silu": 1.0,
        "gelu": 0.4,
        "leaky relu": 0.4,
        "prelu": 0.3,
        "elu": 0.2,
        "tanh": 0.2,
    }
)
"""How often each follows a convolution."""

SMOOTH: Final[Mapping[str, float]] = MappingProxyType(
    {"gelu": 3.0, "gelu halved first": 3.0, "relu": 1.0, "silu": 1.0, "hard swish": 0.5}
)
"""How often each stands between two matrix products."""
