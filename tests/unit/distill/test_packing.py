"""Logits in few bytes: what comes back is what went in, and damage is known for what it is."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor

from edgekd.distill.packing import KEPT, WHOLE_UP_TO, packing_for

HALF = 2.0**-11
"""Relative rounding of float16."""

LEAST = 2.0**-24
"""The smallest number that float16 has: what an absolute error can be near zero."""


def random_logits(samples: int, classes: int, *, size: float = 4.0) -> Tensor:
    """Return logits (samples, classes) with a standard deviation of *size*."""
    return torch.randn(samples, classes, generator=torch.Generator().manual_seed(classes)) * size


def relative(logits: Tensor) -> NDArray[np.float64]:
    """Return *logits* minus the largest of each sample, in float64."""
    numbers: NDArray[np.float64] = logits.double().numpy()
    shifted: NDArray[np.float64] = numbers - numbers.max(axis=1, keepdims=True)
    return shifted


def there_and_back(logits: Tensor) -> NDArray[np.float64]:
    """Return *logits* packed and unpacked."""
    packing = packing_for(logits.shape[1])
    found: NDArray[np.float64] = packing.unpack(packing.pack(logits)).double().numpy()
    return found


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(2, WHOLE_UP_TO)),
        elements=st.floats(-1e4, 1e4, width=32),
    )
)
def test_few_classes_come_back_relative_to_their_largest(array: NDArray[np.float32]) -> None:
    """Every logit minus the sample's largest, within the rounding of float16."""
    logits = torch.from_numpy(array)
    expected = relative(logits)

    np.testing.assert_allclose(there_and_back(logits), expected, rtol=HALF, atol=LEAST)


@pytest.mark.parametrize("classes", [WHOLE_UP_TO + 1, 100, 1000])
def test_the_kept_logits_of_many_classes_come_back(classes: int) -> None:
    """The 32 largest of each sample, at their own places, within the rounding of float16."""
    logits = random_logits(20, classes)
    expected = relative(logits)
    kept = np.argsort(-expected, axis=1)[:, :KEPT]

    found = there_and_back(logits)

    np.testing.assert_allclose(
        np.take_along_axis(found, kept, 1), np.take_along_axis(expected, kept, 1), rtol=HALF, atol=LEAST
    )


@pytest.mark.parametrize("classes", [WHOLE_UP_TO + 1, 100, 1000])
def test_the_others_keep_their_mass(classes: int) -> None:
    """At temperature 1 they have together the probability they had, evenly spread.

    Their log-sum-exp is rounded to float16, so the mass is off by a factor of up to e to the power of that rounding.
    """
    logits = random_logits(20, classes)
    expected = relative(logits)
    places = np.argsort(-expected, axis=1)[:, KEPT:]
    others = np.exp(np.take_along_axis(expected, places, 1)).sum(1)
    probabilities = others / np.exp(expected).sum(1)

    found = np.take_along_axis(there_and_back(logits), places, 1)
    found_probabilities = np.exp(found).sum(1) / np.exp(there_and_back(logits)).sum(1)

    # two roundings of float16 meet: that of the others' sum and those of the logits that are kept
    bound = 2 * HALF * np.maximum(np.abs(np.log(others)), np.abs(expected).max(1)) + 1e-6
    assert (np.abs(np.log(found_probabilities / probabilities)) <= bound).all()
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize("classes", [2, 10, WHOLE_UP_TO, WHOLE_UP_TO + 1, 1000])
def test_a_row_has_the_size_it_says(classes: int) -> None:
    """A checksum of 4 bytes, then 2 for each logit; or 2 for each of 33 numbers and 4 for each of 32 classes."""
    packing = packing_for(classes)

    assert packing.row_bytes == 4 + (2 * classes if classes <= WHOLE_UP_TO else 2 * 33 + 4 * 32)
    assert packing.pack(random_logits(3, classes)).shape == (3, packing.row_bytes)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_every_flipped_bit_is_found(classes: int) -> None:
    """In the checksum or in the numbers, whichever bit it is."""
    packing = packing_for(classes)
    row = packing.pack(random_logits(1, classes))
    flips = np.eye(8 * packing.row_bytes, dtype=np.uint8)
    damaged = row ^ np.packbits(flips, axis=1)

    assert packing.are_sound(row).all()
    assert len(damaged) == 8 * packing.row_bytes
    assert not packing.are_sound(damaged).any()


@pytest.mark.parametrize("classes", [*range(2, WHOLE_UP_TO + 2), 1000])
def test_a_row_that_was_never_written_is_not_sound(classes: int) -> None:
    """A hole in a file reads as zeros."""
    packing = packing_for(classes)

    assert not packing.are_sound(np.zeros((1, packing.row_bytes), dtype=np.uint8)).any()


def test_soundness_is_told_row_by_row() -> None:
    """One damaged row says nothing of the others."""
    packing = packing_for(10)
    rows = packing.pack(random_logits(4, 10))
    rows[2, -1] ^= 1

    assert packing.are_sound(rows).tolist() == [True, True, False, True]


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("size", [1e5, 1e30])
def test_huge_logits_keep_their_distribution(classes: int, size: float) -> None:
    """float16 ends at 65,504: what is further down stays a number and has no probability, as before."""
    logits = torch.full((1, classes), -size)
    logits[0, 3] = size

    found = there_and_back(logits)

    assert np.isfinite(found).all()
    assert torch.softmax(torch.from_numpy(found), 1)[0].tolist() == [float(place == 3) for place in range(classes)]


@pytest.mark.parametrize("classes", [10, 100, 1000])
def test_equal_logits_stay_equal(classes: int) -> None:
    """A teacher that knows nothing says so: each class has the same probability, within the rounding of a float16."""
    found = torch.softmax(torch.from_numpy(there_and_back(torch.full((2, classes), 7.0))), 1).numpy()

    np.testing.assert_allclose(found, 1 / classes, rtol=2 * HALF * np.log(1000))


@pytest.mark.parametrize("classes", [10, 100])
def test_the_largest_is_zero_and_the_caller_keeps_its_logits(classes: int) -> None:
    """What comes back is shifted, what went in is not."""
    logits = random_logits(5, classes)
    before = logits.clone()

    found = there_and_back(logits)

    assert (found.max(1) == 0).all()
    assert (found.argmax(1) == before.argmax(1).numpy()).all()
    assert torch.equal(logits, before)
