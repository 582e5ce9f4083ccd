"""Numbers written for people: sizes, counts, times and accuracies with their units.

Sizes are decimal everywhere in edgekd: 1 kB = 1000 bytes, 1 MB = 1000 kB. Only memory that hardware sells in
powers of two is binary, and then the unit says so (MiB, GiB).
"""

from collections.abc import Sequence
from typing import Final

_DECIMAL_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_BINARY_SIZES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_COUNTS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_LEAST_MS: Final = 0.1
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


def size(size_bytes: int) -> str:
    """Return a file's size in bytes, kB, MB or GB of 1000: ``size(48_213) == "48.2 kB"``."""
    return _scaled(size_bytes, _DECIMAL_SIZES) or f"{size_bytes} bytes"


def memory(size_bytes: int) -> str:
    """Return a memory's size in bytes, KiB, MiB or GiB of 1024: ``memory(2**31) == "2.00 GiB"``."""
    return _scaled(size_bytes, _BINARY_SIZES) or f"{size_bytes} bytes"


def count(number: int) -> str:
    """Return a count (MACs, parameters) with k, M, G or T: ``count(1_230_000) == "1.23 M"``."""
    return _scaled(number, _COUNTS) or str(number)


def milliseconds(latency_ms: float) -> str:
    """Return a latency with three digits: ``"33.3 ms"``, ``"0.123 ms"``, below a tenth of that ``"12.3 µs"``."""
    if 0 < abs(latency_ms) < _LEAST_MS:
        return f"{_three_digits(1e3 * latency_ms)} µs"
    return f"{_three_digits(latency_ms)} ms"


def percent(fraction: float) -> str:
    """Return a fraction from 0 to 1 as a percentage: ``percent(0.975) == "97.50 %"``."""
    return f"{100 * fraction:.2f} %"


def points(difference_points: float) -> str:
    """Return a difference of two percentages with its sign: ``points(-0.3) == "-0.30 points"``."""
    return f"{round(difference_points, 2) + 0.0:+.2f} points"


def duration(seconds: float) -> str:
    """Return a time span: ``"0.8 s"``, ``"42 s"``, ``"3 min 05 s"``, ``"2 h 07 min"``."""
    if seconds < 10:  # noqa: PLR2004 - below ten seconds a tenth of a second is worth a digit
        tenths = f"{seconds:.1f} s"
        return tenths if tenths != "10.0 s" else "10 s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    minutes = round(seconds / _MINUTE_S)
    return f"{minutes // _MINUTE_S} h {minutes % _MINUTE_S:02d} min"


def _scaled(number: float, scales: Sequence[tuple[float, str]]) -> str | None:
    """Return *number* in the largest of *scales* that it reaches, or None when it reaches none."""
    for scale, unit in scales:
        if abs(number) >= scale:
            return f"{_three_digits(number / scale)} {unit}"
    return None


def _three_digits(number: float) -> str:
    """Return *number* with three digits and no exponent: at most three decimals, every digit from 1000 up."""
    for limit, decimals in ((1, 3), (10, 2), (100, 1)):
        if round(abs(number), decimals) < limit:
            return f"{number:.{decimals}f}"
    return f"{number:.0f}"
