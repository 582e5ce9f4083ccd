"""Models of one matrix product, of any size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

Writer = Callable[..., Path]


@pytest.fixture
def product(tmp_path: Path) -> Writer:
    """Give a function that writes a model which multiplies (1, rows) by float weights (rows, columns)."""

    def write(name: str, *, rows: int = 4, columns: int = 4) -> Path:
        weights = numpy_helper.from_array(np.ones((rows, columns), dtype=np.float32), "weights")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "weights"], ["y"], name="product")],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
            [weights],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write
