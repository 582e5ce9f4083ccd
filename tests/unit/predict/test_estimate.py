"""Estimates: sums of their layers, with intervals that widen with ignorance; refused where there is no ground."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
import pytest

from edgekd.bench.measurement import Machine, Measurement, Run
from edgekd.core.errors import ConfigError
from edgekd.predict.estimate import Estimate, Ground, LayerEstimate, estimate
from edgekd.predict.fitted import priced, published_errors, published_makeups
from edgekd.predict.layers import Layer, Precision
from edgekd.predict.likeness import corrections, distances, makeup
from edgekd.predict.precision import asked_precision, precision_of
from edgekd.predict.published import networks
from edgekd.predict.terms import amounts_of
from edgekd.targets import Target, load_target

MOBILENET: Final = networks()["mobilenet"]


def changed(target: Target, changes: Mapping[str, object]) -> Target:
    """Return *target* with fields of its benchmark's cluster changed."""
    name = target.benchmark.cluster
    cluster = msgspec.structs.replace(target.device.clusters[name], **changes)
    device = msgspec.structs.replace(target.device, clusters={name: cluster})
    return msgspec.structs.replace(target, device=device)


def estimated(
    layers: tuple[Layer, ...], target: str | Target, *, precision: Precision = "fp32", threads: int | None = None
) -> Estimate:
    """Return the estimate for the threads and cores of the target's benchmark."""
    facts = load_target(target) if isinstance(target, str) else target
    return estimate(
        layers,
        facts,
        network="net.onnx",
        precision=precision,
        threads=threads or facts.benchmark.threads,
        cluster=facts.benchmark.cluster,
    )


@pytest.mark.parametrize(
    ("network", "published_ms"), [("mobilenet", 61.17), ("resnet50", 262.83), ("squeezenet", 46.64), ("vgg16", 547.1)]
)
def test_a_published_network_on_its_board_is_near_what_was_published(network: str, published_ms: float) -> None:
    """A Raspberry Pi 4 at 1.8 GHz with four threads, in the table of ncnn: within 20 percent, and in the interval."""
    board = changed(load_target("raspberry-pi-4"), {"clock_ghz": 1.8})
    found = estimated(networks()[network], board)
    assert found.estimated_ms == pytest.approx(published_ms, rel=0.2)
    assert found.least_as_published_ms < published_ms < found.most_as_published_ms


def test_an_estimate_is_the_sum_of_its_layers_within_its_interval() -> None:
    """The interval of the published runtime lies inside of the one for any."""
    found = estimated(MOBILENET, "raspberry-pi-4")
    assert sum(layer.estimated_ms for layer in found.estimated_layers) == pytest.approx(found.estimated_ms)
    assert len(found.estimated_layers) == len(MOBILENET)
    assert found.least_ms < found.least_as_published_ms < found.estimated_ms
    assert found.estimated_ms < found.most_as_published_ms < found.most_ms


@pytest.mark.parametrize("network", ["mnasnet", "vgg16"])
def test_an_estimate_is_of_prices_corrected_by_networks_alike(network: str) -> None:
    """The board's own prices, and what the fit is off for the networks that this one is like, itself among them."""
    board = changed(load_target("raspberry-pi-4"), {"clock_ghz": 1.8})
    prices = [one.prices for one in priced("fp32") if "Raspberry Pi 4" in one.group.device and one.group.threads == 4]
    layers = networks()[network]
    alone = np.log(np.exp(np.mean(prices, axis=0)) @ amounts_of(layers, "fp32").sum(axis=0))
    distance = distances(makeup(layers)[None], published_makeups("fp32"))
    off = corrections(distance, published_errors("fp32", 4))[0]
    assert off != 0
    assert np.log(estimated(layers, board, threads=4).estimated_ms) == pytest.approx(alone - off)


def test_a_faster_clock_is_estimated_faster() -> None:
    """Same board, same points, every clock."""
    boards = [changed(load_target("raspberry-pi-4"), {"clock_ghz": clock}) for clock in (1.2, 1.5, 1.8, 2.1)]
    times = [estimated(MOBILENET, board).estimated_ms for board in boards]
    assert times == sorted(times, reverse=True)
    assert times[0] / times[2] == pytest.approx(1.8 / 1.2)


def test_the_interval_widens_with_the_distance_of_the_points() -> None:
    """The board itself, the same core elsewhere, a core of its family."""
    board = load_target("raspberry-pi-4")
    stranger = msgspec.structs.replace(board, device=msgspec.structs.replace(board.device, soc="Unheard-of"))
    cousin = changed(stranger, {"core": "Cortex-A75"})
    found = [estimated(MOBILENET, one, threads=2) for one in (board, stranger, cousin)]
    assert [one.nearness for one in found] == ["board", "core", "family"]
    widths = [one.most_as_published_ms / one.least_as_published_ms for one in found]
    assert widths == sorted(widths)
    assert any("no point is of this board" in caveat for caveat in found[1].caveats)


def test_a_class_of_devices_has_the_interval_of_a_family() -> None:
    """The points of one board say less of the class that it stands for: the same estimate, and a wider interval."""
    board = load_target("raspberry-pi-4")
    soc = f"{board.device.soc} stands for the class"
    of_class = msgspec.structs.replace(board, device=msgspec.structs.replace(board.device, soc=soc))
    one, many = (estimated(MOBILENET, target, threads=2) for target in (board, of_class))
    assert (one.nearness, many.nearness) == ("board", "family")
    assert many.estimated_ms == one.estimated_ms
    assert many.least_ms < one.least_ms < one.most_ms < many.most_ms


def test_layers_that_few_published_networks_have_widen_the_interval() -> None:
    """A vision transformer is of matrix products that one published network has; the estimate says so."""
    usual, rare = (estimated(networks()[name], "raspberry-pi-4") for name in ("resnet50", "vision_transformer"))
    assert rare.most_ms / rare.least_ms > 1.5 * usual.most_ms / usual.least_ms
    assert any("fewer than three published networks" in caveat for caveat in rare.caveats)


def test_an_estimate_names_its_ground() -> None:
    """Device, how many networks, source with lines, date, runtime, and that the runtime is another one."""
    (ground,) = estimated(MOBILENET, "raspberry-pi-4").ground
    assert "BCM2711" in ground.published_device
    assert ground.published_networks == 22
    assert ground.published_on == "2023-06-15"
    assert ground.published_in.startswith("github.com/Tencent/ncnn@")
    assert any("not with ONNX Runtime" in caveat for caveat in estimated(MOBILENET, "raspberry-pi-4").caveats)


@pytest.mark.parametrize(
    ("target", "precision", "threads", "reason"),
    [
        ("jetson-nano", "fp32", 4, "TensorrtExecutionProvider .*points with known layers are of CPUs"),
        ("jetson-agx-orin", "int8", 12, "points with known layers are of CPUs"),
        ("raspberry-pi-5", "fp32", 4, r"no published point with fp32 .*there are points with fp16 and int8"),
        ("raspberry-pi-5", "fp16", 4, "fp16 is size-only there .*points compute in half precision"),
    ],
)
def test_without_ground_there_is_no_number(target: str, precision: Precision, threads: int, reason: str) -> None:
    """The refusal says why, and what would give ground."""
    with pytest.raises(ConfigError, match=reason) as refused:
        estimated(MOBILENET, target, precision=precision, threads=threads)
    assert "edgekd targets calibrate" in str(refused.value)


def test_an_unknown_core_has_no_ground() -> None:
    """Neither its board nor any core like it was published."""
    board = load_target("raspberry-pi-4")
    other = msgspec.structs.replace(board, device=msgspec.structs.replace(board.device, soc="Unheard-of"))
    with pytest.raises(ConfigError, match="of its Mystery or of a core like it"):
        estimated(MOBILENET, changed(other, {"core": "Mystery"}))


def test_what_was_estimated_and_what_was_measured_share_no_field() -> None:
    """So that no reader of one takes the other for it."""
    kinds = (Estimate, LayerEstimate, Ground), (Measurement, Run, Machine)
    computed, measured = ({field.name for one in kind for field in msgspec.structs.fields(one)} for kind in kinds)
    assert not computed & measured
    assert "latency_ms" not in computed


def test_a_file_of_integers_is_not_estimated_in_float() -> None:
    """What a float form would take is a question about another file; a float file may be asked in any precision."""
    integers, floats = networks()["resnet18_int8"], networks()["resnet18"]
    assert precision_of(integers) == "int8"
    assert asked_precision("auto", integers, where="net.onnx") == "int8"
    assert asked_precision("int8", floats, where="net.onnx") == "int8"
    with pytest.raises(ConfigError, match=r"net\.onnx computes in int8"):
        asked_precision("fp32", integers, where="net.onnx")
    with pytest.raises(ConfigError, match="--precision: 'int4' given"):
        asked_precision("int4", floats, where="net.onnx")
