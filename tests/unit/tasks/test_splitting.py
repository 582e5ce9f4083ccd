"""Splits that come out the same everywhere, class by class."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import ConfigError
from edgekd.tasks.splitting import complete, mixed, rule, split

SHARES = {"validation": 0.1, "test": 0.2}


def test_the_order_is_that_of_the_digests_of_seed_and_index() -> None:
    """Worked out with the first digits of sha256("0:0") to sha256("0:3"), as sha256sum prints them."""
    digests = {index: hashlib.sha256(b"0:%d" % index).hexdigest() for index in range(4)}

    assert mixed(4, seed=0).tolist() == sorted(digests, key=digests.__getitem__)
    assert sorted(mixed(100, seed=1).tolist()) == list(range(100))
    assert mixed(100, seed=1).tolist() != mixed(100, seed=2).tolist()


def test_every_class_gives_its_share() -> None:
    """Of 20 and of 10 samples: 2 and 1 for validation, 4 and 2 for test, 14 and 7 are left."""
    labels = np.array([0] * 20 + [1] * 10)

    parts = split(labels, SHARES, seed=0, where="x")

    counts = {part: np.bincount(labels[rows]).tolist() for part, rows in parts.items()}
    assert counts == {"train": [14, 7], "validation": [2, 1], "test": [4, 2]}


def test_a_class_gives_its_first_samples_in_mixed_order() -> None:
    """One class of ten: the first in the order is validation, the next two are test, the rest is train."""
    order = mixed(10, seed=3).tolist()

    parts = split(np.zeros(10, dtype=np.int64), SHARES, seed=3, where="x")

    found = {part: rows.tolist() for part, rows in parts.items()}
    assert found == {"validation": order[:1], "test": order[1:3], "train": order[3:]}


@given(
    labels=st.lists(st.integers(0, 3), min_size=30, max_size=60),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 5),
)
def test_every_sample_is_in_one_part_and_every_class_in_train(
    labels: list[int], validation: float, test: float, seed: int
) -> None:
    """Whatever the shares are, nothing is lost, nothing is twice, no class is untrained."""
    numbers = np.array(labels)

    parts = split(numbers, {"validation": validation, "test": test}, seed=seed, where="x")

    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(labels)))
    assert set(numbers[parts["train"]]) == set(labels)


def test_a_class_of_one_sample_is_trained_on() -> None:
    """It cannot be shared; the shares come from the other class."""
    parts = split(np.array([0] * 10 + [1]), {"validation": 0.5, "test": 0.4}, seed=0, where="x")

    assert 10 in parts["train"].tolist()


def test_too_few_samples_for_a_part_is_a_sentence() -> None:
    """Three of each class and a tenth of that is none."""
    with pytest.raises(ConfigError, match=r"pets: 6 samples of 2 classes leave none for validation = 0\.1"):
        split(np.array([0, 1] * 3), SHARES, seed=0, where="pets")


def test_parts_that_the_source_has_are_kept_and_the_others_come_from_train() -> None:
    """Samples 0 to 9 are train, 10 to 14 test: test stays, validation is drawn from the first ten."""
    given_parts = {"train": np.arange(10), "test": np.arange(10, 15)}

    parts = complete(given_parts, np.array([0, 1] * 5 + [0] * 5), SHARES, seed=0, where="x")

    assert sorted(parts["test"].tolist()) == [10, 11, 12, 13, 14]
    assert sorted([*parts["train"].tolist(), *parts["validation"].tolist()]) == list(range(10))
    assert len(parts["validation"]) == 2
    assert rule(given_parts, SHARES, seed=0) == (
        "train, test as the source has them; "
        "of each class of train 0.1 validation, the first in the order of SHA-256 of '0:index'"
    )
