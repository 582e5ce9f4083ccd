"""Where dynamic quantization wins: instructions of one inference in FP32, static INT8 and dynamic INT8 on ARM cores.

    tools/arm-emulation/setup
    python benchmarks/dynamic_quantization.py

A vision transformer of two blocks, and a perceptron of three layers whose weights are most of its work; random weights,
as counts do not depend on them. A count is no latency, and dynamic quantization needs no calibration data.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from recording import at_most, write
from torch import nn

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import EmulationSettings, Emulator, emulator_folder, find_emulator, run_emulated
from edgekd.export.exporter import export_onnx
from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.shapes import fix_batch
from edgekd.export.shipping import written_for
from edgekd.networks.vit import vit
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.dynamic import dynamic
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.targets import PlacementName

CALLS: Final = 12
CALIBRATION: Final = 8
ON: Final[Mapping[str, PlacementName]] = MappingProxyType(
    {"cortex-a72": "onnxruntime-armv8.0", "cortex-a76": "onnxruntime-arm64"}
)
SHAPES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({"vit": (3, 96, 96), "perceptron": (512,)})


def main() -> None:
    """Count and judge."""
    emulator = find_emulator(emulator_folder(os.environ))
    counts: dict[str, dict[str, dict[str, list[int]]]] = {}
    for name, network in (("vit", vit(classes=10, image_size=96, depth=2)), ("perceptron", _perceptron())):
        shape = SHAPES[name]
        task: Any = SimpleNamespace(shapes=(shape,), inputs=(SimpleNamespace(name="input"),), outputs=("logits",))
        graph = export_onnx(network.eval(), task)
        samples = np.random.default_rng(0).standard_normal((CALIBRATION, *shape), np.float32)
        for core, placement in ON.items():
            for form, model in _forms(graph, placement, samples).items():
                counted = _counts(model, samples[:1], core, emulator)
                counts.setdefault(name, {}).setdefault(core, {})[form] = counted
                print(name, core, form, min(counted[1:]), flush=True)
    promises = [
        at_most(f"{name}, {core}: dynamic INT8 over {form}", 1.0, min(of["dynamic"][1:]) / min(of[form][1:]))
        for name, cores in counts.items()
        for core, of in cores.items()
        for form in ("fp32", "static")
    ]
    found = {"calls": CALLS, "emulated_onnxruntime": emulator.versions.onnxruntime, "instructions": counts}
    write("dynamic_quantization", found, promises)
    sys.exit(0)


def _perceptron() -> nn.Module:
    """Return three layers of matrices, 1.3 million weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 768), nn.ReLU(), nn.Linear(768, 10))


def _forms(graph: ModelProto, placement: PlacementName, samples: NDArray[np.float32]) -> dict[str, ModelProto]:
    """Return the three files as they ship, for one sample at a time."""
    whole = with_integer_forms(graph)
    places = place(whole.graph, PLACEMENTS[placement])
    static = write_qdq(whole, places, calibrated(SimulatedGraph(whole, places), torch.from_numpy(samples)))
    return {
        name: written_for(fix_batch(model), "onnxruntime", "1.32.0", opset=13, ir_version=8)
        for name, model in (("fp32", graph), ("static", static), ("dynamic", dynamic(graph)))
    }


def _counts(model: ModelProto, sample: NDArray[np.float32], core: str, emulator: Emulator) -> list[int]:
    """Return the instructions of each call; the first is dearer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        settings = EmulationSettings(repeats=CALLS, count=True, timeout_seconds=3600)
        done = run_emulated(emulator, CORES[core], path, [(sample,)], settings)
    return [window.total for window in done.windows]


if __name__ == "__main__":
    main()
