"""The prices of a layer on a target: those of `edgekd predict` where it has ground, else the rough ones of its file."""

import math
from importlib import import_module
from typing import TYPE_CHECKING, Final

import msgspec

from edgekd.stages.settings import LayerPrices
from edgekd.targets import Cost, PrecisionName, Target

if TYPE_CHECKING:
    from edgekd.predict.ground import Found

_DIGITS: Final = 4
"""More would only make keys in the store depend on how a processor rounds its exponential."""
_NEARNESS: Final = {"board": "this board", "core": "the same core elsewhere", "family": "cores of its family"}


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Prices, and *basis*: a clause that says what they rest on."""

    prices_ns: LayerPrices
    basis: str


def layer_prices(target: Target, precision: PrecisionName) -> Priced:
    """Return what a layer costs on *target*, on the cores and with the threads of its benchmark.

    The prices are those of *precision*, or of FP32 where only that has ground. Without any they are those of the
    target's ``[cost]``.
    """
    ground_of = import_module("edgekd.predict.target_ground").ground_of  # it loads numpy and reads all points
    threads, reasons = target.benchmark.threads, []
    for asked in dict.fromkeys((precision, "fp32")):
        found: Found | str = ground_of(target, asked, threads, target.benchmark.cluster)
        if isinstance(found, str):
            reasons.append(found)
            continue
        since = f", since {reasons[0]}" if reasons else ""
        basis = (
            f"the prices of `edgekd predict` in {asked} with {threads} thread(s), from published points of "
            f"{_NEARNESS[found.nearness]}{since}"
        )
        return Priced(prices_ns=_published(found), basis=basis)
    why = ", and ".join(dict.fromkeys(reasons))
    return Priced(prices_ns=_rough(target.cost), basis=f"the rough prices of the target's [cost], since {why}")


def _published(found: "Found") -> LayerPrices:
    """Return the prices that a layer's terms have in *found*, whose logs are of milliseconds."""
    terms = import_module("edgekd.predict.terms").TERMS
    by_name = {term.name: float(log_ms) for term, log_ms in zip(terms, found.prices, strict=True)}
    return LayerPrices(**{name: _rounded(math.exp(by_name[name]) * 1e6) for name in LayerPrices.__struct_fields__})


def _rough(cost: Cost) -> LayerPrices:
    """Return *cost* in the same terms: one rate for all products; a number is written once and read once."""
    product = 1 / cost.gmacs_per_s
    return LayerPrices(
        pointwise_products=_rounded(product),
        ragged_products=0.0,
        vector_products=_rounded(product),
        numbers=_rounded(cost.ns_per_activation / 2),
        layers=_rounded(cost.layer_overhead_us * 1e3),
    )


def _rounded(value: float) -> float:
    """Return *value* to as many digits as mean something."""
    return float(f"{value:.{_DIGITS}g}")
