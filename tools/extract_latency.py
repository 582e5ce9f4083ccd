"""Write the published latencies that edgekd estimates with, from tables of facts.

    python tools/extract_latency.py LATENCY_POINTS.csv NCNN_LAYERS.csv

LATENCY_POINTS.csv holds published measurements, NCNN_LAYERS.csv the layers of the networks in ncnn's benchmark. Kept
are rows of ncnn on a CPU whose network has a layer table. Left out by rules that look at no estimate: rows that are no
mean of a latency (``inverse_...``, ``derived_...``), those that a Vulkan run repeats, and those without thread count or
precision. A group is one table of one source: device, cores, threads, version; a network that comes again starts
another. A row whose mean is 1.3 times its own minimum or more is marked as noisy. What other CPU runtimes take for the
same network on the same device, threads and precision goes to ``runtimes.csv``, the newest of each.
"""

import csv
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

Row = Mapping[str, str]
TARGET: Final = Path(__file__).resolve().parent.parent / "edgekd" / "data" / "latency"
NOISY: Final = 1.3
LEAST: Final = {"fp32": 10, "fp16": 10, "int8": 4}
OTHER_RUNTIMES: Final = ("tflite", "tflite-ruy", "xnnpack", "armnn-neon", "tnn", "mnn", "paddle-lite", "onnxruntime")
CORE: Final = re.compile(r"(?:(Cortex.?A\d+(?:AE)?|Cortex.?X\d)|\b(A\d\d)\b|(FTC\d+|Carmel|Denver2))", re.IGNORECASE)
CLOCK: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(GHz|MHz)", re.IGNORECASE)
UNNAMED: Final = {
    "NVIDIA Jetson Nano": ("Cortex-A57", 1.43),
    "NVIDIA Jetson Orin Nano": ("Cortex-A78AE", 1.5),
    "Raspberry Pi 5 Broadcom BCM2712 Overclock": ("Cortex-A76", 2.9),
}
"""Cores and clocks of boards whose published name does not say them: NVIDIA's and Raspberry Pi's data sheets."""


def main() -> None:
    """Read both tables and write ``groups.csv``, ``points.csv``, ``runtimes.csv`` and ``layers.csv``."""
    points, layers = (list(_rows(Path(name))) for name in sys.argv[1:3])
    networks = {row["model"] for row in layers if row["op"] != "op"}
    groups: list[list[Row]] = []
    open_groups: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted((row for row in points if _is_kept(row, networks)), key=_place):
        key = tuple(row[name] for name in ("device", "threads", "compute_unit", "runtime_version", "date", "precision"))
        group = open_groups.get(key)
        if group is None or any(row["model_raw"] == one["model_raw"] for one in group):
            group = open_groups[key] = []
            groups.append(group)
        group.append(row)
    kept = [group for group in groups if len(group) >= LEAST[group[0]["precision"]]]
    _write("groups.csv", [_group(number, rows) for number, rows in enumerate(kept)])
    _write("points.csv", [_point(number, row) for number, rows in enumerate(kept) for row in rows])
    _write("runtimes.csv", _runtimes(points))
    _write("layers.csv", [{"network": row["model"], **_sizes(row)} for row in layers if row["op"] != "op"])


def _runtimes(points: list[Row]) -> list[dict[str, object]]:
    """Return latencies of other CPU runtimes beside ncnn's: same device, threads, precision, network and input."""
    cpu = [row for row in points if row["cpu_or_gpu"] == "cpu" and row["metric"] == "mean" and row["batch"] == "1"]
    cpu = [
        row for row in cpu if row["threads"] and "Vulkan run" not in row["note"] and "little" not in row["compute_unit"]
    ]
    ours = {_case(row): row for row in sorted(cpu, key=lambda row: row["date"]) if row["runtime"] == "ncnn"}
    others = {
        (row["runtime"], *_case(row)): row
        for row in sorted(cpu, key=lambda row: row["date"])
        if row["runtime"] in OTHER_RUNTIMES and _case(row) in ours
    }
    return [
        {
            "runtime": row["runtime"],
            "device": ours[_case(row)]["device"],
            "threads": row["threads"],
            "precision": row["precision"],
            "network": row["model"],
            "latency_ms": row["latency_ms"],
            "ncnn_ms": ours[_case(row)]["latency_ms"],
            "date": row["date"],
            "source": row["source"],
        }
        for row in others.values()
    ]


def _case(row: Row) -> tuple[str, ...]:
    """Return what two latencies must share to be compared."""
    return tuple(row[name] for name in ("device_key", "threads", "precision", "model", "input_size"))


def _rows(path: Path) -> Iterator[Row]:
    """Give the rows of a table."""
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _is_kept(row: Row, networks: set[str]) -> bool:
    """Tell whether a row is a latency of ncnn on a CPU that its network's layers can explain."""
    is_latency = row["metric"] == "mean" and "Vulkan run" not in row["note"]
    is_known = row["model_raw"] in networks and row["precision"] in LEAST and row["threads"] != ""
    return row["runtime"] == "ncnn" and row["cpu_or_gpu"] == "cpu" and is_latency and is_known


def _place(row: Row) -> tuple[str, int]:
    """Return where a row stands: its file and line."""
    found = re.search(r":(\d+)", row["source"])
    return row["source"].partition(":")[0], int(found[1]) if found else 0


def _group(number: int, rows: list[Row]) -> dict[str, object]:
    """Return what the rows of a group have in common."""
    first = rows[0]
    core, clock = _core(first["device"], is_little="little" in first["compute_unit"])
    return {
        "group": number,
        "device": first["device"],
        "cores": first["compute_unit"].removeprefix("CPU ").removesuffix(" cores") or "all",
        "core": core,
        "clock_ghz": clock,
        "threads": first["threads"],
        "precision": first["precision"],
        "runtime": f"ncnn {first['runtime_version']}",
        "date": first["date"],
        "source": first["source"].partition(":")[0],
    }


def _core(device: str, *, is_little: bool) -> tuple[str, str]:
    """Return the core that ran and its clock in GHz, empty where the name does not say."""
    for name, (core, ghz) in UNNAMED.items():
        if device.startswith(name):
            return core, str(ghz)
    found = list(CORE.finditer(device))
    if not found:
        return "", ""
    chosen = found[-1 if is_little else 0]
    name = (chosen[1] or chosen[2] or chosen[3]).replace("\u2011", "-").replace(" ", "-")
    clock = CLOCK.search(device, chosen.end())
    said = "" if clock is None else f"{float(clock[1]) / (1000 if clock[2].lower() == 'mhz' else 1):g}"
    return (f"Cortex-{name}" if chosen[2] else name), said


def _point(number: int, row: Row) -> dict[str, object]:
    """Return one latency with the line of its source."""
    least = float(row["latency_min_ms"] or row["latency_ms"])
    return {
        "group": number,
        "network": row["model_raw"],
        "latency_ms": row["latency_ms"],
        "noisy": int(least > 0 and float(row["latency_ms"]) >= NOISY * least),
        "line": _place(row)[1],
    }


def _sizes(row: Row) -> Row:
    """Return a layer without its network and number."""
    return {name: value for name, value in row.items() if name not in {"model", "index"}}


def _write(name: str, rows: list[dict[str, object]]) -> None:
    """Write *rows* as a table."""
    with (TARGET / name).open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
