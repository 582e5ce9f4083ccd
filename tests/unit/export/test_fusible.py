"""Laws of the forms that runtimes run as one kernel."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, parser

from edgekd.export.fusible import with_fusible_forms
from edgekd.export.legalize import legalize
from edgekd.networks.session import open_session

GELU = "d = Div(x, root) e = Erf(d) p = Add({add}) h = Mul({half}) y = Mul({last})"


def gelu(*, add: str = "e, one", half: str = "p, half", last: str = "x, h", factor: float = 0.5) -> ModelProto:
    """Return GELU as PyTorch's exporter writes it, its operands in any order."""
    body = GELU.format(add=add, half=half, last=last)
    return parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[2, 3] x) => (float[2, 3] y) '
        f"<float root = {{{math.sqrt(2):.9f}}}, float one = {{1}}, float half = {{{factor}}}> {{ {body} }}"
    )


def kernels(model: ModelProto, folder: Path) -> Counter[str]:
    """Return how often ONNX Runtime's optimized graph has each operator."""
    path = folder / "optimized.onnx"
    open_session(model, save_optimized=path)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("add", ["e, one", "one, e"])
@pytest.mark.parametrize("half", ["p, half", "half, p"])
@pytest.mark.parametrize("last", ["x, h", "h, x"])
def test_gelu_is_one_kernel(tmp_path: Path, add: str, half: str, last: str) -> None:
    """However its operands stand, ONNX Runtime finds one Gelu where it found five operators."""
    model = gelu(add=add, half=half, last=last)

    assert kernels(model, tmp_path) == {"Div": 1, "Erf": 1, "Add": 1, "Mul": 2}
    assert kernels(with_fusible_forms(model), tmp_path) == {"Gelu": 1}


def test_gelu_keeps_every_bit() -> None:
    """Halving at the end instead of inside is exact, node by node, and GELU(1) is 0.8413 (normal distribution)."""
    x = np.concatenate([np.random.default_rng(0).normal(0, 3, 5), [1.0]]).astype(np.float32).reshape(2, 3)
    before, after = (
        open_session(model, arithmetic="reference").run(None, {"x": x})[0]
        for model in (gelu(), with_fusible_forms(gelu()))
    )

    np.testing.assert_array_equal(before, after)
    assert after[1, 2] == pytest.approx(0.841345, abs=1e-6)


def test_what_is_no_gelu_stays() -> None:
    """Another factor than one half is another function."""
    other = gelu(factor=0.25)

    assert [node.op_type for node in with_fusible_forms(other).graph.node] == ["Div", "Erf", "Add", "Mul", "Mul"]
    assert list(with_fusible_forms(other).graph.node[-1].input) == ["x", "h"]


def test_a_layer_norm_of_opset_13_is_one_kernel(tmp_path: Path) -> None:
    """Written in older operators, LayerNormalization is found again, and its bits are those of opset 18."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[2, 4] x) => (float[2, 4] y) '
        "<float[4] s = {1, 2, 3, 4}, float[4] b = {0, 1, 0, 1}> { y = LayerNormalization(x, s, b) }"
    )
    model.graph.node[0].name = "norm"
    old = legalize(model, opset=13, ir_version=8)
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).numpy()

    assert kernels(old, tmp_path) == {"LayerNormalization": 1}
    before, after = (open_session(one).run(None, {"x": x})[0] for one in (model, old))
    np.testing.assert_array_equal(before, after)
