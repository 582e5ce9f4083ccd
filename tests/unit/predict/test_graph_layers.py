"""Layers of ONNX graphs: arithmetic, sizes and traffic by hand, what belongs to a layer, what is refused."""

import numpy as np
import pytest
import torch
from older import older_onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.predict.graph_layers import layers_of
from edgekd.predict.layers import KINDS, convolution_kind
from edgekd.predict.operators import CONVOLUTIONS, FUSED, KIND_OF_OTHERS, KNOWN, PRODUCTS


def graph(
    *nodes: NodeProto, shape: tuple[int | str, ...], weights: dict[str, tuple[int, ...]] | None = None
) -> ModelProto:
    """Return a network of *nodes* from ``x`` to the output of the last of them."""
    arrays = {name: np.ones(size, np.float32) for name, size in (weights or {}).items()}
    made = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_a_convolution_counts_its_arithmetic_weights_and_traffic() -> None:
    """3x3 with stride 2 and padding, 4 to 6 channels on 10x8: 5*4 positions of 6 * 4*9 products."""
    conv = helper.make_node("Conv", ["x", "w"], ["y"], "c", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    (layer,) = layers_of(graph(conv, shape=(1, 4, 10, 8), weights={"w": (6, 4, 3, 3)}), where="here")
    assert (layer.kind, layer.kernel, layer.stride, layer.groups) == ("dense", (3, 3), 2, 1)
    assert (layer.in_size, layer.out_size) == ((10, 8), (5, 4))
    assert (layer.macs, layer.weights) == (5 * 4 * 6 * 4 * 9, 6 * 4 * 9)
    assert (layer.read, layer.written) == (4 * 10 * 8, 6 * 5 * 4)


@pytest.mark.parametrize(
    ("kernel", "groups", "in_channels", "kind"),
    [
        ((3, 3), 1, 8, "dense"),
        ((1, 1), 1, 8, "pointwise"),
        ((3, 3), 8, 8, "depthwise"),
        ((1, 1), 2, 8, "grouped"),
        ((1, 7), 1, 1, "dense"),
    ],
)
def test_a_convolution_is_called_by_its_form(kernel: tuple[int, int], groups: int, in_channels: int, kind: str) -> None:
    """Depthwise has one group for each input channel."""
    assert convolution_kind(kernel=kernel, groups=groups, in_channels=in_channels) == kind


def test_an_open_batch_becomes_one_sample() -> None:
    """A matrix of 5x3 on a batch of any size is 15 products."""
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    (layer,) = layers_of(graph(product, shape=("batch", 5), weights={"w": (5, 3)}), where="here")
    assert (layer.kind, layer.macs, layer.weights, layer.read, layer.written) == ("linear", 15, 15, 5, 3)


def test_attention_is_products_of_activations() -> None:
    """Queries (4, 6) times keys (4, 6) transposed read both and write 4x4."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    moved, product = layers_of(graph(*nodes, shape=(1, 4, 6)), where="here")
    assert (moved.kind, moved.macs, moved.read, moved.written) == ("movement", 0, 24, 24)
    assert (product.kind, product.macs, product.weights) == ("product", 4 * 4 * 6, 0)
    assert (product.read, product.written) == (48, 16)


def test_norm_and_activation_belong_to_the_layer_that_they_alone_read() -> None:
    """Conv, BatchNorm, ReLU are one layer; the activation that a residual reads too stays one of its own."""
    weights = {"w": (4, 4, 1, 1), **dict.fromkeys(("scale", "shift", "mean", "variance"), (4,))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Sigmoid", ["r"], ["s"]),
        helper.make_node("Mul", ["r", "s"], ["y"]),
    ]
    layers = layers_of(graph(*nodes, shape=(1, 4, 2, 2), weights=weights), where="here")
    assert [layer.operator for layer in layers] == ["Conv", "Sigmoid", "Mul"]
    assert [layer.kind for layer in layers] == ["pointwise", "elementwise", "elementwise"]


def test_a_quantized_convolution_is_one_integer_layer() -> None:
    """Q/DQ pairs vanish in it; what quantizes the input and gives floats back at the end stays."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "scale"], ["xd"]),
        helper.make_node("Conv", ["xd", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "scale"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "scale"], ["y"]),
    ]
    model = graph(*nodes, shape=(1, 4, 2, 2), weights={"w": (4, 4, 1, 1), "scale": ()})
    layers = layers_of(model, where="here")
    assert [layer.operator for layer in layers] == ["QuantizeLinear", "Conv", "DequantizeLinear"]
    assert [layer.precision for layer in layers] == ["fp32", "int8", "fp32"]


def test_constants_and_views_are_no_layers() -> None:
    """A reshape by a computed shape moves nothing, and its arithmetic is done once."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "rest"], ["whole"], axis=0),
        helper.make_node("Reshape", ["x", "whole"], ["y"]),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    model = graph(*nodes, shape=("n", 4, 2, 2))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "rest"))
    (layer,) = layers_of(model, where="here")
    assert (layer.operator, layer.in_channels, layer.read, layer.written) == ("Relu", 16, 16, 16)


def test_a_file_of_the_older_exporter_is_read() -> None:
    """Sizes that are computed in the graph are found; a recurrent layer works at each time: 9 * 4*8 * (6+8)."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.memory(x)[0][:, -1])
            return logits

    layers = layers_of(older_onnx(Recurrent(), (9, 6)), where="here")
    assert {layer.kind: layer.macs for layer in layers if layer.macs} == {"recurrent": 9 * 32 * 14, "linear": 24}


def test_an_unknown_operator_is_refused_by_name() -> None:
    """Nothing is known of its cost, so there is no number."""
    node = helper.make_node("NonZero", ["x"], ["y"], "indices")
    with pytest.raises(ConfigError, match=r"net\.onnx: node 'indices' \(NonZero\): nothing is known"):
        layers_of(graph(node, shape=(1, 4)), where="net.onnx")


def test_an_open_size_other_than_the_batch_is_refused() -> None:
    """The cost of an image of any height is no number."""
    node = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(ConfigError, match=r"net\.onnx: input 'x' leaves the size 'height' open"):
        layers_of(graph(node, shape=("batch", 3, "height", 8)), where="net.onnx")


def test_every_known_operator_has_one_kind() -> None:
    """The tables do not overlap, and name kinds that there are."""
    assert set(KIND_OF_OTHERS.values()) <= set(KINDS)
    assert not (CONVOLUTIONS | PRODUCTS) & set(KIND_OF_OTHERS)
    assert FUSED <= KNOWN
