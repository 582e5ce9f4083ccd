"""The blocks over tokens of the suite: what transformers are made of."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from edgekd.predict.drafting import Draft, Value
from edgekd.predict.suite_draws import log_uniform, one_of
from edgekd.predict.suite_layers import add, conv, layer_norm, linear, products

TOKENS: Final = (16, 256)
WIDTHS: Final = (48, 512)

Block = Callable[[Draft, Value], Value]


def start_tokens(draft: Draft, _budget: float) -> Value:
    """Return the start of a transformer: tokens, or patches of an image."""
    width = 16 * round(log_uniform(draft, *WIDTHS) / 16)
    if draft.random.random() < 0.5:  # noqa: PLR2004 - half starts with pixels
        return draft.input(1, round(log_uniform(draft, *TOKENS)), width)
    patch = one_of(draft, {4: 1.0, 8: 1.0, 16: 2.0})
    side = patch * round(log_uniform(draft, 4, 14))
    maps = conv(draft, draft.input(1, 3, side, side), width, kernel=patch, stride=patch)
    number = maps.shape[2] * maps.shape[3]
    flat = draft.node("Reshape", [maps, draft.integers(1, width, number)], (1, width, number))
    return draft.node("Transpose", [flat], (1, number, width), perm=[0, 2, 1])


def _feed_forward(draft: Draft, value: Value) -> Value:
    """Return norm, two products and the sum with *value*."""
    return add(draft, products(draft, layer_norm(draft, value)), value)


def _attention(draft: Draft, value: Value) -> Value:
    """Return norm, attention of a few heads and the sum with *value*."""
    _, number, width = value.shape
    size = one_of(draft, {16: 1.0, 32: 2.0, 64: 2.0})
    heads = max(1, width // size)
    normed = layer_norm(draft, value)
    split = _heads_of_one if draft.random.random() < 0.5 else _heads_of_three  # noqa: PLR2004
    queries, keys, values = split(draft, normed, heads, size)
    keys = draft.node("Transpose", [keys], (1, heads, size, number), perm=[0, 1, 3, 2])
    draft.macs += 2 * heads * size * number * number
    scores = draft.node("MatMul", [queries, keys], (1, heads, number, number))
    scores = draft.node("Mul", [scores, draft.scalar(size**-0.5)], scores.shape)
    mixed = draft.node("MatMul", [draft.node("Softmax", [scores], scores.shape, axis=-1), values], values.shape)
    turned = draft.node("Transpose", [mixed], (1, number, heads, size), perm=[0, 2, 1, 3])
    flat = draft.node("Reshape", [turned, draft.integers(1, number, heads * size)], (1, number, heads * size))
    return add(draft, linear(draft, flat, width), value)


def _heads_of_three(draft: Draft, value: Value, heads: int, size: int) -> tuple[Value, ...]:
    """Return queries, keys and values, each from a product of its own."""
    return tuple(_heads(draft, linear(draft, value, heads * size), heads) for _ in range(3))


def _heads_of_one(draft: Draft, value: Value, heads: int, size: int) -> tuple[Value, ...]:
    """Return queries, keys and values from one product, turned over together and split."""
    number = value.shape[1]
    shape = (1, number, 3, heads, size)
    apart = draft.node("Reshape", [linear(draft, value, 3 * heads * size), draft.integers(*shape)], shape)
    turned = draft.node("Transpose", [apart], (3, 1, heads, number, size), perm=[2, 0, 3, 1, 4])
    parts = draft.nodes("Split", [turned, draft.integers(1, 1, 1)], [(1, 1, heads, number, size)] * 3, axis=0)
    return tuple(draft.node("Squeeze", [part, draft.integers(0)], (1, heads, number, size)) for part in parts)


def _heads(draft: Draft, value: Value, heads: int) -> Value:
    """Return (1, number, width) as (1, heads, number, width of one)."""
    _, number, width = value.shape
    shape = (1, number, heads, width // heads)
    apart = draft.node("Reshape", [value, draft.integers(*shape)], shape)
    return draft.node("Transpose", [apart], (1, heads, number, width // heads), perm=[0, 2, 1, 3])


TOKEN_BLOCKS: Final[Mapping[str, tuple[float, Block]]] = MappingProxyType(
    {"attention": (1.0, _attention), "feed forward": (1.0, _feed_forward)}
)
