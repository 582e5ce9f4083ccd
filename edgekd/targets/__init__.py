"""Devices as data: facts with sources, read from one TOML each, and what follows from them."""

from edgekd.targets.capability import (
    AskedPrecision,
    build_command,
    exported_precisions,
    refusal,
    shipped_precision,
    time_command,
    why_refused,
)
from edgekd.targets.facts import (
    Benchmark,
    Budgets,
    Channels,
    Cost,
    Device,
    Gpu,
    PlacementName,
    Precision,
    PrecisionName,
    Quantization,
    Runtime,
    Source,
    Target,
    Verdict,
)
from edgekd.targets.loading import load_target, target_file, target_names
from edgekd.targets.starting import new_target, target_schema

__all__ = [
    "AskedPrecision",
    "Benchmark",
    "Budgets",
    "Channels",
    "Cost",
    "Device",
    "Gpu",
    "PlacementName",
    "Precision",
    "PrecisionName",
    "Quantization",
    "Runtime",
    "Source",
    "Target",
    "Verdict",
    "build_command",
    "exported_precisions",
    "load_target",
    "new_target",
    "refusal",
    "shipped_precision",
    "target_file",
    "target_names",
    "target_schema",
    "time_command",
    "why_refused",
]
