"""Counted windows: which one stands for an inference, and when there are too few."""

import msgspec
import pytest

from edgekd.bench.instructions import Instructions, read_windows, steady
from edgekd.core.errors import StageError


def window(total: int) -> Instructions:
    """Return a window of *total* instructions, all of them loads."""
    nothing = dict.fromkeys(Instructions.__struct_fields__, 0)
    return Instructions(**(nothing | {"total": total, "load": total}))


def test_the_first_window_is_left_out_and_the_smallest_other_one_taken() -> None:
    """Of 5, 30, 20, 21 ... the answer is 20: the 5 came first."""
    assert steady([window(5), window(30), *(window(20 + n) for n in range(9))]).total == 20


def test_ten_windows_are_too_few() -> None:
    """Ten are nine after the first."""
    with pytest.raises(StageError, match=r"^10 windows .* at least 11 are expected"):
        steady([window(n) for n in range(10)])


def test_the_plugins_file_is_read_strictly_and_in_its_order() -> None:
    """Two windows come back as two; a class that is missing is an error, never a zero."""
    text = msgspec.json.encode({"windows": [window(3), window(4)]})
    assert [found.total for found in read_windows(text)] == [3, 4]
    with pytest.raises(msgspec.ValidationError, match="dot"):
        read_windows(text.replace(b'"dot"', b'"dots"'))
