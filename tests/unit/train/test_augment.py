"""Augmentation: the identity at 0, bounds, what a ramp of brightness shows, and slow second ways to the same pixels."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.tasks.preprocessing import Preprocessing
from edgekd.train.augment import Draw, Purpose, augment
from edgekd.train.draws import signed
from edgekd.train.training import Augmentation

GRAY = Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), layout="NCHW", channel_order="gray")
RGB = Preprocessing(
    scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.5), layout="NCHW", channel_order="rgb"
)  # fmt: skip
RAMP = torch.arange(20.0).expand(1, 1, 20, 20)
"""Column x has the value x, so that a shift by d pixels adds d wherever the border is far."""
STILL = Augmentation(shift=0.0, rotation=0.0, scale=0.0, shear=0.0)
VARIED = Augmentation(crop=2, flip=True, brightness=0.3, contrast=0.3, saturation=0.3)


def only(**bounds: float) -> Augmentation:
    """Return settings in which only *bounds* are not 0."""
    return msgspec.structs.replace(STILL, **bounds)


def draws(seed: int = 0, count: int = 1) -> Draw:
    """Return what the first *count* samples draw."""
    return lambda purpose: signed(seed, 0, np.arange(count), purpose)


def planted(*numbers: float, **others: float) -> Draw:
    """Return draws of *numbers* for every purpose, but of ``others[purpose]`` where that is given."""
    return lambda purpose: torch.tensor([others.get(Purpose(purpose).name.lower(), number) for number in numbers])


def test_with_every_bound_zero_the_images_are_the_same_object() -> None:
    """Nothing is copied, resampled or rounded."""
    images = torch.rand(3, 1, 5, 7)

    assert augment(images, STILL, GRAY, draws(count=3)) is images


@pytest.mark.parametrize("bound", ["shift", "rotation", "scale", "shear"])
def test_a_tiny_bound_changes_next_to_nothing(bound: str) -> None:
    """The grid that samples an image is that of the image itself: no half pixel is lost on the way."""
    images = torch.rand(3, 2, 8, 8)

    found = augment(images, only(**{bound: 1e-7}), GRAY, draws(count=3))

    assert found is not images
    torch.testing.assert_close(found, images, atol=1e-4, rtol=0)


@settings(max_examples=25)
@given(shift=st.floats(0.01, 0.2), seed=st.integers(0, 99))
def test_a_shift_moves_the_whole_image_by_at_most_its_part_of_the_side(shift: float, seed: int) -> None:
    """On a ramp of one per pixel the difference is the way in pixels: everywhere one, at most shift x 20."""
    difference = (augment(RAMP, only(shift=shift), GRAY, draws(seed)) - RAMP)[0, 0, 4:-4, 4:-4]

    assert difference.max() - difference.min() < 1e-3
    assert difference.abs().max() <= shift * 20 + 1e-3


@settings(max_examples=25)
@given(degrees=st.floats(1, 20), seed=st.integers(0, 99), height=st.sampled_from([20, 40]))
def test_a_rotation_turns_by_at_most_its_degrees(degrees: float, seed: int, height: int) -> None:
    """A turned ramp rises cos a along and -sin a across: one in all, their quotient the angle; oblong images too."""
    ramp = torch.arange(20.0).expand(1, 1, height, 20)
    turned = augment(ramp, only(rotation=degrees), GRAY, draws(seed))[0, 0]
    middle = height // 2
    along, across = turned[middle, 11] - turned[middle, 10], turned[middle + 1, 10] - turned[middle, 10]

    assert torch.hypot(along, across) == pytest.approx(1, abs=1e-3)
    assert abs(torch.atan2(across, along).rad2deg()) <= degrees + 0.1


@settings(max_examples=25)
@given(scale=st.floats(0.01, 0.5), seed=st.integers(0, 99))
def test_a_scale_stretches_by_at_most_its_part(scale: float, seed: int) -> None:
    """The slope of the ramp becomes 1 plus or minus *scale*."""
    scaled = augment(RAMP, only(scale=scale), GRAY, draws(seed))[0, 0]

    assert abs((scaled[10, 11] - scaled[10, 10]).item() - 1) <= scale + 1e-3


@settings(max_examples=25)
@given(seed=st.integers(0, 99))
def test_no_brightness_is_invented(seed: int) -> None:
    """Each pixel is a mean of pixels: none below the darkest, none above the brightest, the border repeated."""
    images = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(seed))

    found = augment(images, Augmentation(crop=2, flip=True), GRAY, draws(seed, 4))

    assert found.min() >= images.min() - 1e-6
    assert found.max() <= images.max() + 1e-6


@settings(max_examples=25)
@given(crop=st.integers(1, 4), seed=st.integers(0, 999))
def test_a_crop_is_one_out_of_the_padded_image(crop: int, seed: int) -> None:
    """NumPy pads by mirroring, mirrors whole images, and a loop cuts: the same pixels, bit for bit."""
    images = torch.rand(6, 2, 5, 7, generator=torch.Generator().manual_seed(seed))

    found = augment(images, only(crop=crop, flip=True), GRAY, draws(seed, 6))

    numbers = {purpose: draws(seed, 6)(purpose) for purpose in Purpose}
    for place in range(6):
        image = images[place].numpy()
        if numbers[Purpose.FLIP][place] < 0:
            image = image[:, :, ::-1]
        # A crop that starts at the right of the mirrored image is what moves a mirrored image to the left.
        padded = np.pad(image, ((0, 0), (crop, crop), (crop, crop)), mode="reflect")
        ways = [
            padded[:, top : top + 5, left : left + 7] for top in range(2 * crop + 1) for left in range(2 * crop + 1)
        ]
        assert any(np.array_equal(found[place].numpy(), way) for way in ways)


def test_every_crop_is_as_likely_as_any_other() -> None:
    """Of a ramp in both directions the first pixel names the place: all 9 of crop 1, each about a ninth."""
    ramp = (10 * torch.arange(5.0)[:, None] + torch.arange(5.0)).expand(9000, 1, 5, 5)

    found = augment(ramp, only(crop=1), GRAY, draws(0, 9000))

    places, counts = np.unique(found[:, 0, 2, 2].numpy(), return_counts=True)
    assert places.tolist() == [11, 12, 13, 21, 22, 23, 31, 32, 33]
    assert counts.min() > 900
    assert counts.max() < 1100


def test_a_crop_far_beyond_the_image_stops_at_its_border() -> None:
    """Moved by ten of three columns, only the far one is left; a single column can go nowhere."""
    image = torch.tensor([[[[1.0, 2, 3]]]])

    assert augment(image, only(crop=10), GRAY, planted(0.99)).tolist() == [[[[1, 1, 1]]]]
    assert augment(image[..., :1], only(crop=10), GRAY, planted(0.99)).tolist() == [[[[1]]]]


def test_a_flip_mirrors_half_of_the_images() -> None:
    """Left to right and never upside down; of 2000 about one thousand."""
    image = torch.tensor([[1.0, 2], [3, 4]])

    found = augment(image.expand(2000, 1, 2, 2), only(flip=True), GRAY, draws(0, 2000))

    mirrored = (found == image.flip(1)).all(dim=(1, 2, 3))
    assert 900 < mirrored.sum() < 1100
    assert torch.equal(found[~mirrored], image.expand(2000, 1, 2, 2)[~mirrored])


def test_brightness_contrast_and_saturation_by_hand() -> None:
    """Two pixels of a gray image: 100 and 20 by 1.5 are 150 and 30; half the contrast around 90 makes 120 and 60.

    Gray has no colour to change.
    """
    image = torch.tensor([[[[100.0, 20.0]]]])
    draw = planted(1.0, contrast=-1.0)

    found = augment(image, only(brightness=0.5, contrast=0.5, saturation=1.0), GRAY, draw)

    assert found.flatten().tolist() == [120, 60]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_saturation_leaves_the_gray_of_a_colour(order: str) -> None:
    """All saturation gone, a pixel of red 200, green 100, blue 50 is 0.299 x 200 + 0.587 x 100 + 0.114 x 50 = 124.2."""
    recipe = msgspec.structs.replace(RGB, channel_order=order)
    pixel = torch.tensor([200.0, 100, 50] if order == "rgb" else [50.0, 100, 200]) / 255
    mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)

    found = augment(((pixel - mean) / std)[None, :, None, None], only(saturation=1.0), recipe, planted(-1.0))

    torch.testing.assert_close(found[0, :, 0, 0] * std + mean, torch.full((3,), 124.2 / 255))


def test_three_channels_that_are_no_colours_count_alike() -> None:
    """Their gray is their mean: 1, 2 and 6 become 3."""
    recipe = msgspec.structs.replace(RGB, channel_order="none", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)

    found = augment(torch.tensor([1.0, 2, 6])[None, :, None, None], only(saturation=1.0), recipe, planted(-1.0))

    torch.testing.assert_close(found.flatten(), torch.full((3,), 3.0))


def test_colours_stay_within_those_of_a_pixel() -> None:
    """Twice as bright, 200 of 255 is 255: in units of the scaled pixel, then normalized again."""
    image = torch.full((1, 3, 1, 1), 200 / 255)
    mean, std = (torch.tensor(values)[:, None, None] for values in (RGB.mean, RGB.std))

    found = augment((image - mean) / std, only(brightness=1.0), RGB, planted(1.0))

    torch.testing.assert_close(found * std + mean, torch.ones(1, 3, 1, 1))


def test_each_image_moves_by_itself() -> None:
    """Two equal images become different ones."""
    first, second = augment(RAMP.expand(2, 1, 20, 20), Augmentation(), GRAY, draws(count=2))

    assert not torch.equal(first, second)


@pytest.mark.parametrize("shape", [(3, 9, 7), (3, 190, 181)])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_alone_has_the_bits_it_has_among_others(shape: tuple[int, int, int], threads: int) -> None:
    """With everything on, large and small, on one thread and on two: no sum goes another way."""
    images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = augment(images, VARIED, RGB, draws(7, 3))
        alone = [augment(images[place : place + 1], VARIED, RGB, single(place)) for place in range(3)]
    finally:
        torch.set_num_threads(before)

    assert torch.equal(torch.cat(alone), together)


def single(sample: int) -> Draw:
    """Return what *sample* of seed 7 draws."""
    return lambda purpose: signed(7, 0, np.array([sample]), purpose)
