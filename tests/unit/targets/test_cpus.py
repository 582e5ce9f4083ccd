"""Lists of CPUs, as Linux writes them."""

import pytest

from edgekd.targets import cpu_mask, cpu_numbers


@pytest.mark.parametrize(
    ("listed", "numbers", "mask"),
    [
        ("0", (0,), "1"),
        ("0-3", (0, 1, 2, 3), "f"),
        ("4-7", (4, 5, 6, 7), "f0"),
        ("0,3-5", (0, 3, 4, 5), "39"),
        ("0-11", tuple(range(12)), "fff"),
    ],
)
def test_a_list_is_its_numbers_and_its_mask(listed: str, numbers: tuple[int, ...], mask: str) -> None:
    """Each CPU is one bit, CPU 0 the lowest; worked out by hand."""
    assert cpu_numbers(listed) == numbers
    assert cpu_mask(listed) == mask
