"""Random numbers of a sample: a second way to them, and that they look random."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgekd.train.draws import mixed_seed, order, signed, uniform

WORD = 1 << 64
numbers = st.integers(0, 2**31)


def split_mix(seed: int, *steps: int) -> int:
    """Return SplitMix64 of *seed*, and of each result with the next of *steps* added, in plain integers."""
    state = seed
    for step in (0, *steps):
        state = (state + step + 0x9E3779B97F4A7C15) % WORD
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % WORD
        state ^= state >> 31
    return state


def test_the_second_way_is_split_mix_itself() -> None:
    """Seed 0 begins with the numbers of the published generator: its state grows by the golden ratio's word."""
    assert split_mix(0) == 0xE220A8397B1DCDAF
    assert split_mix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


@given(seed=numbers, epoch=numbers, purpose=st.integers(0, 200), samples=st.lists(numbers, min_size=1, max_size=5))
def test_draws_are_those_of_plain_integers(seed: int, epoch: int, purpose: int, samples: list[int]) -> None:
    """The upper 53 bits of the mixed word, as a part of 1."""
    found = uniform(seed, epoch, np.array(samples), purpose)

    assert found.tolist() == [(split_mix(seed, epoch, purpose, sample) >> 11) / 2**53 for sample in samples]


@given(seed=numbers, epoch=numbers, samples=st.permutations(range(7)))
def test_a_samples_draw_does_not_depend_on_its_company(seed: int, epoch: int, samples: list[int]) -> None:
    """Alone, in another order, in another number: the same."""
    together = uniform(seed, epoch, np.array(samples), 1)

    assert together.tolist() == [uniform(seed, epoch, np.array([sample]), 1)[0] for sample in samples]


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_draws_fill_the_range_evenly(seed: int) -> None:
    """A chi-square test over 64 bins sees nothing: over samples, over epochs and over purposes."""
    count = np.arange(6400)
    runs = (
        uniform(seed, 0, count, 1),
        np.concatenate([uniform(seed, epoch, count[:64], 1) for epoch in range(100)]),
        np.concatenate([uniform(seed, 0, count[:64], purpose) for purpose in range(100)]),
    )

    for run in runs:
        assert stats.chisquare(np.histogram(run, 64, (0, 1))[0]).pvalue > 1e-3


def test_purposes_epochs_and_seeds_have_nothing_to_do_with_each_other() -> None:
    """The correlation of 20 000 pairs stays within four of its standard errors."""
    samples = np.arange(20_000)
    first = uniform(0, 0, samples, 1)

    for other in (uniform(1, 0, samples, 1), uniform(0, 1, samples, 1), uniform(0, 0, samples, 2)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / 20_000**0.5


def test_signed_draws_are_twice_the_others_less_one() -> None:
    """Float32 holds 24 bits of them."""
    samples = np.arange(100)

    found = signed(3, 4, samples, 5)

    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), uniform(3, 4, samples, 5) * 2 - 1, atol=2**-23)


def test_the_largest_draw_stays_below_one() -> None:
    """The sample whose word is all ones, found by going SplitMix64's way back: float32 would round it up to 1."""
    state = split_mix(0, 0, 1)
    word = WORD - 1
    word ^= word >> 31 ^ word >> 62
    word = word * pow(0x94D049BB133111EB, -1, WORD) % WORD
    word ^= word >> 27 ^ word >> 54
    word = word * pow(0xBF58476D1CE4E5B9, -1, WORD) % WORD
    word ^= word >> 30 ^ word >> 60
    sample = np.array([(word - state - 0x9E3779B97F4A7C15) % WORD], dtype=np.uint64).astype(np.int64)

    assert uniform(0, 0, sample, 1)[0] == 1 - 2**-53
    assert signed(0, 0, sample, 1)[0] == 1 - 2**-23


@given(count=st.integers(1, 50), seed=numbers, epoch=numbers)
def test_an_order_holds_every_sample_once(count: int, seed: int, epoch: int) -> None:
    """It is a permutation, and always the same one."""
    found = order(count, seed, epoch)

    assert sorted(found) == list(range(count))
    assert found.tolist() == order(count, seed, epoch).tolist()


def test_positions_have_seeds_of_their_own() -> None:
    """Of 3 seeds and 1000 positions no two agree; all are seeds that torch takes."""
    seeds = {mixed_seed(seed, position) for seed in range(3) for position in range(1000)}

    assert len(seeds) == 3000
    assert all(0 <= seed < 2**63 for seed in seeds)
