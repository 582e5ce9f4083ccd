"""The picture of a report: what each layer loses when it alone is quantized, and which layers stay in float."""

import io
from collections.abc import Collection, Sequence
from typing import Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgekd.quantize.sensitivity import Sensitivity

PICTURE: Final = "sensitivity.png"

MOST_ROWS: Final = 60
"""More layers than these are not readable; the ones with the least loss are left out, and counted."""

_FLOOR: Final = 1e-9
"""What a loss of nothing is drawn as, on the logarithmic scale."""

_DOTS_PER_INCH: Final = 110
_WIDTH_INCHES: Final = 8.0
_ROW_INCHES: Final = 0.2
_FRAME_INCHES: Final = 1.4
_INTEGER, _FLOAT = "#4878a8", "#d06030"


def sensitivity_picture(layers: Sequence[Sensitivity], in_float: Collection[str]) -> bytes:
    """Return a PNG with a bar for each of *layers*, in their order; those *in_float* have another colour.

    The same layers give the same bytes with the same matplotlib: neither a time nor a name of a program is in it.
    """
    ranked = sorted(layers, key=lambda layer: -layer.distance.divergence)
    shown = sorted(ranked[:MOST_ROWS], key=lambda layer: layer.position)
    figure = Figure(
        figsize=(_WIDTH_INCHES, _FRAME_INCHES + _ROW_INCHES * len(shown)), dpi=_DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots()
    colours = [_FLOAT if layer.layer in in_float else _INTEGER for layer in shown]
    losses = [max(_FLOOR, layer.distance.divergence) for layer in shown]
    axes.barh([layer.layer for layer in shown], losses, color=colours)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.tick_params(labelsize=7)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_xlabel("divergence from the float network with this layer alone in INT8 (nats)", fontsize=8)
    left_out = len(layers) - len(shown)
    kept = sum(layer.layer in in_float for layer in layers)
    more = f"; {left_out} with less are not shown" if left_out else ""
    axes.set_title(f"{len(layers)} layers, {kept} of them stay in float (orange){more}", fontsize=9)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
