"""The report of post-training quantization as data and as Markdown."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Final

import msgspec

from edgekd import __version__
from edgekd.bench.host import Host
from edgekd.core.units import count, percent, size
from edgekd.quantize.adaround import Rounded
from edgekd.quantize.coverage import Coverage
from edgekd.quantize.mixed_precision import Choice
from edgekd.quantize.ptq import Trial
from edgekd.quantize.recipe import PostTraining
from edgekd.quantize.sensitivity import Sensitivity
from edgekd.report.picture import PICTURE
from edgekd.report.scoring import Score, score_table
from edgekd.stages.parity import Ladder

MODEL: Final = "model.int8.onnx"

_LIBRARIES: Final = ("torch", "onnx", "onnxruntime", "onnxscript", "onnx-ir", "numpy", "matplotlib")


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file: everything that ``report.json`` says.

    *validation* samples chose between methods and layers, *test* samples judged once. Sizes are those of the same
    graph in both precisions. *in_float* is None where no budget was given.
    """

    source: str
    source_sha256: str
    target: str
    task: str
    settings: PostTraining
    calibration_samples: int
    scored_by: str
    validation: Score
    test: Score
    float_bytes: int
    int8_bytes: int
    trials: tuple[Trial, ...]
    rounded: tuple[Rounded, ...]
    layers: tuple[Sensitivity, ...]
    in_float: Choice | None
    coverage: Coverage
    ladder: Ladder
    saturating_kernels: tuple[str, ...]
    host: Host
    versions: Mapping[str, str]

    @property
    def kept(self) -> frozenset[str]:
        """Return the layers that stay in float."""
        return frozenset() if self.in_float is None else self.in_float.kept


def versions() -> dict[str, str]:
    """Return the versions of all that has a say in the result."""
    return {"edgekd": __version__} | {name: version(name) for name in _LIBRARIES}


def markdown(report: Quantized, *, details: bool = True) -> str:
    """Return *report* for reading; without *details* only its outcome and what was tried."""
    parts = [*_outcome(report), *_trials(report)]
    if details:
        parts += [*_layers(report), *_choice(report), *_provenance(report)]
    return "\n".join(parts) + "\n"


def _outcome(report: Quantized) -> Iterator[str]:
    """Yield what came out."""
    yield f"# {report.source} as INT8 for {report.target}"
    yield ""
    ratio = report.int8_bytes / report.float_bytes
    yield f"`{MODEL}`: {size(report.int8_bytes)}, {ratio:.2f}x of {size(report.float_bytes)} in float."
    yield ""
    yield from score_table({"validation, which chose": report.validation, "test, which judged": report.test})
    yield ""
    yield f"Scored by {report.scored_by}, in ONNX Runtime's reference arithmetic (optimizations off)."
    if report.saturating_kernels:
        kernels = " and ".join(report.saturating_kernels)
        yield (
            f"**This host's {kernels} kernels saturate: what its default session answers for INT8 says nothing about "
            "the device and is used nowhere here.**"
        )
    yield (
        f"Integer coverage: {percent(report.coverage.share)} of {count(report.coverage.total_macs)} "
        "multiply-accumulates run in integer kernels."
    )
    for node in report.coverage.float_nodes:
        yield f"- in float: {node.name} ({node.operator}, {count(node.macs)}): {node.reason}"
    kept = [layer.layer for layer in report.layers if layer.layer in report.kept]
    yield f"Layers left in float: {', '.join(kept) if kept else 'none'}."
    yield ""


def _trials(report: Quantized) -> Iterator[str]:
    """Yield what was tried on the way."""
    yield "| tried | divergence from float (nats) | same class | |\n|---|---|---|---|"
    for trial in report.trials:
        kept = "kept" if trial.was_kept else "left out, no better"
        distance = trial.distance
        yield f"| {trial.step} | {distance.divergence:.2g} | {percent(distance.agreement)} | {kept} |"
    yield ""


def _layers(report: Quantized) -> Iterator[str]:
    """Yield the sensitivity of every layer, the most sensitive first."""
    yield "## Sensitivity"
    yield f"Each layer alone in INT8, on validation samples; as a picture: `{PICTURE}`."
    yield ""
    yield "| layer | operator | divergence (nats) | same class | MACs | bytes more in float | |"
    yield "|---|---|---|---|---|---|---|"
    for layer in sorted(report.layers, key=lambda layer: -layer.distance.divergence):
        kept = "stays in float" if layer.layer in report.kept else ""
        yield (
            f"| {layer.layer} | {layer.operator} | {layer.distance.divergence:.2g} | "
            f"{percent(layer.distance.agreement)} | {count(layer.macs)} | {size(layer.bytes_more)} | {kept} |"
        )
    yield ""


def _choice(report: Quantized) -> Iterator[str]:
    """Yield every set of layers that was measured for the budget."""
    if report.in_float is None:
        return
    yield f"## Layers in float, for a budget of {report.settings.drop_budget:g} points on validation samples"
    yield f"| layers in float | their {report.settings.cost} | points lost |\n|---|---|---|"
    for attempt in report.in_float.attempts:
        chosen = " (chosen)" if frozenset(attempt.kept) == report.kept else ""
        named = ", ".join(attempt.kept) or "none"
        yield f"| {named}{chosen} | {count(attempt.cost)} | {attempt.drop_points:.2f} |"
    yield ""


def _provenance(report: Quantized) -> Iterator[str]:
    """Yield what the numbers came from."""
    yield "## How it came about"
    settings = ", ".join(f"{name} {value}" for name, value in msgspec.to_builtins(report.settings).items())
    yield f"- {report.calibration_samples} training samples of '{report.task}' calibrated; settings: {settings}"
    for rung in report.ladder.rungs:
        yield (
            f"- parity, torch and {rung.name}: same class for {percent(rung.top1)} of {rung.samples} samples, at most "
            f"{rung.largest_lsb:.2g} steps apart"
        )
    for note in report.ladder.notes:
        yield f"- {note}"
    yield f"- source SHA-256 {report.source_sha256}; host {report.host.cpu}"
    yield f"- versions: {', '.join(f'{name} {number}' for name, number in report.versions.items())}"
