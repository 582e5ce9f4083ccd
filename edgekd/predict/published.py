"""Published latencies of networks on CPUs, and the layers of those networks: the data that estimates rest on."""

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from edgekd.predict.layers import Kind, Layer, Precision, convolution_kind

FOLDER: Final = Path(__file__).parent.parent / "data" / "latency"
_INTEGER: Final = "_int8"
_PROJECTIONS: Final = 4
_PRODUCTS: Final = 2


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The mean latency that somebody published for a network. *is_noisy*: it is 1.3 times its own minimum or more."""

    network: str
    published_ms: float
    is_noisy: bool
    line: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one table: one device, its *cores* that ran, thread count, precision and version of the runtime.

    *core* and *clock_ghz* are what the device's published name says, empty and None where it says nothing.
    """

    device: str
    cores: str
    core: str
    clock_ghz: float | None
    threads: int
    precision: Precision
    runtime: str
    date: str
    source: str
    points: tuple[Point, ...]


@cache
def groups() -> tuple[Group, ...]:
    """Return all groups in the order of the table."""
    points: dict[str, list[Point]] = {}
    for row in _rows("points.csv"):
        points.setdefault(row["group"], []).append(
            Point(
                network=row["network"],
                published_ms=float(row["latency_ms"]),
                is_noisy=row["noisy"] == "1",
                line=int(row["line"]),
            )
        )
    return tuple(
        Group(
            device=row["device"],
            cores=row["cores"],
            core=row["core"],
            clock_ghz=float(row["clock_ghz"]) if row["clock_ghz"] else None,
            threads=int(row["threads"]),
            precision=msgspec.convert(row["precision"], Precision),
            runtime=row["runtime"],
            date=row["date"],
            source=row["source"],
            points=tuple(points[row["group"]]),
        )
        for row in _rows("groups.csv")
    )


@cache
def networks() -> Mapping[str, tuple[Layer, ...]]:
    """Return the layers of every published network by its name; a name that ends in ``_int8`` is the integer form."""
    found: dict[str, list[Layer]] = {}
    for row in _rows("layers.csv"):
        found.setdefault(row["network"], []).extend(_layers(row))
    for row in _rows("other_layers.csv"):
        found[row["network"]].extend([_other(row)] * int(row["count"]))
    return {name: tuple(layers) for name, layers in found.items()}


def family(network: str) -> str:
    """Return the name that the forms of one network share."""
    return network.removesuffix(_INTEGER)


def _rows(name: str) -> Iterator[Mapping[str, str]]:
    """Give the rows of a table."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _layers(row: Mapping[str, str]) -> Iterator[Layer]:
    """Give the layers of one row: attention is its projections and its products of activations."""
    size = {name: int(value) for name, value in row.items() if name not in {"network", "op"}}
    precision: Precision = "int8" if row["network"].endswith(_INTEGER) else "fp32"
    inner, outer = (size["in_h"], size["in_w"]), (size["out_h"], size["out_w"])
    read, written = size["in_channels"] * inner[0] * inner[1], size["out_channels"] * outer[0] * outer[1]
    whole = Layer(
        name=row["op"],
        operator=row["op"],
        kind=_kind(row["op"], size),
        in_channels=size["in_channels"],
        out_channels=size["out_channels"],
        kernel=(size["kernel_h"], size["kernel_w"]),
        stride=size["stride"],
        groups=size["groups"],
        in_size=inner,
        out_size=outer,
        macs=size["macs"],
        weights=size["weights"],
        read=2 * read if row["op"] == "elementwise" else read,
        written=written,
        precision=precision,
    )
    if row["op"] != "attention":
        yield whole
        return
    tokens, width = inner[0], size["in_channels"]
    projection = msgspec.structs.replace(whole, macs=tokens * width**2, weights=width**2)
    product = msgspec.structs.replace(
        whole, kind="product", out_channels=tokens, macs=tokens**2 * width, weights=0, written=tokens**2
    )
    yield from [projection] * _PROJECTIONS + [product] * _PRODUCTS


def _kind(operator: str, size: Mapping[str, int]) -> Kind:
    """Return the kind of a row."""
    if operator in _KINDS:
        return _KINDS[operator]
    kernel = (size["kernel_h"], size["kernel_w"])
    return convolution_kind(kernel=kernel, groups=size["groups"], in_channels=size["in_channels"])


def _other(row: Mapping[str, str]) -> Layer:
    """Return a layer of a kind that the table of layers leaves out."""
    return Layer(
        name=row["operator"],
        operator=row["operator"],
        kind=msgspec.convert(row["kind"], Kind),
        in_channels=0,
        out_channels=0,
        kernel=(int(row["kernel"]), int(row["kernel"])),
        read=int(row["read"]),
        written=int(row["written"]),
    )


_KINDS: Final[Mapping[str, Kind]] = {
    "attention": "linear",
    "deconv": "transposed",
    "depthwise_conv": "depthwise",
    "elementwise": "elementwise",
    "linear": "linear",
}
