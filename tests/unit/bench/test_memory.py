"""Peak memory, measured in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.bench.memory import peak_memory_bytes
from edgekd.core.errors import StageError

MEBIBYTE = 2**20


def test_a_larger_model_needs_more_memory(product: Callable[..., Path]) -> None:
    """40 MB of weights must be resident at some time; a few numbers need next to nothing."""
    small = peak_memory_bytes(product("small"))
    large = peak_memory_bytes(product("large", rows=1000, columns=10_000))
    assert large - small > 35 * MEBIBYTE
    assert small < 35 * MEBIBYTE


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    """The failure of the process is told with the file's name, not turned into a number."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(StageError, match=r"broken\.onnx: measuring its memory failed"):
        peak_memory_bytes(broken)
