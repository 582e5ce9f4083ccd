"""Quantize one ONNX file with NNCF's defaults; run by ``int8_accuracy.py`` with the Python of NNCF's environment.

    python nncf_ptq.py FLOAT.onnx IMAGES.npy INT8.onnx

It is no part of edgekd's environment: NNCF pins other versions of its libraries. Prints its versions as JSON.
"""

import json
import sys
from importlib.metadata import version

import nncf  # type: ignore[import-not-found]  # in an environment of its own
import numpy as np
import onnx


def main() -> None:
    """Quantize the file that the command line names."""
    source, images, result = sys.argv[1:]
    model = onnx.load(source)
    name = model.graph.input[0].name
    rows = np.load(images, allow_pickle=False)
    dataset = nncf.Dataset([{name: rows[i : i + 1]} for i in range(len(rows))])
    quantized = nncf.quantize(model, dataset, subset_size=len(rows), preset=nncf.QuantizationPreset.MIXED)
    onnx.save(quantized, result)
    print(json.dumps({package: version(package) for package in ("nncf", "onnx", "onnxruntime")}))


if __name__ == "__main__":
    main()
