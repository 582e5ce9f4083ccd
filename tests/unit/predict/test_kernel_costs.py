"""What kernels cost, learned from kernels of a device whose costs are known."""

import numpy as np
import pytest

from edgekd.core.errors import ConfigError
from edgekd.predict.gaussian import Rows
from edgekd.predict.kernel_amounts import Kernel, in_network
from edgekd.predict.kernel_costs import KernelCosts, fit_families
from edgekd.predict.layers import Layer


def pointwise(given: int, made: int, side: int, operator: str = "Conv") -> Layer:
    """Return a 1x1 convolution."""
    return Layer(
        name=f"{given}-{made}-{side}",
        operator=operator,
        kind="pointwise",
        in_channels=given,
        out_channels=made,
        in_size=(side, side),
        out_size=(side, side),
        macs=given * made * side * side,
        weights=given * made,
        read=given * side * side,
        written=made * side * side,
    )


def passing(numbers: int, operator: str) -> Layer:
    """Return an element-wise layer."""
    return Layer(
        name=operator,
        operator=operator,
        kind="elementwise",
        in_channels=1,
        out_channels=1,
        read=numbers,
        written=numbers,
    )


def some(count: int, seed: int) -> tuple[Kernel, ...]:
    """Return random 1x1 convolutions, each a network of its own."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.uniform(np.log((8, 8, 4)), np.log((512, 512, 56)), (count, 3))).astype(int)
    return tuple(in_network([pointwise(int(given), int(made), int(side))])[0] for given, made, side in sizes)


def synthetic(kernels: tuple[Kernel, ...]) -> Rows:
    """Return the microseconds on a device: 3 to begin, 20 for a million products, 50 where few channels waste it."""
    layers = [kernel.layer for kernel in kernels]
    waste = np.array([1 + 1.5 * np.exp(-layer.in_channels / 32) for layer in layers])
    found: Rows = 3 + 20 * waste * np.array([layer.macs for layer in layers]) / 1e6
    return found


def test_a_device_with_known_costs_is_recovered() -> None:
    """From 400 kernels timed with 3 % noise: of 100 unseen ones nine in ten within 5 %."""
    seen, unseen = some(400, 0), some(100, 1)
    times = synthetic(seen) * np.exp(0.03 * np.random.default_rng(2).standard_normal(400))
    costs = KernelCosts(fit_families(seen, times), seen, times)
    found, replaced = costs.at(unseen)
    errors = np.abs(found / synthetic(unseen) - 1)
    assert replaced == ()
    assert np.quantile(errors, 0.9) < 0.05


def test_a_wild_sample_moves_nothing() -> None:
    """One kernel in a hundred at thirty times its cost, as when another process took the core."""
    seen, unseen = some(400, 0), some(100, 1)
    times = synthetic(seen)
    times[::100] *= 30
    found, _ = KernelCosts(fit_families(seen, times), seen, times).at(unseen)
    assert np.quantile(np.abs(found / synthetic(unseen) - 1), 0.9) < 0.1


def test_a_rare_kernel_is_foretold_by_its_kind_and_named() -> None:
    """Twenty Adds at 1 us for a thousand numbers stand for a Sub that was timed twice."""
    kernels = tuple(in_network([passing(1000 * size, "Add" if size <= 20 else "Sub")])[0] for size in range(1, 23))
    times = np.array([float(kernel.layer.written) / 1000 for kernel in kernels])
    costs = KernelCosts(fit_families(kernels, times), kernels, times)
    found, replaced = costs.at(in_network([passing(10_000, "Sub")]))
    assert replaced == ("Sub, elementwise",)
    assert found == pytest.approx([10.0], rel=0.2)


def test_what_was_never_timed_is_refused_by_name() -> None:
    """A table of convolutions has no ground for an Add."""
    seen = some(40, 0)
    costs = KernelCosts(fit_families(seen, synthetic(seen)), seen, synthetic(seen))
    with pytest.raises(ConfigError, match="no kernel like Add, elementwise, and none that could stand for it"):
        costs.at(in_network([passing(1000, "Add")]))


def test_a_kernel_knows_how_much_its_network_holds() -> None:
    """Weights and written numbers of all layers, four bytes each."""
    first, second = pointwise(8, 16, 4), pointwise(16, 8, 4)
    for kernel in in_network([first, second]):
        assert kernel.network_weight_bytes == 4 * (8 * 16 + 16 * 8)
        assert kernel.network_activation_bytes == 4 * (16 * 16 + 8 * 16)
