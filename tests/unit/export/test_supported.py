"""Laws of operator lists: what a runtime's documentation denies does not ship to it."""

import itertools

import pytest
from onnx import ModelProto, parser
from quantized import exported, quantized_network

from edgekd.core.errors import ConfigError
from edgekd.export.legalize import legalize
from edgekd.export.supported import LISTS, refuse_unlisted


def one(node: str, *, shape: str = "1, 4, 8, 8", constants: str = "") -> ModelProto:
    """Return a graph of one *node*, named the_node."""
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g (float[{shape}] x) => (float[?] y) {constants} {{ y = {node} }}'
    )
    model.graph.node[0].name = "the_node"
    return model


@pytest.mark.parametrize("name", ["dscnn", "resnet", "branches"])
@pytest.mark.parametrize("version", ["8.2.1", "10.3"])
def test_every_test_network_ships_everywhere(name: str, version: str) -> None:
    """In float and, with the placement made for TensorRT, in INT8: nothing of opset 13 that we write is unlisted."""
    for graph in (exported(name), quantized_network(name, "tensorrt").qdq):
        refuse_unlisted(legalize(graph, opset=13, ir_version=8), "tensorrt", version)


@pytest.mark.parametrize(
    ("node", "version", "named"),
    [
        ("Reciprocal(x)", "8.2.1", "Reciprocal"),
        ("IsInf(x)", "8.2.1", "IsInf"),
        ("IsInf(x)", "8.5.2", "IsInf"),
        ('Resize <mode: string = "cubic"> (x, , s)', "8.2.1", "mode is cubic"),
        ("MaxPool <kernel_shape = [2]> (x)", "8.2.1", "1 spatial dimension"),
        ("DynamicQuantizeLinear(x)", "10.3", "DynamicQuantizeLinear"),
    ],
)
def test_what_the_list_lacks_is_refused_by_name(node: str, version: str, named: str) -> None:
    """The sentence names node, operator, runtime, version and source."""
    constants = "<float[4] s = {1, 1, 2, 2}>" if "s)" in node else ""
    with pytest.raises(ConfigError, match=f"tensorrt {version} cannot build this network: node 'the_node'") as error:
        refuse_unlisted(one(node, constants=constants), "tensorrt", version)
    assert named in str(error.value)
    assert "docs/operators.md" in str(error.value)


@pytest.mark.parametrize(
    ("node", "runtime", "version"),
    [
        ("Reciprocal(x)", "tensorrt", "8.5"),
        ("Reciprocal(x)", "tensorrt", "10.3"),
        ("Reciprocal(x)", "onnxruntime", "1.32.0"),
        ("MaxPool <kernel_shape = [2, 2]> (x)", "tensorrt", "8.2.1"),
        ('Resize <mode: string = "linear"> (x, , s)', "tensorrt", "8.2.1"),
    ],
)
def test_what_the_list_has_passes(node: str, runtime: str, version: str) -> None:
    """The same operators elsewhere, or in a form that the list names."""
    constants = "<float[4] s = {1, 1, 2, 2}>" if "s)" in node else ""
    refuse_unlisted(one(node, constants=constants), runtime, version)


@pytest.mark.parametrize(("runtime", "version"), [("tensorrt", "7.1"), ("tensorrt", "11.0"), ("tflite", "2.1")])
def test_a_version_of_which_nothing_is_known_is_refused(runtime: str, version: str) -> None:
    """Silence is no support."""
    with pytest.raises(ConfigError, match="no operator list"):
        refuse_unlisted(one("Relu(x)"), runtime, version)


def test_every_refused_node_is_named() -> None:
    """Two of them in one sentence, so that nobody mends one after the other."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 13]> g (float[2] x) => (float[2] y) { a = Reciprocal(x) y = Reciprocal(a) }'
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"node_{number}"
    with pytest.raises(ConfigError, match=r"'node_0'.*'node_1'"):
        refuse_unlisted(model, "tensorrt", "8.2.1")


def test_lists_do_not_overlap() -> None:
    """Each version has one list, and no list calls an operator both known and lacking."""
    spans = sorted((found.oldest, found.before) for found in LISTS)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert not any(found.lacking & (found.known or frozenset()) for found in LISTS)
