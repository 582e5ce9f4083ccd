"""Laws of amounts that people type."""

import pytest

from edgekd.core.amounts import milliseconds_of, part_of
from edgekd.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "part"), [("5%", 0.05), ("0.05", 0.05), (" 2.5 % ", 0.025), ("0", 0.0), (".5%", 0.005)]
)
def test_a_part_is_read_with_and_without_its_sign(text: str, part: float) -> None:
    """One hundredth for each percent."""
    assert part_of(text, where="x") == pytest.approx(part)


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("0.2ms", 0.2), ("200us", 0.2), ("200 µs", 0.2), ("1s", 1000.0), ("5e4ns", 0.05)]
)
def test_a_time_has_a_unit(text: str, milliseconds: float) -> None:
    """All units of a thousandth of each other."""
    assert milliseconds_of(text, where="x") == pytest.approx(milliseconds)


@pytest.mark.parametrize("text", ["5", "fast", "-5%", "5%%", "100%", "1.5", "1e999", "nan", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    """The sentence says where, what came and what is expected."""
    with pytest.raises(ConfigError, match=r"--max-regression.*0\.05"):
        part_of(text, where="--max-regression")


@pytest.mark.parametrize("text", ["0.2", "3 minutes", "-1ms", "ms", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    """A number without a unit is a guess."""
    with pytest.raises(ConfigError, match=r"--floor.*unit"):
        milliseconds_of(text, where="--floor")
