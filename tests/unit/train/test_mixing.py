"""Mixing in pairs: by hand, and the laws of mixup and cutmix."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from torch import Tensor

from edgekd.train.draws import uniform
from edgekd.train.mixing import mix
from edgekd.train.training import Augmentation

BLACK, WHITE = torch.zeros(64, 1, 8, 10), torch.ones(64, 1, 8, 10)
ALL = np.arange(64)


def mixed(
    settings: Augmentation, *, seed: int = 0, samples: np.ndarray[tuple[int], np.dtype[np.int64]] = ALL
) -> tuple[Tensor, Tensor]:
    """Return black images mixed with white ones, and the part that stayed black."""
    count = len(samples)
    (images,), part = mix((BLACK[:count],), (WHITE[:count],), settings, seed=seed, epoch=2, samples=samples)
    return images, part


@given(alpha=st.floats(0.05, 5), seed=st.integers(0, 99))
def test_mixup_blends_by_the_quantile_of_its_draw(alpha: float, seed: int) -> None:
    """Every pixel is the partner's part, and the distribution function of that part gives the draw back."""
    images, part = mixed(Augmentation(mixup=alpha), seed=seed)

    torch.testing.assert_close(images, (1 - part)[:, None, None, None].expand_as(images))
    draws = uniform(seed, 2, ALL, 101)
    inside = (part > 1e-3).numpy() & (part < 1 - 1e-3).numpy()
    np.testing.assert_allclose(betainc(alpha, alpha, part.double().numpy())[inside], draws[inside], atol=1e-3)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_part_has_the_moments_of_its_beta_distribution(alpha: float) -> None:
    """Mean one half, variance 1 / (4 (2 alpha + 1)), over 20 000 samples within five standard errors."""
    count = 20_000
    small = torch.zeros(count, 1)

    _, part = mix((small,), (small,), Augmentation(mixup=alpha), seed=1, epoch=0, samples=np.arange(count))

    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(part.double().mean().item() - 0.5) < 5 * (variance / count) ** 0.5
    assert part.double().var().item() == pytest.approx(variance, rel=0.05)


def test_mixup_by_hand() -> None:
    """0.25 of 8 and 0.75 of 4 make 5, in every input of the sample."""
    settings, sample = Augmentation(mixup=1.0), np.array([5])
    quarter = uniform(0, 0, sample, 101)[0]  # Beta(1, 1) is the uniform distribution: the part is the draw
    mine, theirs = (torch.tensor([[8.0]]), torch.tensor([[[8.0]]])), (torch.tensor([[4.0]]), torch.tensor([[[4.0]]]))

    (row, sequence), part = mix(mine, theirs, settings, seed=0, epoch=0, samples=sample)

    assert part.item() == pytest.approx(quarter)
    assert row.item() == sequence.item() == pytest.approx(quarter * 8 + (1 - quarter) * 4)


@given(alpha=st.floats(0.05, 5), seed=st.integers(0, 99))
def test_cutmix_pastes_one_box_whose_area_is_the_partners_weight(alpha: float, seed: int) -> None:
    """White pixels are a full rectangle; their share of the image is 1 - part, to the pixel."""
    images, part = mixed(Augmentation(cutmix=alpha), seed=seed)

    for image, own in zip(images[:, 0], part, strict=True):
        rows, columns = image.any(1), image.any(0)
        assert torch.equal(image, torch.outer(rows.float(), columns.float()))
        assert is_one_run(rows)
        assert is_one_run(columns)
        assert own == 1 - image.sum() / 80


def is_one_run(flags: Tensor) -> bool:
    """Tell whether the true ones are neighbours."""
    where = flags.nonzero()[:, 0].tolist()
    return where == list(range(where[0], where[0] + len(where))) if where else True


def test_a_box_has_about_the_area_that_was_drawn_and_lies_anywhere() -> None:
    """Each side is rounded to a pixel; corners, edges and the middle are all hit."""
    settings = Augmentation(cutmix=1.0)
    samples = np.arange(2000)
    black, white = torch.zeros(2000, 1, 16, 16), torch.ones(2000, 1, 16, 16)

    (images,), part = mix((black,), (white,), settings, seed=0, epoch=0, samples=samples)

    drawn = uniform(0, 0, samples, 101)
    side = np.sqrt(1 - drawn) * 16
    bound = ((side + 0.5) ** 2 - side**2) / 256
    assert (np.abs(part.numpy() - drawn) <= bound + 1e-6).all()
    assert images.mean(dim=(0, 1)).min() > 0.1


def test_where_both_are_on_half_of_the_samples_get_each() -> None:
    """A blend is gray, a box black and white; the draws decide, about evenly."""
    samples = np.arange(2000)
    black, white = torch.zeros(2000, 1, 4, 4), torch.ones(2000, 1, 4, 4)

    (images,), part = mix((black,), (white,), Augmentation(mixup=1.0, cutmix=1.0), seed=0, epoch=0, samples=samples)

    are_cut = ((images == 0) | (images == 1)).all(dim=(1, 2, 3))
    assert 900 < are_cut.sum() < 1100
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), 1 - part)


@pytest.mark.parametrize("kinds", [{"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0}])
def test_a_sample_is_mixed_alike_in_any_company(kinds: dict[str, Any]) -> None:
    """In reverse, and alone, bit for bit."""
    settings = Augmentation(**kinds)
    images, part = mixed(settings)

    reversed_images, reversed_part = mixed(settings, samples=ALL[::-1].copy())
    alone = [mixed(settings, samples=ALL[place : place + 1]) for place in range(64)]

    assert torch.equal(reversed_images.flip(0), images)
    assert torch.equal(reversed_part.flip(0), part)
    assert torch.equal(torch.cat([image for image, _ in alone]), images)
    assert torch.equal(torch.cat([own for _, own in alone]), part)
