"""Write a float32 network in float16, with float32 inputs and outputs."""

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import defs
from onnx_ir.passes import common

from edgekd.core.errors import ConfigError
from edgekd.export import shapes
from edgekd.export.rewriting import sweep

SINGLE, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
LARGEST_HALF = float(np.finfo(np.float16).max)
HALF_TYPE = "tensor(float16)"


def to_float16(model: onnx.ModelProto, keep: Container[str] = frozenset()) -> onnx.ModelProto:
    """Return *model* with float16 weights and arithmetic, but for the nodes named in *keep*, which stay float32.

    Graph inputs and outputs stay float32, with one Cast each. An operator input that ONNX wants in float32
    (the scales of Resize) stays float32; an operator without a float16 form runs in float32 between Casts.
    Weights under 2**-14 become subnormal and lose digits, under 2**-25 they become zero: an absolute error of
    at most 2**-25 that disappears beside the rounding of larger weights. A lone constant that would vanish
    (an epsilon under a root) is refused. Convert before ``legalize``, which keeps the statistics of
    LayerNormalization in float32.

    Raises:
        ConfigError: a weight of a node that is not kept is beyond 65504, or a lone constant of one vanishes
            (``overflow.overflowing`` finds such nodes); the network is quantized, has control flow, or has an
            operator whose output type cannot be told from its inputs.

    """
    graph = ir.from_proto(shapes.infer(model))
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    forms = _Forms(graph.graph)
    for node in tuple(graph.graph):
        _refuse(node)
        schema = defs.get_schema(node.op_type, graph.opset_imports[node.domain], node.domain)
        if node.name in keep:
            _keep(node, forms)
        else:
            _convert(node, schema, forms)
    forms.restore_outputs()
    sweep(graph)
    forms.keep_names()
    return shapes.infer(ir.to_proto(graph))


class _Forms:
    """The float16 and float32 form of every value of a graph, made when first asked for."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self._halved: dict[ir.Value, ir.Value] = {}

    def of(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Return *value* as *dtype*: itself, a converted constant, or the output of a Cast right after it."""
        if value.dtype == dtype:
            return value
        if value.is_initializer() and not value.is_graph_input() and dtype == HALF:
            if value not in self._halved:
                self._halved[value] = _half_constant(value)
                self._graph.register_initializer(self._halved[value])
            return self._halved[value]
        if (value, dtype) not in self._casts:
            self._casts[value, dtype] = self._cast(value, dtype, f"{value.name}_{dtype.name.lower()}")
        return self._casts[value, dtype]

    def restore_outputs(self) -> None:
        """Cast float16 graph outputs to float32 under the name that the graph promises."""
        for index, value in enumerate(self._graph.outputs):
            if value.dtype == HALF:
                name, value.name = value.name, f"{value.name}_float16"
                single = self._cast(value, SINGLE, str(name))
                single.shape = value.shape
                self._graph.outputs[index] = single

    def keep_names(self) -> None:
        """Give each converted constant the name of its original, where that is not needed any more."""
        for single, half in self._halved.items():
            if single.graph is None and half.graph is not None:
                half.name = single.name

    def _cast(self, value: ir.Value, dtype: ir.DataType, name: str) -> ir.Value:
        node = ir.node("Cast", [value], {"to": dtype.value}, name=f"Cast_{name}")
        node.outputs[0].name, node.outputs[0].dtype = name, dtype
        producer = value.producer()
        if producer is not None:
            self._graph.insert_after(producer, node)
        elif len(self._graph):
            self._graph.insert_before(self._graph[0], node)
        return node.outputs[0]


def _keep(node: ir.Node, forms: _Forms) -> None:
    """Connect *node* to float32 inputs; what it gives is float32 as before."""
    for index, value in enumerate(node.inputs):
        if value is not None and value.dtype == HALF:
            node.replace_input_with(index, forms.of(value, SINGLE))


def _convert(node: ir.Node, schema: defs.OpSchema, forms: _Forms) -> None:
    """Connect *node* to inputs in the widest use of float16 that *schema* allows, and type its outputs."""
    bound = set()
    for index, value in enumerate(node.inputs):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        bound.add(formal.type_str)
        if value is not None and value.dtype in {SINGLE, HALF}:
            node.replace_input_with(index, forms.of(value, HALF if HALF_TYPE in formal.types else SINGLE))
    for index, output in enumerate(node.outputs):
        formal = schema.outputs[min(index, len(schema.outputs) - 1)]
        if output.dtype != SINGLE or HALF_TYPE not in formal.types:
            continue
        output.dtype = HALF
        if formal.type_str not in bound:
            _set_output_type(node)


def _set_output_type(node: ir.Node) -> None:
    """Ask for float16 from a *node* whose output type an attribute decides."""
    attribute = TYPE_ATTRIBUTES.get(node.op_type)
    if attribute is None:
        message = (
            f"node {node.name!r} ({node.op_type}): edgekd does not know what decides the type of its output; "
            "replace the operator in the network or choose precision fp32."
        )
        raise ConfigError(message)
    if attribute == "value":
        tensor = node.attributes.get_tensor("value", None)
        array = np.zeros(1, np.float32) if tensor is None else tensor.numpy()
        node.attributes.add(ir.AttrTensor("value", ir.tensor(_half(array, f"the value of node {node.name!r}"))))
    else:
        node.attributes.add(ir.AttrInt64(attribute, HALF.value))


def _half_constant(value: ir.Value) -> ir.Value:
    if value.const_value is None:
        message = f"constant {value.name!r} carries no data; load the model with its external data."
        raise ConfigError(message)
    readers = ", ".join(_reader_names(value))
    name = f"{value.name}_float16"
    tensor = ir.tensor(_half(value.const_value.numpy(), f"constant {value.name!r} of {readers}"), name=name)
    return ir.Value(name=name, type=ir.TensorType(HALF), shape=value.shape, const_value=tensor)


def _half(array: npt.NDArray[np.generic], what: str) -> npt.NDArray[np.float16]:
    """Return *array* rounded to float16; infinities stay, larger finite numbers are refused."""
    single = np.asarray(array, np.float32)
    largest = float(np.max(np.abs(single), initial=0.0, where=np.isfinite(single)))
    if largest > LARGEST_HALF:
        limit = f"float16 ends at {LARGEST_HALF:g}"
        message = f"{what} holds {largest:g}, {limit}; rescale it or choose precision fp32."
        raise ConfigError(message)
    half = single.astype(np.float16)
    if single.size == 1 and single.any() and not half.any():
        message = f"{what} is {single.item():g}, which is zero in float16; enlarge it or choose precision fp32."
        raise ConfigError(message)
    return half


def _refuse(node: ir.Node) -> None:
    where = f"node {node.name!r} ({node.op_type})"
    if node.op_type in QUANTIZED:
        message = f"{where}: the network is quantized already; convert the float32 network."
        raise ConfigError(message)
    graph_types = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}
    if any(attribute.type in graph_types for attribute in node.attributes.values()):
        message = f"{where}: networks with control flow are not converted; choose precision fp32."
        raise ConfigError(message)
    if node.domain:
        message = f"{where}: the types of domain {node.domain!r} are not known; choose precision fp32."
        raise ConfigError(message)


def _reader_names(value: ir.Value) -> Iterator[str]:
    return (repr(node.name) for node in value.consumers())


TYPE_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "Cast": "to",
        "ConstantOfShape": "value",
        "EyeLike": "dtype",
        "RandomNormal": "dtype",
        "RandomUniform": "dtype",
    }
)
QUANTIZED = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)
