"""Whether the integer kernels of this host saturate: found out by multiplying, not by the processor's name."""

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.networks.session import open_session

_TERMS: Final = 4
_LARGEST: Final = 127


@functools.cache
def saturating_kernels() -> frozenset[str]:
    """Return which of ONNX Runtime's matrix products here are wrong for large numbers: ``U8S8``, ``S8S8``, both, none.

    An x86 CPU without VNNI adds two products of 8 bits in 16: 255 * 127 + 255 * 127 does not fit. Such a host changes
    classes; no ARM core does it. Source: ONNX Runtime's documentation of quantization, "When and why do I need to try
    U8U8".
    """
    rows = {"U8S8": np.full((1, _TERMS), 255, np.uint8), "S8S8": np.full((1, _TERMS), _LARGEST, np.int8)}
    return frozenset(name for name, row in rows.items() if _product(row) != int(row.sum(dtype=np.int64)) * _LARGEST)


def _product(row: NDArray[np.generic]) -> int:
    """Return the sum of four products with 127 that ONNX Runtime computes of *row*, (1, 4)."""
    kind = helper.np_dtype_to_tensor_dtype(row.dtype)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["data", "weight"], ["sum"])],
        "product",
        [helper.make_tensor_value_info("data", kind, [1, _TERMS])],
        [helper.make_tensor_value_info("sum", TensorProto.INT32, [1, _TERMS])],
        [numpy_helper.from_array(np.full((_TERMS, _TERMS), _LARGEST, np.int8), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return int(open_session(model).run(None, {"data": row})[0][0, 0])
