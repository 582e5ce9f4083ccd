"""In which precision a file would run."""

from collections.abc import Sequence
from typing import get_args

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.predict.layers import Layer, Precision


def precision_of(layers: Sequence[Layer]) -> Precision:
    """Return the precision that most multiply-accumulates of *layers* have in the file."""
    macs: dict[Precision, int] = {}
    for layer in layers:
        macs[layer.precision] = macs.get(layer.precision, 0) + layer.macs
    return max(macs, key=lambda one: macs[one]) if macs else "fp32"


def asked_precision(asked: str, layers: Sequence[Layer], *, where: str) -> Precision:
    """Return the precision to estimate for; ``auto`` is the file's.

    A float file may be estimated in any precision: what its quantized or halved form would take. Raises ConfigError for
    a word that is none, and for a file of integers that is asked in float.
    """
    names: tuple[Precision, ...] = get_args(Precision)
    held = precision_of(layers)
    if asked == "auto":
        return held
    found = next((name for name in names if name == asked), None)
    if found is None:
        message = f"--precision: {asked!r} given; {suggestion(asked, ('auto', *names))}"
        raise ConfigError(message)
    if held == "int8" and found != "int8":
        message = f"--precision {asked}: {where} computes in int8; give its {asked} file, or leave --precision out."
        raise ConfigError(message)
    return found
