"""How many instructions of which class one inference takes on an emulated core. Instructions are not time."""

from collections.abc import Sequence
from typing import Final

import msgspec

from edgekd.core.errors import StageError

ENOUGH_WINDOWS: Final = 11
"""The first, which is dropped, and ten to take the smallest of."""


class Instructions(msgspec.Struct, frozen=True, kw_only=True):
    """One window, a single call of the model: each instruction counts in *total* and in one class.

    *dot*: 8-bit dot products (SDOT, UDOT); *mmla*: matrix products; *fmla*: floating-point multiply-adds; *imla*:
    integer multiplications without dot product, which Armv8.0 cores use for INT8; *simd_other*: the rest of the vector
    and floating-point arithmetic; *alu*: arithmetic on general registers. What loads and stores at once is a *load*.
    """

    total: int
    dot: int
    mmla: int
    fmla: int
    imla: int
    simd_other: int
    sve_sme: int
    load: int
    store: int
    branch: int
    alu: int


def read_windows(text: bytes) -> tuple[Instructions, ...]:
    """Return every window of what tools/arm-emulation/count_instructions.c wrote, in the order they ran."""
    return msgspec.json.decode(text, type=_Counts, strict=True).windows


def steady(windows: Sequence[Instructions]) -> Instructions:
    """Return the window with the fewest instructions, the first one left out.

    The first call packs weights and makes its buffers (up to 11 % dearer); after it, what varies is only added:
    a longer walk through the allocator, a file name of another length. Raises StageError for fewer than eleven.
    """
    if len(windows) < ENOUGH_WINDOWS:
        message = (
            f"{len(windows)} windows of counted instructions: at least {ENOUGH_WINDOWS} are expected, of which the "
            f"first is dropped; count with more repeats or samples."
        )
        raise StageError(message)
    return min(windows[1:], key=lambda window: window.total)


class _Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin's file."""

    windows: tuple[Instructions, ...]
