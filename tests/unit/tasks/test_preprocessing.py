"""Pre-processing that can be followed by hand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import ConfigError
from edgekd.tasks.preprocessing import Preprocessing, normalize

HALVES = Preprocessing(scale=0.5, mean=(1.0, 2.0), std=(4.0, 0.25), layout="NCHW", channel_order="rgb")


def test_normalize_scales_shifts_and_divides_each_channel() -> None:
    """(pixel * scale - mean) / std, by hand: (10/2 - 1)/4 = 1 and (20/2 - 2)/0.25 = 32."""
    images = np.array([[[[10]], [[20]]]], dtype=np.uint8)

    normalized = normalize(images, HALVES)

    assert normalized.dtype == np.float32
    assert normalized.tolist() == [[[[1.0]], [[32.0]]]]


@pytest.mark.parametrize(("layout", "shape"), [("NC", (3, 2)), ("NCL", (3, 2, 5)), ("NCHW", (3, 2, 5, 7))])
def test_normalize_treats_the_second_axis_as_channels_in_every_layout(layout: str, shape: tuple[int, ...]) -> None:
    """Zeros become -mean/std of their channel: -1/4 and -2/0.25, whatever comes after the channels."""
    recipe = Preprocessing(
        scale=0.5,
        mean=(1.0, 2.0),
        std=(4.0, 0.25),
        layout=layout,  # type: ignore[arg-type]
        channel_order="none",
    )

    normalized = normalize(np.zeros(shape, dtype=np.int16), recipe)

    assert normalized.shape == shape
    assert np.unique(normalized[:, 0]).tolist() == [-0.25]
    assert np.unique(normalized[:, 1]).tolist() == [-8.0]


@given(
    pixel=st.integers(0, 255),
    mean=st.floats(0, 1, width=32),
    std=st.floats(0.0625, 1, width=32),
)
def test_normalize_agrees_with_exact_fractions(pixel: int, mean: float, std: float) -> None:
    """For any recipe, float32 is off by a few rounding steps of the largest number met on the way."""
    recipe = Preprocessing(scale=1 / 255, mean=(mean,), std=(std,), layout="NCHW", channel_order="gray")
    exact = (Fraction(pixel, 255) - Fraction(mean)) / Fraction(std)

    normalized = float(normalize(np.full((1, 1, 1, 1), pixel, dtype=np.uint8), recipe)[0, 0, 0, 0])

    assert abs(Fraction(normalized) - exact) <= Fraction(4 * 2**-24) / Fraction(std)


def test_normalize_leaves_its_input_alone() -> None:
    """The stored numbers can be used again, also where they are float32 already."""
    for dtype in (np.uint8, np.float32):
        images = np.arange(8, dtype=dtype).reshape(1, 2, 2, 2)
        before = images.copy()

        normalize(images, HALVES)

        assert np.array_equal(images, before)


def test_normalize_refuses_another_number_of_channels() -> None:
    """A gray image is not silently spread over two channels."""
    with pytest.raises(ConfigError, match=r"shape \(1, 1, 2, 2\); expected 4 dimensions \(NCHW\) with 2 channels"):
        normalize(np.zeros((1, 1, 2, 2), dtype=np.uint8), HALVES)


def test_preprocessing_refuses_a_deviation_of_zero() -> None:
    """Nothing can be divided by it."""
    with pytest.raises(ConfigError, match=r"preprocessing\.std"):
        Preprocessing(scale=1.0, mean=(0.0,), std=(0.0,), layout="NCHW", channel_order="gray")


def test_preprocessing_refuses_mean_and_std_of_different_length() -> None:
    """One number per channel in both."""
    with pytest.raises(ConfigError, match="mean has 3 channels, std has 1"):
        Preprocessing(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0,), layout="NCHW", channel_order="rgb")
