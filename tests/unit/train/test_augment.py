"""Augmentation: the identity at 0, bounds, and what a ramp of brightness shows of the shift."""

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.train.augment import augment
from edgekd.train.training import Training

RAMP = torch.arange(20.0).expand(1, 1, 20, 20)
"""Column x has the value x, so that a shift by d pixels adds d wherever the border is far."""


def training(**bounds: float) -> Training:
    """Return settings in which only *bounds* are not 0."""
    still = Training(epochs=1, lr=1.0, shift=0.0, rotation=0.0, scale=0.0, shear=0.0)
    return msgspec.structs.replace(still, **bounds)


def generator(seed: int = 0) -> torch.Generator:
    """Return a generator at its start."""
    return torch.Generator().manual_seed(seed)


def test_with_every_bound_zero_the_images_are_the_same_object() -> None:
    """Nothing is copied, resampled or rounded."""
    images = torch.rand(3, 1, 5, 7)

    assert augment(images, training(), generator()) is images


@pytest.mark.parametrize("bound", ["shift", "rotation", "scale", "shear"])
def test_a_tiny_bound_changes_next_to_nothing(bound: str) -> None:
    """The grid that samples an image is that of the image itself: no half pixel is lost on the way."""
    images = torch.rand(3, 2, 8, 8)

    found = augment(images, training(**{bound: 1e-7}), generator())

    assert found is not images
    torch.testing.assert_close(found, images, atol=1e-4, rtol=0)


@settings(max_examples=25)
@given(shift=st.floats(0.01, 0.2), seed=st.integers(0, 99))
def test_a_shift_moves_the_whole_image_by_at_most_its_part_of_the_side(shift: float, seed: int) -> None:
    """On a ramp of one per pixel the difference is the way in pixels: everywhere one, at most shift x 20."""
    difference = (augment(RAMP, training(shift=shift), generator(seed)) - RAMP)[0, 0, 4:-4, 4:-4]

    assert difference.max() - difference.min() < 1e-3
    assert difference.abs().max() <= shift * 20 + 1e-3


@settings(max_examples=25)
@given(degrees=st.floats(1, 20), seed=st.integers(0, 99))
def test_a_rotation_turns_by_at_most_its_degrees(degrees: float, seed: int) -> None:
    """A turned ramp rises cos a along and -sin a across: the tangent of the angle is their quotient."""
    turned = augment(RAMP, training(rotation=degrees), generator(seed))[0, 0]
    along, across = turned[10, 11] - turned[10, 10], turned[11, 10] - turned[10, 10]

    assert torch.hypot(along, across) == pytest.approx(1, abs=1e-3)
    assert abs(torch.atan2(across, along).rad2deg()) <= degrees + 0.1


@settings(max_examples=25)
@given(scale=st.floats(0.01, 0.5), seed=st.integers(0, 99))
def test_a_scale_stretches_by_at_most_its_part(scale: float, seed: int) -> None:
    """The slope of the ramp becomes 1 plus or minus *scale*."""
    scaled = augment(RAMP, training(scale=scale), generator(seed))[0, 0]

    assert abs((scaled[10, 11] - scaled[10, 10]).item() - 1) <= scale + 1e-3


@settings(max_examples=25)
@given(seed=st.integers(0, 99))
def test_no_brightness_is_invented(seed: int) -> None:
    """Each pixel is a mean of pixels: none below the darkest, none above the brightest, the border repeated."""
    images = torch.rand(4, 1, 6, 6, generator=generator(seed))

    found = augment(images, Training(epochs=1, lr=1.0), generator(seed))

    assert found.min() >= images.min() - 1e-6
    assert found.max() <= images.max() + 1e-6


def test_each_image_moves_by_itself_and_the_generator_decides() -> None:
    """Two equal images become different ones; the same generator gives the same again."""
    images = RAMP.expand(2, 1, 20, 20)

    first, again = (augment(images, Training(epochs=1, lr=1.0), generator()) for _ in range(2))

    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, again)
