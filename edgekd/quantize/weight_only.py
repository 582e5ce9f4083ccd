"""Weights in int8, arithmetic in float32: a quarter of the file for a network that must not be rounded elsewhere."""

from types import MappingProxyType

import msgspec
import torch
from onnx import ModelProto, TensorProto, numpy_helper

from edgekd.quantize.fake import Encodings
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.ranges import least_error_scales


def weight_only(model: ModelProto) -> ModelProto:
    """Return the float graph *model* with the weights of Conv, Gemm and MatMul as int8 behind DequantizeLinear.

    One scale for each output channel, the one with the least squared error; activations and biases stay float32.
    """
    found = place(model.graph, PLACEMENTS["onnxruntime-arm64"])
    places = msgspec.structs.replace(
        found, readers=MappingProxyType({}), scale_of=MappingProxyType({}), outputs=frozenset(), integer_bias=False
    )
    floats = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = {
        weight.name: tuple(least_error_scales(_tensor(floats[weight.name]), weight.axis).flatten().tolist())
        for weight in places.weights.values()
    }
    return write_qdq(model, places, Encodings(activations={}, weights=scales))


def _tensor(tensor: TensorProto) -> torch.Tensor:
    """Return a constant as a tensor of its own memory."""
    return torch.from_numpy(numpy_helper.to_array(tensor).copy())
