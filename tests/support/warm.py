"""Loads what every compression loads, and exports once: processes forked after that need not do it again."""

from typing import Final

from torch import nn

import edgekd.report.compress  # noqa: F401 - for the processes forked from this one
from edgekd.export.exporter import export_onnx
from edgekd.tasks.digits import load_digits

EXPORTED: Final = export_onnx(
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 10)), load_digits()
)
