"""Every built-in network at opset 13 and IR 8 beside opset 18; size and integer coverage of its INT8 file.

    tools/arm-emulation/setup
    python benchmarks/opset13.py

Random weights: neither the numbers that operators give nor the bytes of a file depend on training. INT8 is calibrated
on random samples for the same reason; nothing here is an accuracy. INT8 is compared twice: in reference arithmetic, and
on an emulated Cortex-A76 as devices run it, where norms that opset 13 has in parts are one kernel again.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from built_in import NETWORKS, exported
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from recording import at_least, at_most, write

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import EmulationSettings, Emulator, emulator_folder, find_emulator, run_emulated
from edgekd.export.float16 import to_float16
from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.shapes import fix_batch
from edgekd.export.shipping import written_for
from edgekd.networks.session import open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.coverage import integer_coverage
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph

CALIBRATION: Final = 8
CORE: Final = "cortex-a76"
RUNTIMES: Final = (("tensorrt", "8.2.1"), ("tensorrt", "10.3"), ("onnxruntime", "1.32.0"))
LARGEST_RATIO: Final = 0.27
LARGEST_DIFFERENCE: Final[dict[str, float]] = {"fp32": 1e-5, "fp16": 2**-8, "int8": 1e-4, "int8 on ARM": 0.0}
"""Relative to the largest answer. Sums in another order are another float; FP16 has 11 bits."""


def main() -> None:
    """Compare and judge."""
    emulator = find_emulator(emulator_folder(os.environ))
    rows: dict[str, Any] = {}
    for name, network in NETWORKS.items():
        samples = np.random.default_rng(0).standard_normal((CALIBRATION, *network.shape), np.float32)
        rows[name] = _row(exported(name), samples, emulator)
        print(name, rows[name], flush=True)
    promises = [
        at_most(f"{name}, {form}: opset 13 against 18, relative", bound, row["difference"][form])
        for name, row in rows.items()
        for form, bound in LARGEST_DIFFERENCE.items()
    ]
    promises += [
        at_most(f"{name}: INT8 file over FP32 file", LARGEST_RATIO, row["ratio"]) for name, row in rows.items()
    ]
    promises += [at_least(f"{name}: integer coverage", 1.0, row["integer_coverage"]) for name, row in rows.items()]
    found = {"core": CORE, "emulated_onnxruntime": emulator.versions.onnxruntime, "networks": rows}
    sys.exit(not write("opset13", found, promises))


def _row(graph: ModelProto, samples: NDArray[np.float32], emulator: Emulator) -> dict[str, Any]:
    """Return what there is to say of one network."""
    whole = with_integer_forms(graph)
    places = place(whole.graph, PLACEMENTS["onnxruntime-arm64"])
    quantized = write_qdq(whole, places, calibrated(SimulatedGraph(whole, places), torch.from_numpy(samples)))
    forms = {"fp32": fix_batch(graph), "fp16": to_float16(fix_batch(graph)), "int8": fix_batch(quantized)}
    difference, sizes = {}, {}
    for form, made in forms.items():
        for runtime, version in RUNTIMES[:2]:
            written_for(made, runtime, version, opset=13, ir_version=8)
        old, new = (_shipped(made, opset) for opset in (13, 18))
        difference[form] = _difference(*(_answer(model, samples[:1]) for model in (old, new)))
        sizes[form] = len(old.SerializeToString())
        if form == "int8":
            difference["int8 on ARM"] = _difference(*(_on_arm(model, samples[:1], emulator) for model in (old, new)))
    parts = _parts(_shipped(forms["int8"], 13))
    return {
        "difference": difference,
        "bytes": sizes,
        "ratio": sizes["int8"] / sizes["fp32"],
        "least_ratio": (parts["weights"] + parts["scales"] + parts["biases"]) / sizes["fp32"],
        "integer_coverage": _coverage(_shipped(forms["int8"], 13), samples[:1]),
        "int8_bytes_of": parts,
    }


def _coverage(model: ModelProto, sample: NDArray[np.float32]) -> float:
    """Return the share of multiply-accumulates that ONNX Runtime does in integers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return integer_coverage(path, (sample,)).share


def _shipped(made: ModelProto, opset: int) -> ModelProto:
    """Return *made* as ``edgekd compress`` ships it, at one opset."""
    runtime, version = RUNTIMES[2]
    return written_for(made, runtime, version, opset=opset, ir_version=8)


def _parts(model: ModelProto) -> dict[str, int]:
    """Return the bytes of the weights, of one float scale and one int32 bias for each channel, and of all the rest.

    The first three are what no Q/DQ file with a scale for each channel can do without.
    """
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    weights = sum(array.nbytes for array in arrays if array.ndim > 1)
    biases = sum(array.nbytes for array in arrays if array.dtype == np.int32)
    scales = sum(array.nbytes for array in arrays if array.dtype == np.float32 and array.ndim == 1) - biases
    total = len(model.SerializeToString())
    return {"weights": weights, "scales": scales, "biases": biases, "rest": total - weights - scales - biases}


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest difference relative to the largest answer."""
    return float(np.abs(first - second).max() / np.abs(second).max())


def _on_arm(model: ModelProto, sample: NDArray[np.float32], emulator: Emulator) -> NDArray[np.float32]:
    """Return the logits of *model* on the emulated core, with all optimizations."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        done = run_emulated(emulator, CORES[CORE], path, [(sample,)], EmulationSettings(timeout_seconds=3600))
    found: NDArray[np.float32] = done.outputs[0]
    return found


def _answer(model: ModelProto, sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of a valid *model*, read from a file as an app does, in reference arithmetic."""
    onnx.checker.check_model(model, full_check=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        session = open_session(path, arithmetic="reference")
        found: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: sample})[0]
    return found


if __name__ == "__main__":
    main()
