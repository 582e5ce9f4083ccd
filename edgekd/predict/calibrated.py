"""An estimate from a device's own table: which kernels the runtime makes of the file, and what such kernels took."""

import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnxruntime as ort
from onnx import ModelProto

from edgekd.bench.criticism import BUSY_PART
from edgekd.bench.here import Here
from edgekd.bench.runner import cpu_name
from edgekd.core.errors import ConfigError, StageError
from edgekd.core.strict import suggestion
from edgekd.export.canonical import canonicalize
from edgekd.export.float16 import QUANTIZED
from edgekd.export.shapes import fix_batch
from edgekd.networks.blackbox import read_onnx
from edgekd.predict.estimate import COVERAGE, FORMAT, LayerEstimate
from edgekd.predict.gaussian import Rows
from edgekd.predict.kernel_amounts import in_network
from edgekd.predict.kernel_costs import KernelCosts
from edgekd.predict.nominal import nominal_int8
from edgekd.predict.operators import INTEGER
from edgekd.predict.table import Table, TablePrecision
from edgekd.predict.tracing import kernel_layers
from edgekd.targets import PlacementName

ENOUGH_LIKE: Final = 40
"""Networks left out that have at least half as many kernels; from so many on only they make the interval."""
LARGE: Final = 20
"""Kernels from which on a network counts as large: beyond, the suite has too few to tell apart."""
_AUTO: Final = "auto"


class CalibratedEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """A latency that was computed from kernels timed on the device; the network itself was not measured.

    *estimated_ms* lies in [*least_ms*, *most_ms*] with *probability*: so it was with *left_out* random networks that
    their own kernels did not help to foretell. *estimated_layers* are the runtime's kernels after its optimizations.
    """

    estimate_format: int
    estimated_network: str
    estimated_for: str
    estimated_precision: TablePrecision
    estimated_threads: int
    estimated_ms: float
    probability: float
    least_ms: float
    most_ms: float
    calibrated_on: str
    calibrated_at: str
    calibrated_where: str
    calibrated_with: str
    calibrated_networks: int
    calibrated_kernels: int
    left_out: int
    caveats: tuple[str, ...]
    estimated_layers: tuple[LayerEstimate, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is estimated: the file, the *precision* that the device would run, the *threads* (None: the table's)."""

    path: Path
    precision: str = _AUTO
    threads: int | None = None
    placement: PlacementName = "onnxruntime-x86"


def calibrated_estimate(asked: Asked, table: Table, costs: KernelCosts, *, where: str) -> CalibratedEstimate:
    """Return the estimate by *table*, which was read from *where*, and its *costs*.

    Raises ConfigError where the table is for other threads or precisions, where this host or its ONNX Runtime is not
    what the table needs, and for a kernel that the table knows nothing of.
    """
    _refuse_foreign(table, asked, where)
    model, precision = _as_it_would_run(asked, table, where)
    layers = kernel_layers(model, where=str(asked.path), machine=table.fingerprint["machine"])
    times, replaced = costs.at(in_network(layers))
    total_ms = table.overheads[precision].total_us(times) / 1e3
    errors = _errors_like(table, precision, len(layers))
    low, high = np.quantile(errors, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    share = total_ms / float(times.sum())
    return CalibratedEstimate(
        estimate_format=FORMAT,
        estimated_network=asked.path.name,
        estimated_for=table.target,
        estimated_precision=precision,
        estimated_threads=table.threads,
        estimated_ms=total_ms,
        probability=COVERAGE,
        least_ms=total_ms * math.exp(-max(0.0, float(high))),
        most_ms=total_ms * math.exp(-min(0.0, float(low))),
        calibrated_on=table.fingerprint["cpu"],
        calibrated_at=table.date,
        calibrated_where=table.where,
        calibrated_with=table.runtime,
        calibrated_networks=len(table.networks),
        calibrated_kernels=sum(len(network.kernels) for network in table.networks),
        left_out=len(errors),
        caveats=tuple(_caveats(table, replaced)),
        estimated_layers=tuple(
            LayerEstimate(
                layer=layer.name,
                operator=layer.operator,
                kind=layer.kind,
                layer_macs=layer.macs,
                estimated_ms=float(time) * share,
            )
            for layer, time in zip(layers, times, strict=True)
        ),
    )


def _refuse_foreign(table: Table, asked: Asked, where: str) -> None:
    """Raise ConfigError where *table* does not fit what is asked, or this machine's runtime."""
    advice = "calibrate again, or estimate from published points with --table none"
    if asked.threads is not None and asked.threads != table.threads:
        message = f"{where}: calibrated with {table.threads} thread(s), asked are {asked.threads}; {advice}."
        raise ConfigError(message)
    here = {"runtime": f"onnxruntime {ort.__version__}"}
    if table.where == Here().where:
        name = cpu_name()  # type: ignore[no-untyped-call]  # it runs on Python 3.6
        here |= {"cpu": name, "machine": platform.machine()}
    for key, value in here.items():
        if table.fingerprint.get(key) != value:
            message = f"{where}: its {key} is {table.fingerprint.get(key)!r}, here it is {value!r}; {advice}."
            raise ConfigError(message)


def _as_it_would_run(asked: Asked, table: Table, where: str) -> tuple[ModelProto, TablePrecision]:
    """Return the model in the precision that is asked, for a batch of one, and that precision."""
    choices = (_AUTO, *table.precisions)
    if asked.precision not in choices:
        hint = suggestion(asked.precision, choices)
        message = f"--precision: {asked.precision!r} given, but {where} was calibrated otherwise; {hint}"
        raise ConfigError(message)
    model = read_onnx(asked.path)
    try:
        model = fix_batch(model)
    except (ConfigError, StageError) as error:
        message = f"{asked.path}: {error}"
        raise ConfigError(message) from error
    _expect_fixed_sizes(model, asked.path)
    is_integer = any(node.op_type in QUANTIZED or node.op_type in INTEGER for node in model.graph.node)
    held: TablePrecision = "int8" if is_integer else "fp32"
    wanted = held if asked.precision == _AUTO else asked.precision
    if wanted not in table.precisions or (held == "int8" and wanted == "fp32"):
        message = (
            f"{asked.path}: is a file of {held}, asked is {wanted}, and {where} was calibrated with "
            f"{' and '.join(table.precisions)}; give another file, or calibrate again with --precision."
        )
        raise ConfigError(message)
    if wanted == "int8" and held == "fp32":
        return nominal_int8(canonicalize(model), asked.placement), "int8"
    return model, held


def _expect_fixed_sizes(model: ModelProto, path: Path) -> None:
    """Raise ConfigError where an input has an open size beside the batch: an estimate is of one size."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in constants and any(dim.dim_value < 1 for dim in value.type.tensor_type.shape.dim):
            message = f"{path}: input '{value.name}' has open sizes beside the batch; export it with fixed ones."
            raise ConfigError(message)


def _errors_like(table: Table, precision: TablePrecision, kernels: int) -> Rows:
    """Return the errors of networks left out: of those with half as many kernels and more, where they are enough."""
    sizes = {(one.seed, one.precision): len(one.kernels) for one in table.networks}
    like = [one for one in table.left_out if one.precision == precision]
    as_large = [one for one in like if sizes[one.seed, one.precision] >= min(kernels / 2, LARGE)]
    chosen = as_large if len(as_large) >= ENOUGH_LIKE else like
    found: Rows = np.array([math.log(one.predicted_us / one.measured_us) for one in chosen])
    return found


def _caveats(table: Table, replaced: Sequence[str]) -> list[str]:
    """Return what speaks against the estimate."""
    told = [f"too few kernels like {name} were timed: all of its kind stand for it" for name in replaced]
    if table.not_target is not None:
        told.append(f"the machine of the table is not shown to be {table.target}: {table.not_target}")
    if table.others_busy > BUSY_PART:
        told.append(f"while it was calibrated, other processes used {table.others_busy:.0%} of a core")
    return told
