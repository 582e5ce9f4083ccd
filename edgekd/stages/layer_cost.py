"""What layers cost at given prices: the amounts that `edgekd predict` counts in them, times what one of each takes."""

from collections.abc import Iterable

import msgspec

from edgekd.lowrank.forms import Form
from edgekd.predict.layers import Layer
from edgekd.predict.terms import amounts_by_name
from edgekd.stages.settings import LayerPrices


def microseconds(prices: LayerPrices, forms: Iterable[Form]) -> float:
    """Return the estimated time of layers of these *forms*.

    Good for comparing two forms of one layer. An estimate of a network is corrected by networks alike, which changes
    all of its layers by one factor and no comparison.
    """
    nanoseconds: dict[str, float] = msgspec.structs.asdict(prices)
    return sum(
        amount * nanoseconds[term] / 1e3 for form in forms for term, amount in amounts_by_name(_layer(form)).items()
    )


def _layer(form: Form) -> Layer:
    """Return *form* as the layer that it is in a file."""
    return Layer(
        name="",
        operator="Conv" if form.is_convolution else "MatMul",
        kind="pointwise" if form.is_convolution else "linear",
        in_channels=form.in_channels,
        out_channels=form.out_channels,
        stride=form.stride,
        in_size=form.in_size,
        out_size=form.out_size,
        macs=form.macs,
        weights=form.in_channels * form.out_channels,
        read=form.read,
        written=form.written,
    )
