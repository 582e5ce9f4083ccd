"""Ground: which published groups speak for a processor, and how their prices become its own."""

import msgspec
import numpy as np
import pytest

from edgekd.predict.ground import Found, Priced, Processor, find, soc_tokens
from edgekd.predict.published import Group

BOARD = Processor(soc="BCM2711", core="Cortex-A72", clock_ghz=1.8, is_little=False, threads=4, precision="fp32")
TABLE = Group(
    device="Some Board BCM2711B0, Cortex-A72",
    cores="all",
    core="Cortex-A72",
    clock_ghz=1.8,
    threads=4,
    precision="fp32",
    runtime="ncnn",
    date="2023-01-01",
    source="somewhere",
    points=(),
)


def processor(**fields: object) -> Processor:
    """Return a board with a Cortex-A72 at 1.8 GHz unless *fields* say otherwise."""
    return msgspec.structs.replace(BOARD, **fields)


def priced(price: float = 0.0, **fields: object) -> Priced:
    """Return a group of that board unless *fields* say otherwise, with one price for all terms."""
    return Priced(group=msgspec.structs.replace(TABLE, **fields), prices=np.full(3, price))


def found(asked: Processor, *known: Priced) -> Found:
    """Return what is found, which must be something."""
    result = find(asked, known)
    assert result is not None
    return result


def test_the_board_goes_before_its_core_elsewhere_and_that_before_its_family() -> None:
    """A Cortex-A73 is of the family of the Cortex-A72."""
    board, core = priced(1.0), priced(2.0, device="Other RK3399")
    family = priced(3.0, device="Other A311D", core="Cortex-A73")
    assert found(processor(), family, core, board).nearness == "board"
    assert found(processor(), family, core).nearness == "core"
    assert found(processor(), family).nearness == "family"
    assert find(processor(core="Mystery"), [family]) is None


@pytest.mark.parametrize("clock", [0.9, 1.5, 1.8, 3.6])
def test_time_is_inverse_to_the_clock(clock: float) -> None:
    """Twice the clock halves every price."""
    scaled = found(processor(clock_ghz=clock), priced(0.0))
    assert np.exp(scaled.prices) == pytest.approx(1.8 / clock)


def test_a_faster_clock_is_never_slower() -> None:
    """Prices fall with the clock, whatever the points are of."""
    known = [priced(0.0, device="Other one"), priced(0.5, device="Other two", clock_ghz=2.2)]
    prices = [found(processor(clock_ghz=clock), *known).prices[0] for clock in (1.0, 1.2, 1.5, 2.0, 2.5)]
    assert prices == sorted(prices, reverse=True)


def test_threads_between_published_counts_are_interpolated() -> None:
    """Two threads are halfway between one and four over the logarithm."""
    known = [priced(2.0, threads=1), priced(1.0, threads=4)]
    assert found(processor(threads=2), *known).prices == pytest.approx([1.5] * 3)
    assert len(found(processor(threads=2), *known).groups) == 2


def test_threads_beyond_published_counts_have_no_ground() -> None:
    """Eight threads are more than anybody measured."""
    assert find(processor(threads=8), [priced(threads=1), priced(threads=4)]) is None


def test_another_precision_is_no_ground() -> None:
    """Points in half precision say nothing about single precision."""
    assert find(processor(), [priced(precision="fp16")]) is None


def test_little_cores_do_not_speak_for_big_ones() -> None:
    """A group of another core of the same chip is not of that board's cluster."""
    assert find(processor(soc="RK3399"), [priced(device="Board RK3399", core="Cortex-A53", cores="little")]) is None


def test_the_table_at_the_asked_clock_goes_before_a_newer_one() -> None:
    """An overclocked board is newer here, and still not what was asked for."""
    known = [
        priced(1.0, device="BCM2711 as sold"),
        priced(2.0, device="BCM2711 fast", clock_ghz=2.4, date="2025-01-01"),
    ]
    assert found(processor(), *known).prices == pytest.approx([1.0] * 3)


def test_tokens_are_the_names_of_chips() -> None:
    """Words without digits and short ones name no chip."""
    assert soc_tokens("Snapdragon 410 (MSM8916) stands for the class") == ("msm8916",)
    assert soc_tokens("BCM2711") == ("bcm2711",)
    assert soc_tokens("Allwinner H616 (ARMv8)") == ()
    assert soc_tokens("Tegra X1 (T210)") == ()
