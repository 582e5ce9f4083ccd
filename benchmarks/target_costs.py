"""The ``[cost]`` of every target, derived from published latencies: what a layer costs, roughly.

    python benchmarks/target_costs.py POINTS.csv LAYERS.csv MODELS.csv

POINTS.csv holds published latencies (device_key, threads, runtime, precision, model_raw, latency_ms, source ...),
LAYERS.csv the layers of ncnn's benchmark networks, MODELS.csv the MACs of whole networks.

A CPU target's three numbers are the non-negative least squares of relative errors over ncnn's rows of its device:
MACs by kind of layer, numbers written, layers. Its ``gmacs_per_s`` is that of 1x1 convolutions, the kind that
factorizing splits. For a GPU too few networks are published for a fit: the rate is that of one whole network, and
what an activation and a layer cost follows from the memory and from an assumption, which the target's file says.
"""

import csv
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
import scipy.optimize
from recording import at_most, write

from edgekd.targets import load_target, target_names

Row = Mapping[str, str]
Layers = Mapping[str, Sequence[Row]]
KINDS: Final = ("3x3", "1x1", "other convolution", "depthwise", "linear")
DIGITS: Final = 3


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of ncnn's table that a CPU target's cost is fitted on."""

    device_key: str
    threads: int
    precision: str


class Rated(msgspec.Struct, frozen=True, kw_only=True):
    """The row that a GPU target's rate is taken from, by a part of its *source*, and whose count of MACs."""

    device_key: str
    precision: str
    source: str
    model: str = "resnet50"
    macs: str = "pytorch-image-models"


CPU: Final[Mapping[str, Fitted]] = MappingProxyType(
    {
        "android-a53": Fitted(device_key="snapdragon_410", threads=4, precision="fp32"),
        "android-a75": Fitted(device_key="snapdragon_835", threads=4, precision="fp32"),
        "android-a76": Fitted(device_key="snapdragon_855plus", threads=4, precision="fp16"),
        "android-armv9": Fitted(device_key="snapdragon_8gen2", threads=4, precision="fp16"),
        "raspberry-pi-3": Fitted(device_key="rpi3b_plus", threads=4, precision="fp32"),
        "raspberry-pi-4": Fitted(device_key="rpi4b", threads=4, precision="fp32"),
        "raspberry-pi-5": Fitted(device_key="rpi5", threads=4, precision="fp16"),
        "raspberry-pi-zero-2-w": Fitted(device_key="rpi_zero2w", threads=4, precision="fp32"),
        "rk3588": Fitted(device_key="orangepi5plus_rk3588", threads=4, precision="fp16"),
        "x86-64": Fitted(device_key="amd_ryzen_5700g_zen3_3_8_ghz_4_6_ghz_x_8", threads=1, precision="fp32"),
    }
)

_MLPERF: Final = "inference_results_v{}/NVIDIA/results/{}/"
GPU: Final[Mapping[str, Rated]] = MappingProxyType(
    {
        "jetson-nano": Rated(device_key="jetson_nano", precision="fp16", source="benchmarks/JETSON_NANO.md"),
        "jetson-tx2": Rated(device_key="jetson_tx2", precision="fp16", source="tf_to_trt_image_classification"),
        "jetson-xavier-nx": Rated(
            device_key="jetson_xavier_nx", precision="int8", source=_MLPERF.format("1.1 closed", "Xavier_NX_TRT")
        ),
        "jetson-agx-xavier": Rated(
            device_key="jetson_agx_xavier", precision="int8", source=_MLPERF.format("1.1 closed", "AGX_Xavier_TRT")
        ),
        "jetson-orin-nano": Rated(
            device_key="jetson_orin_nano_super",
            precision="int8",
            source="docs/en/guides/nvidia-jetson.md",
            model="yolo11n",
            macs="docs/en/models/yolo11.md",
        ),
        "jetson-orin-nx": Rated(
            device_key="jetson_orin_nx", precision="int8", source=_MLPERF.format("3.0 closed", "Orin_NX_TRT")
        ),
        "jetson-agx-orin": Rated(
            device_key="jetson_agx_orin", precision="int8", source=_MLPERF.format("3.0 closed", "Orin_TRT")
        ),
    }
)
_BYTES: Final[Mapping[str, int]] = MappingProxyType({"fp16": 2, "int8": 1})


def main() -> None:
    """Derive all costs, write them, and exit with 1 where a target's file says another number."""
    points, layer_rows, models = (_rows(Path(name)) for name in sys.argv[1:4])
    layers = _by_model(layer_rows)
    costs = {name: _fitted(points, layers, asked) for name, asked in CPU.items()}
    costs |= {name: _rated(points, models, name, asked) for name, asked in GPU.items()}
    other = [name for name in target_names() if _differs(name, costs[name])]
    for name in other:
        print(f"targets/{name}.toml differs: {costs[name]['cost']}")
    promise = at_most("targets whose file says another cost than this fit", 0, len(other))
    sys.exit(not write("target_costs", {"costs": dict(sorted(costs.items()))}, [promise]))


def _fitted(points: Iterable[Row], layers: Layers, asked: Fitted) -> dict[str, object]:
    """Return the three numbers of a CPU, the fit's own error, and that of each network when it is left out."""
    rows = [row for row in points if _is_asked(row, asked) and row["model_raw"] in layers]
    features = np.array([_features(layers[row["model_raw"]]) for row in rows])
    latency_ns = np.array([float(row["latency_ms"]) * 1e6 for row in rows])
    networks = np.array([row["model_raw"] for row in rows])
    found = _least_squares(features, latency_ns)
    kinds = dict(zip(KINDS, found, strict=False))
    left_out = [
        abs(float(features[index] @ _least_squares(*_without(features, latency_ns, networks, index))) / latency - 1)
        for index, latency in enumerate(latency_ns)
    ]
    return {
        "cost": _cost(1 / kinds["1x1"], found[-2], found[-1] / 1e3),
        "rows": [{key: row[key] for key in ("device", "model_raw", "latency_ms", "source")} for row in rows],
        "us_per_million_macs": {kind: _rounded(ns * 1e3) for kind, ns in kinds.items()},
        "median_error": _rounded(float(np.median(np.abs(features @ found / latency_ns - 1)))),
        "median_error_of_left_out_networks": _rounded(statistics.median(left_out)),
    }


def _rated(points: Iterable[Row], models: Iterable[Row], name: str, asked: Rated) -> dict[str, object]:
    """Return the rate of one network on a GPU, an activation's price by the memory, and the assumed overhead."""
    row = next(
        row
        for row in points
        if (row["device_key"], row["precision"], row["model"]) == (asked.device_key, asked.precision, asked.model)
        and (row["cpu_or_gpu"], row["batch"], row["metric"]) == ("gpu", "1", "mean")
        and row["runtime"].startswith("tensorrt")
        and asked.source in row["source"]
    )
    network = next(
        model
        for model in models
        if (model["model"], model["input_size"]) == (asked.model, row["input_size"]) and asked.macs in model["source"]
    )
    target = load_target(name)
    written_and_read_ns = 2 * _BYTES[asked.precision] / target.device.memory_bandwidth_gb_per_s
    rate = float(network["macs_M"]) / float(row["latency_ms"])
    return {
        "cost": _cost(rate, written_and_read_ns, target.cost.layer_overhead_us),
        "rows": [{key: row[key] for key in ("device", "model", "input_size", "latency_ms", "source")}],
        "macs_M": network["macs_M"],
        "macs_source": network["source"],
    }


def _is_asked(row: Row, asked: Fitted) -> bool:
    """Tell whether *row* is a plain CPU run of ncnn; rows of Vulkan runs repeat others."""
    return (
        (row["runtime"], row["cpu_or_gpu"], row["metric"]) == ("ncnn", "cpu", "mean")
        and (row["device_key"], row["threads"], row["precision"])
        == (asked.device_key, str(asked.threads), asked.precision)
        and "Vulkan" not in row["note"]
    )


def _features(network: Iterable[Row]) -> list[float]:
    """Return MACs of each kind, numbers written, and layers."""
    macs = dict.fromkeys(KINDS, 0.0)
    written = layers = 0.0
    for layer in network:
        macs[_kind(layer)] += float(layer["macs"] or 0)
        written += float(layer["out_channels"] or 0) * float(layer["out_h"] or 1) * float(layer["out_w"] or 1)
        layers += 1
    return [*macs.values(), written, layers]


def _kind(layer: Row) -> str:
    """Return which of ``KINDS`` a layer is."""
    kernel = (layer["kernel_h"], layer["kernel_w"])
    if layer["op"] == "depthwise_conv":
        return "depthwise"
    if "conv" not in layer["op"]:
        return "linear"
    if kernel == ("3", "3") and layer["stride"] == "1" and layer["op"] == "conv":
        return "3x3"
    return "1x1" if kernel == ("1", "1") else "other convolution"


def _least_squares(features: np.ndarray, latency_ns: np.ndarray) -> np.ndarray:
    """Return the non-negative prices whose relative errors have the least squares."""
    relative = features / latency_ns[:, None]
    scale = np.maximum(relative.max(axis=0), np.finfo(float).tiny)
    prices, _ = scipy.optimize.nnls(relative / scale, np.ones(len(latency_ns)))
    return np.asarray(prices / scale)


def _without(
    features: np.ndarray, latency_ns: np.ndarray, networks: np.ndarray, index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of all other networks than that of row *index*."""
    others = networks != networks[index]
    return features[others], latency_ns[others]


def _cost(gmacs_per_s: float, ns_per_activation: float, layer_overhead_us: float) -> dict[str, float]:
    """Return a ``[cost]`` table."""
    return {
        "gmacs_per_s": _rounded(gmacs_per_s),
        "ns_per_activation": _rounded(ns_per_activation),
        "layer_overhead_us": _rounded(layer_overhead_us),
    }


def _differs(name: str, found: Mapping[str, object]) -> bool:
    """Tell whether the target's file says other numbers than the fit."""
    return bool(msgspec.to_builtins(load_target(name).cost) != found["cost"])


def _rounded(value: float) -> float:
    """Return *value* to three digits: more would claim what a median error of 10 % does not know."""
    return float(f"{value:.{DIGITS}g}")


def _by_model(rows: Iterable[Row]) -> Layers:
    """Return the layers of each network."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["model"], []).append(row)
    return found


def _rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
