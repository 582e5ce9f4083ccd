"""A network in INT8 without samples: the file that quantization writes, but for its scales.

How long an integer kernel takes does not depend on its scales; what it answers does. Such a file is timed or looked at,
never shipped.
"""

from typing import Final

import numpy as np
from onnx import ModelProto, numpy_helper

from edgekd.export import shapes
from edgekd.export.integer_forms import with_integer_forms
from edgekd.quantize.fake import HIGH, LOW, WEIGHT_LIMIT, Encodings, Grid
from edgekd.quantize.placement import PLACEMENTS, Places, place
from edgekd.quantize.qdq import write_qdq
from edgekd.targets import PlacementName

_GRID: Final = Grid(scale=2.0**-4, zero_point=0)
_RECTIFIED: Final = Grid(scale=6.0 / (HIGH - LOW), zero_point=LOW)
"""Nothing below 0 and nothing above 6: with such a grid kernels take in ReLU and ReLU6, as with one of real samples."""


def nominal_int8(model: ModelProto, placement: PlacementName) -> ModelProto:
    """Return the float graph *model*, whose nodes all have names, with Q/DQ where *placement* puts them."""
    whole = with_integer_forms(shapes.infer(model))
    table = PLACEMENTS[placement]
    places = place(whole.graph, table)
    rectified = {node.output[0] for node in whole.graph.node if node.op_type in table.folded}
    return write_qdq(whole, places, _nominal(whole, places, rectified))


def _nominal(model: ModelProto, places: Places, rectified: set[str]) -> Encodings:
    """Return a grid for each activation, one for all and one for the *rectified*, and scales that hold each weight."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scales = {}
    for weight in places.weights.values():
        array = arrays[weight.name]
        count = 1 if weight.axis is None else array.shape[weight.axis]
        scales[weight.name] = (float(np.abs(array).max()) / WEIGHT_LIMIT or 1.0,) * count
    grids = {value: _RECTIFIED if source in rectified else _GRID for value, source in places.scale_of.items()}
    return Encodings(activations=grids, weights=scales)
