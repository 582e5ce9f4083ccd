"""The networks of the micro-benchmark suite: random chains of the blocks that mobile networks are made of.

Every size is drawn from a range; no network that anybody uses is written down here. What is timed are the nodes, each
between others of its network, so that caches are as in a network; chains of unlike layers give unlike nodes.
"""

from typing import Final

import numpy as np
from onnx import ModelProto

from edgekd.predict.drafting import Draft, Value
from edgekd.predict.suite_draws import log_uniform, some_channels
from edgekd.predict.suite_images import IMAGE_BLOCKS, start_image
from edgekd.predict.suite_layers import map_mean
from edgekd.predict.suite_tokens import TOKEN_BLOCKS, start_tokens

LEAST_MACS: Final = 2e5
MOST_MACS: Final = 4e8
"""What a whole network of the suite multiplies: log-uniform, so that small and large kernels are seen alike."""
MOST_NODES: Final = 60
TOKEN_PART: Final = 0.15
"""How many networks of the suite are transformers."""


def suite_network(seed: int) -> ModelProto:
    """Return the network of the suite that belongs to *seed*; the same seed gives the same network."""
    draft = Draft(np.random.default_rng(seed))
    budget = log_uniform(draft, LEAST_MACS, MOST_MACS)
    start, blocks = (start_tokens, TOKEN_BLOCKS) if draft.random.random() < TOKEN_PART else (start_image, IMAGE_BLOCKS)
    value = start(draft, budget)
    names = list(blocks)
    chances = np.array([blocks[name][0] for name in names])
    while draft.macs < budget and draft.size < MOST_NODES:
        value = blocks[names[draft.random.choice(len(names), p=chances / chances.sum())]][1](draft, value)
    return draft.finish(_head(draft, value))


def _head(draft: Draft, value: Value) -> Value:
    """Return a classifier over the mean of *value*, or over the whole of a small one; sometimes with softmax."""
    if len(value.shape) == 3:  # noqa: PLR2004 - tokens
        axes = draft.integers(1)
        flat = draft.node("ReduceMean", [value, axes], (1, value.shape[2]), keepdims=0)
    else:
        small = value.numbers <= 8192 and draft.random.random() < 0.3  # noqa: PLR2004
        mean = value if small else map_mean(draft, value)
        flat = draft.node("Flatten", [mean], (1, mean.numbers), axis=1)
    classes = round(log_uniform(draft, 2, 1500))
    for width in (*([some_channels(draft, 32, 2048)] if draft.random.random() < 0.5 else []), classes):  # noqa: PLR2004
        draft.macs += flat.shape[1] * width
        weight = draft.weight(width, flat.shape[1])
        flat = draft.node("Gemm", [flat, weight, draft.weight(width, fan_in=4)], (1, width), transB=1)
        if width != classes:
            flat = draft.node("Relu", [flat], flat.shape)
    return draft.node("Softmax", [flat], flat.shape, axis=-1) if draft.random.random() < 0.3 else flat  # noqa: PLR2004
