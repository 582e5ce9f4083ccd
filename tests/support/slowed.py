"""Networks whose latency is known as a ratio, so many equal layers in a row; and patience with a busy machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

LOOKS: Final = 4
Found = TypeVar("Found")


def sure(look: Callable[[int], Found], unsure: Callable[[Found], str]) -> Found:
    """Return the first sure answer that *look*, called with a seed, gives; *unsure* says why one is not, or nothing.

    Where none of four is sure because the machine was too busy for the baseline to agree with itself, the test is
    skipped; where there is another reason, the answer is returned as it is.
    """
    found = look(0)
    for seed in range(1, LOOKS):
        if not unsure(found):
            return found
        found = look(seed)
    reason = unsure(found)
    if "too unsteady" in reason or "did not confirm" in reason:
        pytest.skip(f"{LOOKS} looks, and this machine was too unsteady in each: {reason}")
    return found


def equal_layers(path: Path, layers: int, *, channels: int = 32, side: int = 24) -> Path:
    """Write a network of so many equal 3x3 convolutions to *path* and return it: its time grows with their number."""
    weight = np.random.default_rng(0).standard_normal((channels, channels, 3, 3)).astype(np.float32) / (3 * channels)
    names = ["input", *(f"value_{number}" for number in range(1, layers)), "output"]
    nodes = [
        helper.make_node("Conv", [names[n], "weight"], [names[n + 1]], name=f"Conv_{n}", pads=[1, 1, 1, 1])
        for n in range(layers)
    ]
    shape = [1, channels, side, side]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
