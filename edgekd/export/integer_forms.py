"""The form of a float network for which runtimes have integer kernels: equal numbers, other operators."""

import onnx

from edgekd.export.norms import with_convolved_norms
from edgekd.export.own_weights import with_own_weights
from edgekd.export.parts import with_slices
from edgekd.export.subpixel import with_subpixel_convolutions
from edgekd.export.wide_biases import with_wide_biases


def with_integer_forms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return *model*, canonical, as it is quantized; float files ship without these changes."""
    return with_own_weights(with_wide_biases(with_slices(with_convolved_norms(with_subpixel_convolutions(model)))))
