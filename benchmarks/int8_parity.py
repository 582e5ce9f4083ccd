"""The INT8 file of a convolutional network in every way there is: torch, ONNX Runtime, emulated ARM cores.

    tools/arm-emulation/setup
    python benchmarks/int8_networks.py DATA TEACHER        # the float networks, once
    python benchmarks/int8_parity.py DATA

On all 10,000 test images of CIFAR-10 (JPEG) the classes and outputs of the fake-quantized network in torch against ONNX
Runtime with optimizations off and in integer kernels; on 64 of them every 8-bit activation, on each core as well.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import torch
from int8_networks import CACHE, NETWORKS, cifar10, network_folder
from recording import at_least, at_most, write

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import emulator_folder, find_emulator
from edgekd.networks.layout import GRAPH
from edgekd.networks.session import answers, open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.coverage import integer_coverage
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.stages.parity import LARGEST_LSB, LEAST_TOP1, MOST_DIFFERING, climb
from edgekd.tasks.task import Task
from edgekd.train.evaluate import logits_of

SEED: Final = 0
CALIBRATION: Final = 512
INSIDE: Final = 64


def main() -> None:
    """Compare and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with train/ and test/, one folder for each class in them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = cifar10(arguments.data, arguments.cache)
    found = {name: _network(name, task, arguments.cache) for name in NETWORKS}
    promises = []
    for name, known in found.items():
        for way in ("integer kernels", "optimizations off"):
            what = f"{name}: same class, torch and ONNX Runtime's {way}, of 10,000 images"
            promises.append(at_least(what, LEAST_TOP1, known[way]["top1"]))
            promises.append(at_most(f"{name}: largest difference, {way}, 8-bit steps", LARGEST_LSB, known[way]["lsb"]))
        for rung in known["ladder"]["rungs"]:
            if rung["must_agree"]:
                what = f"{name}: other integers inside, {rung['name']}, {rung['samples']} images"
                promises.append(at_most(what, MOST_DIFFERING, rung["differing"]))
        promises.append(at_least(f"{name}: integer coverage", 1.0, known["coverage"]["share"]))
    holds = write("int8_parity", {"seed": SEED, "networks": found}, promises)
    sys.exit(not holds)


def _network(name: str, task: Task, cache: Path) -> dict[str, Any]:
    """Return how the ways to compute one network agree."""
    graph = onnx.load(network_folder(cache, name, SEED) / GRAPH)
    places = place(graph.graph, PLACEMENTS["onnxruntime-arm64"])
    simulation = SimulatedGraph(graph, places)
    simulation.quantize(calibrated(simulation, torch.from_numpy(task.read(task.train, slice(0, CALIBRATION))[0])))
    expected = logits_of(simulation, task, task.test).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        onnx.save(write_qdq(graph, places, simulation.encodings()), path)
        known: dict[str, Any] = {}
        for way, arithmetic in (("integer kernels", "arm64-kernels"), ("optimizations off", "reference")):
            logits = answers(open_session(path, arithmetic=arithmetic), task.batches(task.test))  # type: ignore[arg-type]
            gaps = np.abs(logits - expected) / (np.ptp(expected) / 255)
            known[way] = {
                "samples": len(logits),
                "top1": float((logits.argmax(1) == expected.argmax(1)).mean()),
                "lsb": float(gaps.max()),
                "outputs_off_by_half_a_step": float((gaps >= 0.5).mean()),  # noqa: PLR2004
            }
            print(name, way, known[way], flush=True)
        images = task.read(task.test, slice(0, INSIDE))
        emulator = find_emulator(emulator_folder(os.environ))
        ladder = climb(path, images, emulator=emulator, cores=tuple(CORES.values()))
        coverage = integer_coverage(path, (images[0][:1],))
    return known | {"ladder": msgspec.to_builtins(ladder), "coverage": msgspec.to_builtins(coverage)}


if __name__ == "__main__":
    main()
