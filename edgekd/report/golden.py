"""The golden samples of a bundle: a few inputs with the answers of its model, for whoever runs it elsewhere."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgekd.core.disk import write_atomically
from edgekd.networks.session import Arithmetic, every_answer, open_session
from edgekd.report.manifest import SHIPPED, Golden
from edgekd.targets import PrecisionName
from edgekd.tasks.task import Task

GOLDEN: Final = "golden.npz"
MOST: Final = 64
"""Samples at most: a thousand classes of photographs would weigh more than any network."""

_RELATIVE_TOLERANCE: Final[Mapping[PrecisionName, float]] = {"fp32": 1e-4, "fp16": 2e-2, "int8": 5e-2}
"""Part of the largest golden output by which a replay may differ."""


def write_golden(
    folder: Path,
    task: Task,
    classes: NDArray[np.int64],
    *,
    precision: PrecisionName,
    arithmetic: Arithmetic = "reference",
) -> Golden:
    """Write one test sample of each of the first classes that have one, with the outputs of ``model.onnx``.

    *classes* (n,) are those of the test samples. The outputs are computed in *arithmetic*, as they will be replayed.
    """
    chosen = np.unique(classes, return_index=True)[1][:MOST]
    inputs = task.read(task.test, chosen)
    session = open_session(folder / SHIPPED, arithmetic=arithmetic)
    outputs = every_answer(session, [inputs])
    names = [node.name for node in (*session.get_inputs(), *session.get_outputs())]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(zip(names, inputs + outputs, strict=True)))
    write_atomically(folder / GOLDEN, buffer.getvalue())
    largest = max(float(np.abs(output).max()) for output in outputs)
    tolerance = _RELATIVE_TOLERANCE[precision] * max(1.0, largest)
    return Golden(file=GOLDEN, samples=len(chosen), tolerance=tolerance, arithmetic=arithmetic)
