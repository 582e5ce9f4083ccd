"""A small network with an open batch, in a bundle with golden samples."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from emulator import tensor, write_model
from onnx import TensorProto, helper

ROWS = 3
TOLERANCE = 1e-4


def small_network(path: Path) -> Path:
    """Write a convolution of 3 to 4 channels over images of 8x8, and a ReLU, to *path* and return it."""
    weights = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    given = tensor("x", TensorProto.FLOAT, ["batch", 3, 8, 8])
    return write_model(path, nodes, [given], [tensor("y", TensorProto.FLOAT, ["batch", 4, 8, 8])], {"w": weights})


def bundle(folder: Path, *, wrong_by: float = 0.0) -> Path:
    """Write a bundle's model, golden samples (their outputs wrong by so much) and manifest; return the model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = small_network(folder / "model.onnx")
    inputs = np.random.default_rng(4).normal(size=(ROWS, 3, 8, 8)).astype(np.float32)
    (outputs,) = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": inputs})
    np.savez(folder / "golden.npz", x=inputs, y=outputs + np.float32(wrong_by))
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    manifest = {
        "golden": {"file": "golden.npz", "samples": ROWS, "tolerance": TOLERANCE},
        "files": {"model.onnx": {"sha256": digest, "size_bytes": model.stat().st_size}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return model
