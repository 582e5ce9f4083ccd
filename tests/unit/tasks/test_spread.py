"""Mean and deviation of channels."""

import numpy as np
import pytest

from edgekd.tasks.spread import Spread, scaled, spread


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    """Channel 0 holds 0, 2, 4, 6: mean 3, variance (9+1+1+9)/4 = 5. Channel 1 holds tens: mean 10, deviation 0."""
    rows = np.array([[[0, 2], [10, 10]], [[4, 6], [10, 10]]], dtype=np.uint8)

    found = spread(rows)

    assert found.mean == (3.0, 10.0)
    assert found.std == (5**0.5, 0.0)


def test_rows_read_in_pieces_give_what_numpy_gives_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of three rows of seven change nothing beyond rounding."""
    rows = np.random.default_rng(0).normal(1000, 0.5, (7, 3, 4, 5)).astype(np.float32)
    monkeypatch.setattr("edgekd.tasks.spread._CHUNK_NUMBERS", 180)

    found = spread(rows)

    exact = rows.astype(np.float64)
    assert found.mean == pytest.approx(exact.mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert found.std == pytest.approx(exact.std(axis=(0, 2, 3)).tolist(), rel=1e-9)


def test_scaled_numbers_are_rounded_to_four_decimals_or_three_digits() -> None:
    """127.5/255 = 0.5; 1/255 = 0.003921..., of which 0.0039 would be two digits: 0.00392."""
    mean, std = scaled(Spread(mean=(127.5, 1.0), std=(51.25, 1.0)), 1 / 255)

    assert mean == (0.5, 0.00392)
    assert std == (0.201, 0.00392)


def test_a_deviation_of_nothing_stays_nothing() -> None:
    """A constant channel is for the caller to refuse."""
    assert scaled(Spread(mean=(5.0,), std=(0.0,)), 1.0) == ((5.0,), (0.0,))
