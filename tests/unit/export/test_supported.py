"""Laws of operator lists: what a runtime's documentation denies does not ship to it."""

import itertools
from collections.abc import Mapping

import pytest
from onnx import ModelProto, defs, parser
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_state
from quantized import exported, quantized_network

from edgekd.core.errors import ConfigError
from edgekd.export.legalize import NEWEST_OPSET, OLDEST_OPSET, legalize
from edgekd.export.operator_lists import LISTS
from edgekd.export.supported import refuse_unlisted


def one(node: str, *, shape: str = "1, 4, 8, 8", constants: str = "") -> ModelProto:
    """Return a graph of one *node*, named the_node."""
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g (float[{shape}] x) => (float[?] y) {constants} {{ y = {node} }}'
    )
    model.graph.node[0].name = "the_node"
    return model


def standard(opset: int) -> Mapping[str, defs.OpSchema]:
    """Return the operators of the ONNX standard in *opset*, deprecated ones too."""
    history = [schema for schema in defs.get_all_schemas_with_history() if not schema.domain]
    names = {schema.name for schema in history if schema.since_version <= opset}
    return {name: defs.get_schema(name, opset, "") for name in names}


DENIED: Mapping[tuple[str, int], str] = {
    ("8.2.1", 13): """
        BitShift Compress ConcatFromSequence ConvInteger Det DynamicQuantizeLinear Hardmax IsInf MatMulInteger
        MaxRoiPool MaxUnpool MeanVarianceNormalization Mod Multinomial NegativeLogLikelihoodLoss NonZero OneHot
        QLinearConv QLinearMatMul RandomNormal RandomNormalLike Reciprocal RoiAlign SequenceAt SequenceConstruct
        SequenceEmpty SequenceErase SequenceInsert SequenceLength Shrink SoftmaxCrossEntropyLoss SplitToSequence
        StringNormalizer TfIdfVectorizer Unique Xor
    """,
    ("10.6", 18): """
        Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im Compress ConcatFromSequence
        ConvInteger DFT Det DynamicQuantizeLinear MatMulInteger MaxRoiPool MaxUnpool MelWeightMatrix Multinomial
        NegativeLogLikelihoodLoss Optional OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul SequenceAt
        SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap SoftmaxCrossEntropyLoss
        SplitToSequence StringNormalizer TfIdfVectorizer Unique
    """,
}
"""What two of the documents mark with N; the lists here hold what they mark with Y."""

DEFINED_BY_OTHERS = {
    "Bernoulli",
    "CastLike",
    "CenterCropPad",
    "HardSwish",
    "Mish",
    "NegativeLogLikelihoodLoss",
    "SequenceMap",
    "SoftmaxCrossEntropyLoss",
}
"""Operators that the ONNX standard itself writes as others, so that a runtime needs no kernel for them."""


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
        ("Xor(x, x)", "8.2.1", "Xor"),
        ('Einsum <equation: string = "abcd->dcba"> (x)', "8.0.1", "Einsum"),
        ("Unique(x)", "10.3", "Unique"),
        ('Resize <mode: string = "cubic"> (x, , s)', "10.3", "mode is cubic"),
        ("MaxPool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", "10.3", "dilations are [2, 2]"),
        ("Conv <strides = [1]> (x, x)", "8.2.1", "1 spatial dimension"),
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
        ("Xor(x, x)", "tensorrt", "8.4"),
        ('Einsum <equation: string = "abcd->dcba"> (x)', "tensorrt", "8.2.1"),
        ("MaxPool <kernel_shape = [2, 2], dilations = [1, 1]> (x)", "tensorrt", "10.3"),
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


def test_a_newer_operator_that_has_an_older_form_is_met_with_advice() -> None:
    """TensorRT 8.5 takes opset 17 but no LayerNormalization of it; what edgekd writes for opset 13 passes."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[2, 4] x) => (float[2, 4] y) <float[4] s = {1, 2, 3, 4}>'
        "{ y = LayerNormalization(x, s) }"
    )
    with pytest.raises(ConfigError, match="ask for opset 13"):
        refuse_unlisted(model, "tensorrt", "8.5.2")
    refuse_unlisted(legalize(model, opset=13, ir_version=8), "tensorrt", "8.5.2")


def test_every_refused_node_is_named() -> None:
    """Two of them in one sentence, so that nobody mends one after the other."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 13]> g (float[2] x) => (float[2] y) { a = Reciprocal(x) y = Reciprocal(a) }'
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"node_{number}"
    with pytest.raises(ConfigError, match=r"'node_0'.*'node_1'"):
        refuse_unlisted(model, "tensorrt", "8.2.1")


def test_a_node_inside_of_a_branch_is_refused_too() -> None:
    """A runtime builds both branches of an If."""
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (bool c, float[2] x) => (float[2] y) {
            y = If (c) <
                then_branch = a () => (float[2] t) { t = Reciprocal(x) },
                else_branch = b () => (float[2] e) { e = Identity(x) }
            >
        }"""
    )
    with pytest.raises(ConfigError, match="Reciprocal"):
        refuse_unlisted(model, "tensorrt", "8.2.1")


def test_an_operator_of_another_domain_is_refused() -> None:
    """Its name says nothing about what it does."""
    model = one("Relu(x)")
    model.graph.node[0].domain = "com.example"
    with pytest.raises(ConfigError, match="Relu"):
        refuse_unlisted(model, "tensorrt", "10.3")


@pytest.mark.parametrize(("version", "opset"), DENIED)
def test_a_list_and_what_its_document_denies_are_the_standard(version: str, opset: int) -> None:
    """Together they are every operator up to that opset, and none is in both."""
    numbers = tuple(map(int, version.split(".")))
    listed = next(found.operators for found in LISTS if found.oldest <= numbers < found.before)
    denied = set(DENIED[version, opset].split())
    assert not listed & denied
    assert (listed | denied) & standard(opset).keys() == standard(opset).keys()


def test_onnx_runtime_has_every_operator_that_is_written() -> None:
    """A kernel for its version, a definition by other operators, or Constant, in each opset from 13 to 18."""
    kernels = [kernel for kernel in runtime_state.get_all_opkernel_def() if not kernel.domain]
    spans: dict[str, list[tuple[int, int]]] = {}
    for kernel in kernels:
        if kernel.provider == "CPUExecutionProvider":
            spans.setdefault(kernel.op_name, []).append(kernel.version_range)
    lacking = {
        (schema.name, opset)
        for opset in range(OLDEST_OPSET, NEWEST_OPSET + 1)
        for schema in standard(opset).values()
        if not schema.deprecated
        and not any(first <= schema.since_version <= last for first, last in spans.get(schema.name, ()))
    }
    assert {name for name, _ in lacking} - {"Constant"} <= DEFINED_BY_OTHERS


def test_lists_follow_each_other_without_gap_or_loss() -> None:
    """Each version has one list, and a newer one has all that an older one has."""
    for older, newer in itertools.pairwise(LISTS):
        assert older.before == newer.oldest
        assert older.operators <= newer.operators
