"""The blocks over images of the suite: what mobile convolutional networks are made of."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from edgekd.predict.drafting import Draft, Value
from edgekd.predict.suite_draws import CHANNELS, around, log_uniform, one_of, some_channels
from edgekd.predict.suite_layers import activation, add, conv, layer_norm, map_mean, norm, products, sliced

IMAGE_SIDES: Final = (24, 320)
_STEM_PRODUCTS: Final = 200.0
"""Of each pixel in a light stem: what the whole network may multiply bounds the image."""

Block = Callable[[Draft, Value], Value]


def start_image(draft: Draft, budget: float) -> Value:
    """Return the start: an image and its stem, or a map from the middle of a network."""
    if draft.random.random() < 0.4:  # noqa: PLR2004 - a good third starts with pixels
        fitting = (budget / _STEM_PRODUCTS) ** 0.5
        side = round(
            draft.random.uniform(IMAGE_SIDES[0], float(np.clip(fitting, 1.2 * IMAGE_SIDES[0], IMAGE_SIDES[1])))
        )
        value = draft.input(1, one_of(draft, {3: 3.0, 1: 1.0}), side, side)
        kernel = one_of(draft, {3: 5.0, 5: 1.0, 7: 2.0, 4: 1.0})
        stride = kernel if kernel == 4 else one_of(draft, {1: 1.0, 2: 2.0})  # noqa: PLR2004 - patches
        return activation(draft, conv(draft, value, some_channels(draft, 8, 96), kernel=kernel, stride=stride))
    channels = some_channels(draft)
    fitting = (budget / channels / 16) ** 0.5
    side = round(log_uniform(draft, 4, float(np.clip(fitting, 5, 112))))
    wide = side if draft.random.random() < 0.8 else round(log_uniform(draft, 4, 2 * side + 4))  # noqa: PLR2004
    return draft.input(1, channels, side, wide)


def _dense(draft: Draft, value: Value) -> Value:
    """Return a convolution over all channels and an activation."""
    kernel = one_of(draft, {(3, 3): 8.0, (5, 5): 1.5, (7, 7): 0.7, (1, 3): 0.5, (3, 1): 0.5, (2, 2): 0.5})
    stride = 2 if kernel == (2, 2) else one_of(draft, {1: 3.0, 2: 1.0})
    return activation(draft, conv(draft, value, around(draft, value.shape[1]), kernel=kernel, stride=stride))


def _pointwise(draft: Draft, value: Value) -> Value:
    """Return a 1x1 convolution and an activation."""
    stride = one_of(draft, {1: 8.0, 2: 1.0})
    return activation(draft, conv(draft, value, around(draft, value.shape[1]), stride=stride))


def _depthwise_conv(draft: Draft, value: Value) -> Value:
    """Return a convolution of each channel by itself."""
    kernel, stride = one_of(draft, {3: 4.0, 5: 2.0, 7: 1.0}), one_of(draft, {1: 3.0, 2: 1.0})
    return conv(draft, value, value.shape[1], kernel=kernel, stride=stride, groups=value.shape[1])


def _depthwise(draft: Draft, value: Value) -> Value:
    """Return a convolution of each channel by itself, and an activation; sometimes each makes two channels."""
    if 2 * value.shape[1] <= CHANNELS[1] and draft.random.random() < 0.1:  # noqa: PLR2004
        kernel, stride = one_of(draft, {3: 2.0, 7: 1.0}), one_of(draft, {1: 1.0, 2: 1.0})
        return activation(
            draft, conv(draft, value, 2 * value.shape[1], kernel=kernel, stride=stride, groups=value.shape[1])
        )
    return activation(draft, _depthwise_conv(draft, value))


def _grouped(draft: Draft, value: Value) -> Value:
    """Return a grouped 3x3 or 1x1 convolution of groups of 2 to 64 channels; 1x1 first where they do not fit."""
    width = one_of(draft, {2: 1.0, 4: 1.0, 8: 2.0, 16: 3.0, 24: 1.0, 32: 1.0, 64: 1.0})
    groups = max(2, round(around(draft, value.shape[1]) / width))
    if value.shape[1] != groups * width:
        value = activation(draft, conv(draft, value, groups * width))
    kernel, stride = one_of(draft, {3: 4.0, 1: 1.0}), one_of(draft, {1: 3.0, 2: 1.0})
    return activation(draft, conv(draft, value, groups * width, kernel=kernel, stride=stride, groups=groups))


def _inverted(draft: Draft, value: Value) -> Value:
    """Return an inverted residual: wider by 1x1, depthwise, sometimes a gate, narrow again, sometimes added."""
    wide = one_of(draft, {2: 1.0, 3: 1.0, 4: 1.0, 6: 2.0}) * value.shape[1]
    if wide > 2 * CHANNELS[1]:
        return _pointwise(draft, value)
    inner = _depthwise(draft, activation(draft, conv(draft, value, wide)))
    if draft.random.random() < 0.3:  # noqa: PLR2004 - a third has gates
        inner = _gate(draft, inner)
    same = inner.shape[2:] == value.shape[2:] and draft.random.random() < 0.7  # noqa: PLR2004
    out = conv(draft, inner, value.shape[1] if same else around(draft, value.shape[1]))
    return add(draft, out, value) if same else out


def _residual(draft: Draft, value: Value) -> Value:
    """Return two or three convolutions that *value* is added to."""
    inner = activation(draft, conv(draft, value, around(draft, value.shape[1]), kernel=one_of(draft, {1: 1.0, 3: 1.0})))
    if draft.random.random() < 0.4:  # noqa: PLR2004 - some are bottlenecks
        inner = activation(draft, conv(draft, inner, inner.shape[1], kernel=3))
    out = conv(draft, inner, value.shape[1], kernel=one_of(draft, {1: 1.0, 3: 1.0}))
    return activation(draft, add(draft, out, value))


def _gate(draft: Draft, value: Value) -> Value:
    """Return *value*, each channel times a number that comes from the means of all (squeeze and excitation)."""
    channels = value.shape[1]
    narrow = some_channels(draft, max(4, channels / 16), max(8, channels / 3))
    mean = map_mean(draft, value)
    inner = draft.node("Relu", [squeezed := conv(draft, mean, narrow)], squeezed.shape)
    operator = one_of(draft, {"Sigmoid": 2.0, "HardSigmoid": 1.0})
    gate = draft.node(operator, [conv(draft, inner, channels)], (1, channels, 1, 1))
    return draft.node("Mul", [value, gate], value.shape)


def _joined(draft: Draft, value: Value) -> Value:
    """Return two branches side by side; one of them may be *value* itself."""
    left = value if draft.random.random() < 0.5 else _pointwise_same(draft, value)  # noqa: PLR2004
    right = conv(draft, value, some_channels(draft, 8, max(16, value.shape[1])), kernel=one_of(draft, {1: 1.0, 3: 2.0}))
    right = activation(draft, right)
    parts = [left, right] if draft.random.random() < 0.7 else [left, right, _pointwise_same(draft, value)]  # noqa: PLR2004
    channels = sum(part.shape[1] for part in parts)
    joined = draft.node("Concat", parts, (1, channels, *value.shape[2:]), axis=1)
    return activation(draft, norm(draft, joined) if draft.random.random() < 0.3 else joined)  # noqa: PLR2004


def _pointwise_same(draft: Draft, value: Value) -> Value:
    """Return a 1x1 convolution that keeps the size."""
    return activation(draft, conv(draft, value, some_channels(draft, 8, max(16, value.shape[1]))))


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
        first, second = (sliced(draft, value, begin, end) for begin, end in ((0, half), (half, value.shape[1])))
    second = conv(draft, activation(draft, conv(draft, second, half)), half, kernel=3, groups=half)
    joined = draft.node("Concat", [first, activation(draft, conv(draft, second, half))], (1, 2 * half, *size), axis=1)
    apart = draft.node("Reshape", [joined, draft.integers(1, 2, half, *size)], (1, 2, half, *size))
    turned = draft.node("Transpose", [apart], (1, half, 2, *size), perm=[0, 2, 1, 3, 4])
    return draft.node("Reshape", [turned, draft.integers(1, 2 * half, *size)], (1, 2 * half, *size))


def _pool(draft: Draft, value: Value) -> Value:
    """Return the maxima or means of windows."""
    operator = one_of(draft, {"MaxPool": 3.0, "AveragePool": 2.0})
    kernel, stride = one_of(draft, {(2, 2): 2.0, (3, 2): 2.0, (3, 1): 1.0})
    pad = 1 if kernel == 3 else 0  # noqa: PLR2004
    size = tuple((length + 2 * pad - kernel) // stride + 1 for length in value.shape[2:])
    if min(size) < 1:
        return value
    attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
    return draft.node(operator, [value], (*value.shape[:2], *size), **attributes)


def _padded(draft: Draft, value: Value) -> Value:
    """Return *value* with zeros around it, below and right of it, or as channels after its own."""
    channels, height, width = value.shape[1:]
    more = min(channels, max(8, CHANNELS[1] - channels))
    before, after = one_of(
        draft, {((0, 1, 1), (0, 1, 1)): 1.0, ((0, 0, 0), (0, 1, 1)): 1.0, ((0, 0, 0), (more, 0, 0)): 1.0}
    )
    shape = (1, *(size + low + high for size, low, high in zip((channels, height, width), before, after, strict=True)))
    return draft.node("Pad", [value, draft.integers(0, *before, 0, *after)], shape)


def _resize(draft: Draft, value: Value) -> Value:
    """Return a map of twice the size; a map that is large already goes on as it is."""
    if max(value.shape[2:]) > 56:  # noqa: PLR2004
        return _pool(draft, value)
    size = tuple(2 * length for length in value.shape[2:])
    scales = draft.constant(np.array([1, 1, 2, 2], np.float32))
    mode = one_of(draft, {"nearest": 1.0, "linear": 1.0})
    transform = "asymmetric" if mode == "nearest" else "half_pixel"
    attributes = {"mode": mode, "coordinate_transformation_mode": transform, "nearest_mode": "floor"}
    return draft.node("Resize", [value, None, scales], (*value.shape[:2], *size), **attributes)


def _channels_last(draft: Draft, value: Value) -> Value:
    """Return a depthwise convolution, a norm over channels, two matrix products and the sum with *value*."""
    _, channels, height, width = value.shape
    if channels > CHANNELS[1] // 2:
        return _depthwise(draft, value)
    inner = conv(draft, value, channels, kernel=one_of(draft, {7: 2.0, 5: 1.0, 3: 1.0}), groups=channels)
    turned = draft.node("Transpose", [inner], (1, height, width, channels), perm=[0, 2, 3, 1])
    out = products(draft, layer_norm(draft, turned))
    back = draft.node("Transpose", [out], value.shape, perm=[0, 3, 1, 2])
    return add(draft, back, value)


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
        "shuffled": (1.2, _shuffled),
        "pool": (1.0, _pool),
        "resize": (0.3, _resize),
        "norm": (0.4, norm),
        "padded": (0.3, _padded),
        "channels last": (0.8, _channels_last),
    }
)
"""What follows what in a network of images, and how often."""
