"""Where the prices of a layer come from, for every target, and what is said of it."""

import msgspec
import numpy as np
import pytest

from edgekd.predict.target_ground import ground_of
from edgekd.predict.terms import TERMS
from edgekd.stages.pricing import layer_prices
from edgekd.stages.settings import LayerPrices
from edgekd.targets import Cost, Target, load_target, target_names

ON_CPU = [name for name in target_names() if load_target(name).runtime.execution_provider == "CPUExecutionProvider"]
ON_GPU = sorted(set(target_names()) - set(ON_CPU))
COST = Cost(gmacs_per_s=8, ns_per_activation=3, layer_overhead_us=1.5)
ROUGH = LayerPrices(pointwise_products=0.125, ragged_products=0, vector_products=0.125, numbers=1.5, layers=1500)


def changed(target: Target, *, soc: str, core: str) -> Target:
    """Return *target* with the costs ``COST``, another system on a chip and other cores."""
    clusters = {name: msgspec.structs.replace(one, core=core) for name, one in target.device.clusters.items()}
    device = msgspec.structs.replace(target.device, soc=soc, clusters=clusters)
    return msgspec.structs.replace(target, device=device, cost=COST)


@pytest.mark.parametrize("name", ON_CPU)
def test_a_cpu_has_the_prices_that_predict_finds_for_it(name: str) -> None:
    """By name, to four digits, for the precision that it ships, the cores and the threads of its benchmark."""
    target = load_target(name)
    precision = target.precision.default
    found = ground_of(target, precision, target.benchmark.threads, target.benchmark.cluster)
    assert not isinstance(found, str)
    ns = dict(zip((term.name for term in TERMS), np.exp(found.prices) * 1e6, strict=True))

    priced = layer_prices(target, precision)

    names = LayerPrices.__struct_fields__
    assert msgspec.structs.asdict(priced.prices_ns) == pytest.approx({name: ns[name] for name in names}, rel=5e-4)
    assert priced.basis.startswith(f"the prices of `edgekd predict` in {precision} with")


@pytest.mark.parametrize("name", ON_GPU)
def test_a_gpu_has_the_rough_prices_of_its_file(name: str) -> None:
    """No published point is of a GPU with known layers: that is said, with the file's table as the way out."""
    target = msgspec.structs.replace(load_target(name), cost=COST)

    priced = layer_prices(target, target.precision.default)

    assert priced.prices_ns == ROUGH
    assert priced.basis.startswith("the rough prices of the target's [cost], since tensorrt runs on ")


def test_an_unknown_core_has_the_rough_prices_of_its_file() -> None:
    """Neither its board nor a core like it was published, in INT8 or FP32: both reasons are given."""
    priced = layer_prices(changed(load_target("raspberry-pi-4"), soc="Unheard-of", core="Mystery"), "int8")

    assert priced.prices_ns == ROUGH
    assert "no published point with int8" in priced.basis
    assert "no published point with fp32" in priced.basis


def test_a_precision_without_ground_has_the_prices_of_fp32() -> None:
    """A Cortex-A72 computes no FP16; what its FP32 costs is known, and which of both it was is said."""
    target = load_target("raspberry-pi-4")

    half, single = layer_prices(target, "fp16"), layer_prices(target, "fp32")

    assert half.prices_ns == single.prices_ns
    assert "in fp32 with 4 thread(s)" in half.basis
    assert "since fp16 is size-only there" in half.basis


@pytest.mark.parametrize(
    ("soc", "core", "words"),
    [
        ("BCM2711", "Cortex-A72", "of this board"),
        ("Unheard-of", "Cortex-A72", "of the same core elsewhere"),
        ("Unheard-of", "Cortex-A75", "of cores of its family"),
    ],
)
def test_how_near_the_points_are_is_said(soc: str, core: str, words: str) -> None:
    """The board itself, its core on another board, a core like it."""
    target = changed(load_target("raspberry-pi-4"), soc=soc, core=core)
    target = msgspec.structs.replace(target, benchmark=msgspec.structs.replace(target.benchmark, threads=2))

    assert layer_prices(target, "fp32").basis.endswith(words)
