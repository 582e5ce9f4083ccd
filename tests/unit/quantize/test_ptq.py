"""Post-training quantization: what each step promises, and that nothing is kept that does harm."""

import functools

import msgspec
import numpy as np
import pytest
import torch
from onnx import parser
from quantized import exported, some_digits

from edgekd.core.errors import ConfigError
from edgekd.networks.session import answers, open_session
from edgekd.quantize.answering import distance
from edgekd.quantize.equalize import equalized, pairs_of
from edgekd.quantize.mixed_precision import cheapest
from edgekd.quantize.placement import PLACEMENTS
from edgekd.quantize.ptq import Prepared, assembled, prepared
from edgekd.quantize.recipe import PostTraining
from edgekd.quantize.samples import Samples, held
from edgekd.quantize.sensitivity import Sensitivity, sensitivities
from edgekd.tasks.digits import load_digits


def digits(first: int, count: int) -> Samples:
    """Return training digits."""
    task = load_digits()
    return held(torch.from_numpy(task.read(task.train, slice(first, first + count))[0]))


@functools.cache
def ready(name: str = "dscnn", **chosen: str) -> Prepared:
    """Return a network prepared with settings."""
    settings = msgspec.convert(chosen, PostTraining)
    return prepared(
        exported(name),
        PLACEMENTS["onnxruntime-arm64"],
        settings,
        calibration=digits(0, 128),
        judging=digits(128, 128),
    )


def test_equalization_changes_no_answer() -> None:
    """Scaling a channel up and its reader down is the identity in float."""
    model = exported("dscnn")
    assert pairs_of(model.graph)
    images = [(some_digits()[:50],)]
    expected = answers(open_session(model, arithmetic="reference"), images)
    found = answers(open_session(equalized(model), arithmetic="reference"), images)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["mse", "percentile", "entropy", "min-max"])
def test_every_way_to_find_ranges_keeps_most_answers(method: str) -> None:
    """Three of four digits keep their class, though all layers but the last are random."""
    (trial, *_) = ready(method=method, equalize="no", bias_correction="no").trials
    assert trial.distance.agreement >= 0.75


def test_a_network_that_answers_with_infinities_is_refused() -> None:
    """All weights are finite; their products leave float32 in the last layer, whose output no range is sought for."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 1] x) => (float[n, 2] y) '
        "<float[2, 1] a = {1e20, 2}, float[2, 2] b = {1e20, 2, 3, 4}> "
        "{ [first] h = Gemm <transB = 1> (x, a) [second] y = Gemm <transB = 1> (h, b) }"
    )
    samples = held(torch.ones(64, 1))
    with pytest.raises(ConfigError, match="answers with NaN or infinite numbers"):
        prepared(model, PLACEMENTS["onnxruntime-arm64"], PostTraining(), calibration=samples, judging=samples)


def test_only_what_brings_the_answers_nearer_is_kept() -> None:
    """The divergence of what is kept falls from trial to trial; what is left out was no better."""
    best = float("inf")
    for trial in ready().trials:
        assert trial.was_kept == (trial.distance.divergence < best)
        best = min(best, trial.distance.divergence)


def test_layers_that_stay_in_float_cost_nothing() -> None:
    """With every layer kept in float the quantized graph is the float graph."""
    everything = frozenset(node.name for node in ready().real.graph.node)
    tuned = assembled(msgspec.structs.replace(ready(), corrects_biases=False), everything)
    assert not tuned.places.weights


def test_each_layer_is_measured_alone() -> None:
    """One row for each layer, with its work; alone a layer costs less than all of them together."""
    rows = list(sensitivities(ready(), digits(128, 64)))
    assert [row.position for row in rows] == list(range(len(rows)))
    assert {row.layer for row in rows} == set(assembled(ready()).places.weights)
    assert all(row.macs > 0 and row.distance.divergence >= 0 for row in rows)


def test_no_distance_from_itself() -> None:
    """Equal logits have no divergence and agree everywhere."""
    logits = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    same = distance(logits, logits)
    assert (same.divergence, same.agreement) == (0.0, 1.0)


def layer(name: str, position: int, divergence: float, macs: int) -> Sensitivity:
    """Return a made-up layer."""
    return Sensitivity(
        layer=name,
        operator="Conv",
        position=position,
        distance=distance(torch.eye(2), torch.eye(2)).__class__(divergence=divergence, agreement=1.0),
        macs=macs,
        bytes_more=1,
    )


def test_the_cheapest_layers_that_are_enough_stay_in_float() -> None:
    """By hand: b loses 2 points and a and c half a point each; for 1 point b alone is enough."""
    layers = [layer("a", 0, 0.1, 10), layer("b", 1, 1.0, 10), layer("c", 2, 0.1, 10)]
    points = {"a": 0.5, "b": 2.0, "c": 0.5}
    choice = cheapest(
        layers, lambda kept: sum(value for name, value in points.items() if name not in kept), budget=1.0, by="macs"
    )
    assert choice.kept == {"b"}
    assert choice.drop_points == 1.0
