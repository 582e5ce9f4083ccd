"""Laws of what a target's protocol says of a network before it is measured."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgekd.bench.protocol import protocol_of, unlike_inputs
from edgekd.targets import load_target


@pytest.mark.parametrize(
    ("dtype", "sizes", "said"),
    [
        ("float32", (1, 3, 32, 32), ()),
        ("float32", ("n", 3, 32, 32), ()),
        ("float32", (1, 32, 32, 3), ("its input 'x' (1x32x32x3) is NHWC, and raspberry-pi-4 prefers NCHW",)),
        ("uint8", (1, 3, 32, 32), ("its input 'x' is uint8, and raspberry-pi-4 prefers float32",)),
        ("float32", (1, 32, 32, 16), ()),
        ("float32", ("n", "h", "w", 3), ("its input 'x' (?x?x?x3) is NHWC, and raspberry-pi-4 prefers NCHW",)),
        ("float32", (1, 64, 3, 3), ()),
        ("float32", (1, 64, 101, 1), ()),
        ("float32", (1, 3), ()),
        ("int64", (1, 3), ()),
    ],
)
def test_an_input_that_the_targets_runtime_does_not_prefer_is_said(
    tmp_path: Path, dtype: str, sizes: tuple[int | str, ...], said: tuple[str, ...]
) -> None:
    """Another type, or colours in the last place; where the colours cannot be told, nothing."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [helper.make_tensor_value_info(name, kind, sizes) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "network", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    assert unlike_inputs(tmp_path / "net.onnx", protocol_of(load_target("raspberry-pi-4"))) == said
    assert unlike_inputs(tmp_path / "net.onnx", None) == ()
