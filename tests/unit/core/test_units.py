"""Numbers as people read them."""

import pytest

from edgekd.core import units


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 kB"), (48_213, "48.2 kB"), (1_024_000, "1.02 MB")],
)
def test_a_size_is_decimal(size_bytes: int, text: str) -> None:
    """1 kB is 1000 bytes."""
    assert units.size(size_bytes) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(1023, "1023 bytes"), (2**31, "2.00 GiB")])
def test_memory_is_binary_and_says_so(size_bytes: int, text: str) -> None:
    """1 GiB is 2 to the 30."""
    assert units.memory(size_bytes) == text


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (1500, "1.50 k"), (1_230_000, "1.23 M"), (4_110_000_000, "4.11 G")]
)
def test_a_count_has_three_digits_and_a_prefix(number: int, text: str) -> None:
    """MACs and parameters are read in k, M and G."""
    assert units.count(number) == text


@pytest.mark.parametrize(
    ("latency_ms", "text"),
    [
        (0.00001234, "0.012 µs"),
        (0.01234, "12.3 µs"),
        (0.0, "0.000 ms"),
        (0.1234, "0.123 ms"),
        (1.0, "1.00 ms"),
        (33.33, "33.3 ms"),
        (1234.0, "1234 ms"),
    ],
)
def test_a_latency_has_three_digits(latency_ms: float, text: str) -> None:
    """Short latencies keep their decimals, long ones drop them."""
    assert units.milliseconds(latency_ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7630, "2 h 07 min"),
    ],
)
def test_a_duration_uses_the_units_that_fit(seconds: float, text: str) -> None:
    """Seconds, minutes and hours never overflow: no "60 s", no "60 min"."""
    assert units.duration(seconds) == text


def test_accuracies_say_percent_and_differences_say_points() -> None:
    """A fraction becomes a percentage; a difference of percentages carries its sign."""
    assert units.percent(0.975) == "97.50 %"
    assert units.points(-0.3) == "-0.30 points"
    assert units.points(0.7) == "+0.70 points"
    assert units.points(-0.0) == units.points(-0.001) == "+0.00 points"
