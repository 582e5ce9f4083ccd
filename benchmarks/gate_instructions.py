"""How well instruction counts repeat, and how long a gate by them takes.

    tools/arm-emulation/setup
    python benchmarks/gate_instructions.py

DS-CNN for 28x28 digits, FP32, one inference on an emulated Cortex-A76, counted in twenty processes.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import onnx
from built_in import exported
from recording import at_most, write

from edgekd.bench.emulator import emulator_folder, find_emulator
from edgekd.bench.gate_instructions import count_and_judge, instructions
from edgekd.export.legalize import legalize
from edgekd.export.shapes import fix_batch

RUNS: Final = 20
CORE: Final = "cortex-a76"


def main() -> None:
    """Count and judge."""
    emulator = find_emulator(emulator_folder(os.environ))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "dscnn.onnx"
        onnx.save(legalize(fix_batch(exported("dscnn")), opset=13, ir_version=8), path)
        counts = [instructions(emulator, path, CORE) for _ in range(RUNS)]
        verdict = count_and_judge(path, path, CORE, 0.005, environment=os.environ)
    promises = [
        at_most("spread of counts over twenty processes, relative", 0.001, (max(counts) - min(counts)) / min(counts)),
        at_most("seconds of a gate on DS-CNN", 15, verdict.seconds),
    ]
    content = {"core": CORE, "counts": counts, "seconds": verdict.seconds, "answer": verdict.answer}
    sys.exit(not write("gate_instructions", content, promises))


if __name__ == "__main__":
    main()
