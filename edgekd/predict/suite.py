"""The networks of the micro-benchmark suite: random chains of the blocks that mobile networks are made of.

Every size is drawn from a range; no network that anybody uses is written down here. What is timed are the nodes, each
between others of its network, so that caches are as in a network; chains of unlike layers give unlike nodes.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import numpy as np
from onnx import ModelProto

from edgekd.predict.drafting import Draft, Value

LEAST_MACS: Final = 2e5
MOST_MACS: Final = 4e8
"""What a whole network of the suite multiplies: log-uniform, so that small and large kernels are seen alike."""
MOST_NODES: Final = 60
IMAGE_SIDES: Final = (8, 256)
CHANNELS: Final = (8, 768)
TOKENS: Final = (16, 256)
WIDTHS: Final = (48, 512)
TOKEN_PART: Final = 0.15
"""How many networks of the suite are transformers."""

Choice = TypeVar("Choice")
Block = Callable[[Draft, Value], Value]


def suite_network(seed: int) -> ModelProto:
    """Return the network of the suite that belongs to *seed*; the same seed gives the same network."""
    draft = Draft(np.random.default_rng(seed))
    budget = _log_uniform(draft, LEAST_MACS, MOST_MACS)
    start, blocks = (_tokens, TOKEN_BLOCKS) if draft.random.random() < TOKEN_PART else (_image, IMAGE_BLOCKS)
    value = start(draft, budget)
    names = list(blocks)
    chances = np.array([blocks[name][0] for name in names])
    while draft.macs < budget and draft.size < MOST_NODES:
        value = blocks[names[draft.random.choice(len(names), p=chances / chances.sum())]][1](draft, value)
    return draft.finish(_head(draft, value))


def _log_uniform(draft: Draft, low: float, high: float) -> float:
    """Return a number between *low* and *high*, each factor as likely as the other."""
    return float(np.exp(draft.random.uniform(np.log(low), np.log(high))))


def _one_of(draft: Draft, choices: Mapping[Choice, float]) -> Choice:
    """Return one of *choices*, each as likely as it says."""
    chances = np.array(list(choices.values()))
    return list(choices)[draft.random.choice(len(choices), p=chances / chances.sum())]


def _channels(draft: Draft, low: float = CHANNELS[0], high: float = CHANNELS[1]) -> int:
    """Return a number of channels: mostly a multiple of 8 or 16, as networks have them."""
    multiple = _one_of(draft, {16: 4.0, 8: 4.0, 4: 1.0, 1: 1.0})
    return max(multiple, multiple * round(_log_uniform(draft, low, max(low, high)) / multiple))


def _around(draft: Draft, channels: int) -> int:
    """Return a number of channels that could follow *channels*."""
    return _channels(draft, max(CHANNELS[0], channels / 3), min(CHANNELS[1], 3 * channels))


def _image(draft: Draft, budget: float) -> Value:
    """Return the start: an image and its stem, or a map from the middle of a network."""
    if draft.random.random() < 0.3:  # noqa: PLR2004 - a third starts with pixels
        side = round(_log_uniform(draft, 24, IMAGE_SIDES[1]))
        value = draft.input(1, _one_of(draft, {3: 3.0, 1: 1.0}), side, side)
        kernel = _one_of(draft, {3: 5.0, 5: 1.0, 7: 2.0, 4: 1.0})
        stride = kernel if kernel == 4 else _one_of(draft, {1: 1.0, 2: 2.0})  # noqa: PLR2004 - patches
        return _activation(draft, _conv(draft, value, _channels(draft, 8, 96), kernel=kernel, stride=stride))
    channels = _channels(draft)
    fitting = (budget / channels / 16) ** 0.5
    side = round(_log_uniform(draft, 4, float(np.clip(fitting, 5, 112))))
    wide = side if draft.random.random() < 0.8 else round(_log_uniform(draft, 4, 2 * side + 4))  # noqa: PLR2004
    return draft.input(1, channels, side, wide)


def _conv(
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


def _dense(draft: Draft, value: Value) -> Value:
    """Return a convolution over all channels and an activation."""
    kernel = _one_of(draft, {(3, 3): 8.0, (5, 5): 1.5, (7, 7): 0.7, (1, 3): 0.5, (3, 1): 0.5, (2, 2): 0.5})
    stride = 2 if kernel == (2, 2) else _one_of(draft, {1: 3.0, 2: 1.0})
    return _activation(draft, _conv(draft, value, _around(draft, value.shape[1]), kernel=kernel, stride=stride))


def _pointwise(draft: Draft, value: Value) -> Value:
    """Return a 1x1 convolution and an activation."""
    stride = _one_of(draft, {1: 8.0, 2: 1.0})
    return _activation(draft, _conv(draft, value, _around(draft, value.shape[1]), stride=stride))


def _depthwise_conv(draft: Draft, value: Value) -> Value:
    """Return a convolution of each channel by itself."""
    kernel, stride = _one_of(draft, {3: 4.0, 5: 2.0, 7: 1.0}), _one_of(draft, {1: 3.0, 2: 1.0})
    return _conv(draft, value, value.shape[1], kernel=kernel, stride=stride, groups=value.shape[1])


def _depthwise(draft: Draft, value: Value) -> Value:
    """Return a convolution of each channel by itself, and an activation."""
    return _activation(draft, _depthwise_conv(draft, value))


def _grouped(draft: Draft, value: Value) -> Value:
    """Return a grouped 3x3 or 1x1 convolution of groups of 4 to 64 channels; 1x1 first where they do not fit."""
    width = _one_of(draft, {4: 1.0, 8: 2.0, 16: 3.0, 24: 1.0, 32: 1.0, 64: 1.0})
    groups = max(2, round(_around(draft, value.shape[1]) / width))
    if value.shape[1] != groups * width:
        value = _activation(draft, _conv(draft, value, groups * width))
    kernel, stride = _one_of(draft, {3: 4.0, 1: 1.0}), _one_of(draft, {1: 3.0, 2: 1.0})
    return _activation(draft, _conv(draft, value, groups * width, kernel=kernel, stride=stride, groups=groups))


def _inverted(draft: Draft, value: Value) -> Value:
    """Return an inverted residual: wider by 1x1, depthwise, sometimes a gate, narrow again, sometimes added."""
    wide = _one_of(draft, {2: 1.0, 3: 1.0, 4: 1.0, 6: 2.0}) * value.shape[1]
    if wide > 2 * CHANNELS[1]:
        return _pointwise(draft, value)
    inner = _depthwise(draft, _activation(draft, _conv(draft, value, wide)))
    if draft.random.random() < 0.3:  # noqa: PLR2004 - a third has gates
        inner = _gate(draft, inner)
    same = inner.shape[2:] == value.shape[2:] and draft.random.random() < 0.7  # noqa: PLR2004
    out = _conv(draft, inner, value.shape[1] if same else _around(draft, value.shape[1]))
    return _add(draft, out, value) if same else out


def _residual(draft: Draft, value: Value) -> Value:
    """Return two or three convolutions that *value* is added to."""
    inner = _activation(
        draft, _conv(draft, value, _around(draft, value.shape[1]), kernel=_one_of(draft, {1: 1.0, 3: 1.0}))
    )
    if draft.random.random() < 0.4:  # noqa: PLR2004 - some are bottlenecks
        inner = _activation(draft, _conv(draft, inner, inner.shape[1], kernel=3))
    out = _conv(draft, inner, value.shape[1], kernel=_one_of(draft, {1: 1.0, 3: 1.0}))
    return _activation(draft, _add(draft, out, value))


def _gate(draft: Draft, value: Value) -> Value:
    """Return *value*, each channel times a number that comes from the means of all (squeeze and excitation)."""
    channels = value.shape[1]
    narrow = _channels(draft, max(4, channels / 16), max(8, channels / 3))
    mean = draft.node("GlobalAveragePool", [value], (1, channels, 1, 1))
    inner = draft.node("Relu", [squeezed := _conv(draft, mean, narrow)], squeezed.shape)
    operator = _one_of(draft, {"Sigmoid": 2.0, "HardSigmoid": 1.0})
    gate = draft.node(operator, [_conv(draft, inner, channels)], (1, channels, 1, 1))
    return draft.node("Mul", [value, gate], value.shape)


def _joined(draft: Draft, value: Value) -> Value:
    """Return two branches side by side; one of them may be *value* itself."""
    left = value if draft.random.random() < 0.5 else _pointwise_same(draft, value)  # noqa: PLR2004
    right = _conv(draft, value, _channels(draft, 8, max(16, value.shape[1])), kernel=_one_of(draft, {1: 1.0, 3: 2.0}))
    right = _activation(draft, right)
    parts = [left, right] if draft.random.random() < 0.7 else [left, right, _pointwise_same(draft, value)]  # noqa: PLR2004
    channels = sum(part.shape[1] for part in parts)
    joined = draft.node("Concat", parts, (1, channels, *value.shape[2:]), axis=1)
    return _activation(draft, _norm(draft, joined) if draft.random.random() < 0.3 else joined)  # noqa: PLR2004


def _pointwise_same(draft: Draft, value: Value) -> Value:
    """Return a 1x1 convolution that keeps the size."""
    return _activation(draft, _conv(draft, value, _channels(draft, 8, max(16, value.shape[1]))))


def _norm(draft: Draft, value: Value) -> Value:
    """Return a batch norm that no convolution takes in."""
    statistics = [draft.positive(value.shape[1]) for _ in range(4)]
    return draft.node("BatchNormalization", [value, *statistics], value.shape)


def _shuffled(draft: Draft, value: Value) -> Value:
    """Return half of the channels convolved, joined with the other half, and shuffled."""
    half = value.shape[1] // 2
    if half < 4:  # noqa: PLR2004 - nothing to halve
        return _pointwise(draft, value)
    size = value.shape[2:]
    if draft.random.random() < 0.5:  # noqa: PLR2004 - both forms are common
        sizes = draft.integers(half, value.shape[1] - half)
        halves = [(1, half, *size), (1, value.shape[1] - half, *size)]
        first, second = draft.nodes("Split", [value, sizes], halves, axis=1)
    else:
        first, second = (_slice(draft, value, begin, end) for begin, end in ((0, half), (half, value.shape[1])))
    second = _conv(draft, _activation(draft, _conv(draft, second, half)), half, kernel=3, groups=half)
    joined = draft.node("Concat", [first, _activation(draft, _conv(draft, second, half))], (1, 2 * half, *size), axis=1)
    apart = draft.node("Reshape", [joined, draft.integers(1, 2, half, *size)], (1, 2, half, *size))
    turned = draft.node("Transpose", [apart], (1, half, 2, *size), perm=[0, 2, 1, 3, 4])
    return draft.node("Reshape", [turned, draft.integers(1, 2 * half, *size)], (1, 2 * half, *size))


def _slice(draft: Draft, value: Value, begin: int, end: int) -> Value:
    """Return the channels from *begin* to *end*."""
    inputs = [value, draft.integers(begin), draft.integers(end), draft.integers(1)]
    return draft.node("Slice", inputs, (1, end - begin, *value.shape[2:]))


def _pool(draft: Draft, value: Value) -> Value:
    """Return the maxima or means of windows."""
    operator = _one_of(draft, {"MaxPool": 2.0, "AveragePool": 1.0})
    kernel, stride = _one_of(draft, {(2, 2): 2.0, (3, 2): 2.0, (3, 1): 1.0})
    pad = 1 if kernel == 3 else 0  # noqa: PLR2004
    size = tuple((length + 2 * pad - kernel) // stride + 1 for length in value.shape[2:])
    if min(size) < 1:
        return value
    attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
    return draft.node(operator, [value], (*value.shape[:2], *size), **attributes)


def _resize(draft: Draft, value: Value) -> Value:
    """Return a map of twice the size; a map that is large already goes on as it is."""
    if max(value.shape[2:]) > 56:  # noqa: PLR2004
        return _pool(draft, value)
    size = tuple(2 * length for length in value.shape[2:])
    scales = draft.constant(np.array([1, 1, 2, 2], np.float32))
    mode = _one_of(draft, {"nearest": 1.0, "linear": 1.0})
    transform = "asymmetric" if mode == "nearest" else "half_pixel"
    attributes = {"mode": mode, "coordinate_transformation_mode": transform, "nearest_mode": "floor"}
    return draft.node("Resize", [value, None, scales], (*value.shape[:2], *size), **attributes)


def _channels_last(draft: Draft, value: Value) -> Value:
    """Return a depthwise convolution, a norm over channels, two matrix products and the sum with *value*."""
    _, channels, height, width = value.shape
    if channels > CHANNELS[1] // 2:
        return _depthwise(draft, value)
    inner = _conv(draft, value, channels, kernel=_one_of(draft, {7: 2.0, 5: 1.0, 3: 1.0}), groups=channels)
    turned = draft.node("Transpose", [inner], (1, height, width, channels), perm=[0, 2, 3, 1])
    out = _products(draft, _layer_norm(draft, turned))
    back = draft.node("Transpose", [out], value.shape, perm=[0, 3, 1, 2])
    return _add(draft, back, value)


def _tokens(draft: Draft, _budget: float) -> Value:
    """Return the start of a transformer: tokens, or patches of an image."""
    width = 16 * round(_log_uniform(draft, *WIDTHS) / 16)
    if draft.random.random() < 0.5:  # noqa: PLR2004 - half starts with pixels
        return draft.input(1, round(_log_uniform(draft, *TOKENS)), width)
    patch = _one_of(draft, {4: 1.0, 8: 1.0, 16: 2.0})
    side = patch * round(_log_uniform(draft, 4, 14))
    maps = _conv(draft, draft.input(1, 3, side, side), width, kernel=patch, stride=patch)
    number = maps.shape[2] * maps.shape[3]
    flat = draft.node("Reshape", [maps, draft.integers(1, width, number)], (1, width, number))
    return draft.node("Transpose", [flat], (1, number, width), perm=[0, 2, 1])


def _layer_norm(draft: Draft, value: Value) -> Value:
    """Return *value* normalized over its last axis."""
    width = value.shape[-1]
    inputs = [value, draft.positive(width), draft.weight(width, fan_in=4)]
    return draft.node("LayerNormalization", inputs, value.shape, axis=-1)


def _linear(draft: Draft, value: Value, width: int) -> Value:
    """Return a matrix product with weights over the last axis, and a bias."""
    weight = draft.weight(value.shape[-1], width, fan_in=value.shape[-1])
    draft.macs += value.numbers * width
    shape = (*value.shape[:-1], width)
    return draft.node("Add", [draft.node("MatMul", [value, weight], shape), draft.weight(width, fan_in=4)], shape)


def _products(draft: Draft, value: Value) -> Value:
    """Return two products with an activation between, the first one wider."""
    width = value.shape[-1]
    inner = _activation(draft, _linear(draft, value, width * _one_of(draft, {2: 1.0, 3: 1.0, 4: 2.0})), smooth=True)
    return _linear(draft, inner, width)


def _feed_forward(draft: Draft, value: Value) -> Value:
    """Return norm, two products and the sum with *value*."""
    return _add(draft, _products(draft, _layer_norm(draft, value)), value)


def _attention(draft: Draft, value: Value) -> Value:
    """Return norm, attention of a few heads and the sum with *value*."""
    _, number, width = value.shape
    size = _one_of(draft, {16: 1.0, 32: 2.0, 64: 2.0})
    heads = max(1, width // size)
    normed = _layer_norm(draft, value)
    queries, keys, values = (_heads(draft, _linear(draft, normed, heads * size), heads) for _ in range(3))
    keys = draft.node("Transpose", [keys], (1, heads, size, number), perm=[0, 1, 3, 2])
    draft.macs += 2 * heads * size * number * number
    scores = draft.node("MatMul", [queries, keys], (1, heads, number, number))
    scores = draft.node("Mul", [scores, draft.scalar(size**-0.5)], scores.shape)
    mixed = draft.node("MatMul", [draft.node("Softmax", [scores], scores.shape, axis=-1), values], values.shape)
    turned = draft.node("Transpose", [mixed], (1, number, heads, size), perm=[0, 2, 1, 3])
    flat = draft.node("Reshape", [turned, draft.integers(1, number, heads * size)], (1, number, heads * size))
    return _add(draft, _linear(draft, flat, width), value)


def _heads(draft: Draft, value: Value, heads: int) -> Value:
    """Return (1, number, width) as (1, heads, number, width of one)."""
    _, number, width = value.shape
    shape = (1, number, heads, width // heads)
    apart = draft.node("Reshape", [value, draft.integers(*shape)], shape)
    return draft.node("Transpose", [apart], (1, heads, number, width // heads), perm=[0, 2, 1, 3])


def _add(draft: Draft, value: Value, other: Value) -> Value:
    """Return the sum of two values of one shape."""
    return draft.node("Add", [value, other], value.shape)


def _activation(draft: Draft, value: Value, *, smooth: bool = False) -> Value:
    """Return *value* through an activation of the table, or as it is; *smooth*: one that transformers have."""
    return ACTIVATIONS[_one_of(draft, SMOOTH if smooth else COMMON)](draft, value)


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


def _head(draft: Draft, value: Value) -> Value:
    """Return a classifier over the mean of *value*, or over the whole of a small one; sometimes with softmax."""
    if len(value.shape) == 3:  # noqa: PLR2004 - tokens
        axes = draft.integers(1)
        flat = draft.node("ReduceMean", [value, axes], (1, value.shape[2]), keepdims=0)
    else:
        small = value.numbers <= 4096 and draft.random.random() < 0.3  # noqa: PLR2004
        mean = value if small else draft.node("GlobalAveragePool", [value], (*value.shape[:2], 1, 1))
        flat = draft.node("Flatten", [mean], (1, mean.numbers), axis=1)
    classes = round(_log_uniform(draft, 2, 1500))
    for width in (*([_channels(draft, 32, 2048)] if draft.random.random() < 0.4 else []), classes):  # noqa: PLR2004
        draft.macs += flat.shape[1] * width
        weight = draft.weight(width, flat.shape[1])
        flat = draft.node("Gemm", [flat, weight, draft.weight(width, fan_in=4)], (1, width), transB=1)
        if width != classes:
            flat = _relu(draft, flat)
    return draft.node("Softmax", [flat], flat.shape, axis=-1) if draft.random.random() < 0.3 else flat  # noqa: PLR2004


IMAGE_BLOCKS: Final[Mapping[str, tuple[float, Block]]] = MappingProxyType(
    {
        "dense": (4.0, _dense),
        "pointwise": (3.0, _pointwise),
        "depthwise": (2.0, _depthwise),
        "inverted residual": (2.5, _inverted),
        "residual": (2.5, _residual),
        "grouped": (1.2, _grouped),
        "gate": (0.5, _gate),
        "joined": (1.0, _joined),
        "shuffled": (0.8, _shuffled),
        "pool": (0.8, _pool),
        "resize": (0.3, _resize),
        "norm": (0.3, _norm),
        "channels last": (0.8, _channels_last),
    }
)
"""What follows what in a network of images, and how often."""

TOKEN_BLOCKS: Final[Mapping[str, tuple[float, Block]]] = MappingProxyType(
    {"attention": (1.0, _attention), "feed forward": (1.0, _feed_forward)}
)

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
