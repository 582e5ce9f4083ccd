"""Instructions of one inference on emulated ARM cores: FP32, edgekd's INT8, and ``quantize_static``'s S8S8 file.

    tools/arm-emulation/setup
    python benchmarks/emulated_instructions.py

MobileNetV2 at 3x224x224 and ResNet-20 at 3x32x32 with random weights: how many instructions they take does not depend
on the numbers in them. Both INT8 files come from the same float file and the same calibration samples; the tool's own
defaults but for signed activations and one scale for each channel, which is what ONNX Runtime advises for ARM. Each
core has the placement of the boards that carry it: unsigned activations on the A72, signed ones on the A76. A count is
no latency.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx
import torch
from built_in import exported
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from recording import at_most, write

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import EmulationSettings, emulator_folder, find_emulator, run_emulated
from edgekd.export.legalize import legalize
from edgekd.export.shapes import fix_batch
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.targets import PlacementName

NETWORKS: Final = {"mobilenetv2": 224, "resnet20": 32}
ON: Final[Mapping[str, PlacementName]] = MappingProxyType(
    {"cortex-a72": "onnxruntime-armv8.0", "cortex-a76": "onnxruntime-arm64"}
)
"""The cores, and how the boards that have them are placed."""

CALLS: Final = 12
CALIBRATION: Final = 16
LARGEST_RATIO: Final = {"cortex-a72": 0.70, "cortex-a76": 0.35}


class Samples(CalibrationDataReader):  # type: ignore[misc]  # it comes without types
    """The calibration samples, one at a time."""

    def __init__(self, images: NDArray[np.float32], name: str) -> None:
        """Give each of *images* under *name*."""
        self._rows = iter([{name: images[i : i + 1]} for i in range(len(images))])

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample, None after the last."""
        return next(self._rows, None)


def main() -> None:
    """Count and judge."""
    emulator = find_emulator(emulator_folder(os.environ))
    counts: dict[str, dict[str, dict[str, Any]]] = {}
    for network, side in NETWORKS.items():
        images = np.random.default_rng(0).standard_normal((CALIBRATION, 3, side, side), np.float32)
        with tempfile.TemporaryDirectory() as name:
            for core, placement in ON.items():
                for kind, path in _files(network, images, placement, Path(name)).items():
                    settings = EmulationSettings(repeats=CALLS, count=True, timeout_seconds=3600)
                    done = run_emulated(emulator, CORES[core], path, [(images[:1],)], settings)
                    counts.setdefault(network, {}).setdefault(kind, {})[core] = {
                        "instructions": done.instructions.total,
                        "windows": [window.total for window in done.windows],
                    }
                    print(network, kind, core, done.instructions.total, flush=True)
    total = {
        (network, kind, core): found["instructions"]
        for network, kinds in counts.items()
        for kind, cores in kinds.items()
        for core, found in cores.items()
    }
    promises = []
    for network in NETWORKS:
        for core in ON:
            ratio = total[network, "edgekd", core] / total[network, "quantize_static", core]
            promises.append(at_most(f"{network}, {core}: instructions over quantize_static's S8S8", 1.0, ratio))
    for core, bound in LARGEST_RATIO.items():
        ratio = total["mobilenetv2", "edgekd", core] / total["mobilenetv2", "fp32", core]
        promises.append(at_most(f"mobilenetv2 at 224, {core}: instructions over FP32", bound, ratio))
    holds = write(
        "emulated_instructions",
        {"calls": CALLS, "emulated_onnxruntime": emulator.versions.onnxruntime, "counts": counts},
        promises,
    )
    sys.exit(not holds)


def _files(network: str, images: NDArray[np.float32], placement: PlacementName, folder: Path) -> dict[str, Path]:
    """Return the three files of a network, each for one image at a time at opset 13."""
    graph = exported(network)
    places = place(graph.graph, PLACEMENTS[placement])
    simulation = SimulatedGraph(graph, places)
    ours = write_qdq(graph, places, calibrated(simulation, torch.from_numpy(images)))
    files = {"fp32": graph, "edgekd": ours}
    paths = {kind: folder / f"{kind}.onnx" for kind in (*files, "quantize_static")}
    for kind, model in files.items():
        onnx.save(legalize(fix_batch(model), opset=13, ir_version=8), paths[kind])
    quantize_static(
        paths["fp32"],
        paths["quantize_static"],
        Samples(images, graph.graph.input[0].name),
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return paths


if __name__ == "__main__":
    main()
