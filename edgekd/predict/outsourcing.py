"""Networks without their weights, which all read from the same file of random numbers: a suite of a few hundred kB."""

from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, external_data_helper, helper

LEAST_BYTES: Final = 2048
_STEP: Final = 4096
"""Where weights may begin: at a page."""
_PAGES: Final = 64


def outsource(model: ModelProto, file: str, *, seed: int) -> int:
    """Let *model*, in place, read its larger constants from *file*; return how many bytes of it that needs.

    Each begins at one of the first pages by *seed*, so that not all are the same numbers.
    """
    random, needed = np.random.default_rng(seed), 0
    for tensor in model.graph.initializer:
        size = int(np.prod(tensor.dims, dtype=np.int64)) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if len(tensor.dims) < 2 or size < LEAST_BYTES or tensor.data_type not in _NUMBERS:  # noqa: PLR2004 - matrices
            continue
        offset = _STEP * int(random.integers(_PAGES))
        external_data_helper.set_external_data(tensor, file, offset, size)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        needed = max(needed, offset + size)
    return needed


_NUMBERS: Final = frozenset({TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8})
