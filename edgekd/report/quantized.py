"""Post-training quantization of one ONNX file: read, round, choose, judge, write."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
from onnx import ModelProto

from edgekd.bench.host import Host, this_host
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.export.legalize import legalize
from edgekd.export.shapes import fix_batch, without_value_info
from edgekd.networks.saturation import saturating_kernels
from edgekd.networks.session import answers, open_session
from edgekd.quantize.coverage import Coverage, coverage_by_rule, integer_coverage
from edgekd.quantize.mixed_precision import Choice, cheapest
from edgekd.quantize.placement import PLACEMENTS
from edgekd.quantize.ptq import Trial, assembled, prepared
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.recipe import LEAST_SAMPLES, PostTraining
from edgekd.quantize.samples import read
from edgekd.quantize.sensitivity import Sensitivity, sensitivities
from edgekd.report.bundle import replacing
from edgekd.stages.intake import canonical_float
from edgekd.targets import Target, refusal
from edgekd.tasks.task import Split, Task

MODEL: Final = "model.int8.onnx"
JUDGING: Final = 512
"""Validation samples that choose between methods, and on which layers are told apart."""


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file. Scores are parts of the test samples: right, or as the float network without labels."""

    source: str
    target: str
    settings: PostTraining
    scored_by: str
    test_samples: int
    float_score: float
    int8_score: float
    float_bytes: int
    int8_bytes: int
    trials: tuple[Trial, ...]
    layers: tuple[Sensitivity, ...]
    in_float: Choice | None
    coverage: Coverage
    saturating_kernels: tuple[str, ...]
    host: Host


def quantize_file(
    path: Path, task: Task, target: Target, settings: PostTraining, *, out: Path, progress: Progress
) -> Quantized:
    """Quantize the ONNX file *path* for *target* and write *out*; the file itself is only read.

    Training samples calibrate, validation samples choose, test samples judge. Raises ConfigError for bad input, before
    anything is computed.
    """
    _check(target, task, settings, out)
    placement = PLACEMENTS[target.quantization.placement] if target.quantization else PLACEMENTS["onnxruntime-arm64"]
    graph = canonical_float(path, dict(zip((entry.name for entry in task.inputs), task.shapes, strict=True)))
    calibration = read(task, task.train, count=settings.samples)
    judging = read(task, task.validation, count=JUDGING)
    progress.say(f"quantize: {calibration.count} samples, ranges by {settings.method}")
    ready = prepared(graph, placement, settings, calibration=calibration, judging=judging)
    for trial in ready.trials:
        kept = "kept" if trial.was_kept else "left out"
        progress.say(f"quantize: {trial.step}: divergence {trial.distance.divergence:.2g}, {kept}")
    progress.say("quantize: how much each layer costs alone")
    layers = tuple(sensitivities(ready, judging))
    choice = None
    if settings.drop_budget is not None:
        float_score = _score(graph, task, task.validation, graph)

        def lost(kept: frozenset[str]) -> float:
            tuned = assembled(ready, kept)
            model = write_qdq(tuned.model, tuned.places, tuned.encodings)
            return 100 * (float_score - _score(model, task, task.validation, graph))

        choice = cheapest(layers, lost, budget=settings.drop_budget, by=settings.cost)
    tuned = assembled(ready, choice.kept if choice else frozenset())
    shipped = _shipped(write_qdq(tuned.model, tuned.places, tuned.encodings), target)
    return _written(path, out, shipped, graph, task, target, settings, ready.trials, layers, choice)


def _written(  # noqa: PLR0913, PLR0917 - a report is where everything meets
    path: Path,
    out: Path,
    shipped: ModelProto,
    graph: ModelProto,
    task: Task,
    target: Target,
    settings: PostTraining,
    trials: tuple[Trial, ...],
    layers: tuple[Sensitivity, ...],
    choice: Choice | None,
) -> Quantized:
    """Write the folder, whole, and return its report."""
    data = shipped.SerializeToString(deterministic=True)
    with replacing(out) as folder:
        write_atomically(folder / MODEL, data)
        onnx.checker.check_model(onnx.load(folder / MODEL), full_check=True)
        sample = tuple(array[:1] for array in task.read(task.test, slice(0, 1)))
        by_runtime = target.runtime.name == "onnxruntime"
        found = Quantized(
            source=path.name,
            target=target.name,
            settings=settings,
            scored_by="labels" if task.test.labels is not None else "agreement with the float network",
            test_samples=len(task.test),
            float_score=_score(graph, task, task.test, graph),
            int8_score=_score(shipped, task, task.test, graph),
            float_bytes=path.stat().st_size,
            int8_bytes=len(data),
            trials=trials,
            layers=layers,
            in_float=choice,
            coverage=integer_coverage(folder / MODEL, sample) if by_runtime else coverage_by_rule(shipped, sample),
            saturating_kernels=tuple(sorted(saturating_kernels())),
            host=this_host(),
        )
        write_atomically(folder / "report.json", msgspec.json.format(msgspec.json.encode(found), indent=1))
        write_atomically(folder / "report.md", "\n".join(lines_of(found)).encode() + b"\n")
    return found


def lines_of(found: Quantized) -> tuple[str, ...]:
    """Return the report as Markdown, line by line."""
    kept = ", ".join(sorted(found.in_float.kept)) if found.in_float and found.in_float.kept else "none"
    saturating = ", ".join(found.saturating_kernels)
    note = f"This host's {saturating} kernels saturate: scores are of reference arithmetic, its default session lies."
    head = (
        f"# {found.source} as INT8 for {found.target}",
        "",
        (
            f"{MODEL}: {found.int8_bytes} bytes, {found.int8_bytes / found.float_bytes:.2f}x of the float file; "
            f"{100 * found.int8_score:.2f} % after {100 * found.float_score:.2f} % in float "
            f"({found.test_samples} test samples, by {found.scored_by})."
        ),
        "",
        (
            f"Integer coverage: {100 * found.coverage.share:.1f} % of {found.coverage.total_macs} MACs. "
            f"Layers left in float: {kept}."
        ),
        *((note,) if saturating else ()),
        "",
        "| tried | divergence from float (nats) | same class | |",
        "|---|---|---|---|",
    )
    trials = (
        f"| {trial.step} | {trial.distance.divergence:.2g} | {100 * trial.distance.agreement:.2f} % | "
        f"{'kept' if trial.was_kept else 'left out'} |"
        for trial in found.trials
    )
    table = ("", "| layer alone in INT8 | operator | divergence (nats) | same class | MACs |", "|---|---|---|---|---|")
    ranked = sorted(found.layers, key=lambda layer: -layer.distance.divergence)
    layers = (
        f"| {layer.layer} | {layer.operator} | {layer.distance.divergence:.2g} | "
        f"{100 * layer.distance.agreement:.2f} % | {layer.macs} |"
        for layer in ranked
    )
    return (*head, *trials, *table, *layers)


def _check(target: Target, task: Task, settings: PostTraining, out: Path) -> None:
    """Raise ConfigError where the target takes no INT8, the samples cannot calibrate, or *out* is taken."""
    reason = refusal(target, "int8")
    if reason is not None:
        raise ConfigError(reason)
    count = min(settings.samples, len(task.train))
    if count < LEAST_SAMPLES:
        message = f"{task.name}: {count} samples to calibrate with; at least {LEAST_SAMPLES} are needed."
        raise ConfigError(message)
    for entry, array in zip(task.inputs, task.read(task.train, slice(0, count)), strict=True):
        if not np.ptp(array):
            message = f"{task.name}: every number of input '{entry.name}' is {array.flat[0]:g}; give real samples."
            raise ConfigError(message)
    with disk_errors(out):
        is_taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if is_taken:
        message = f"{out}: exists already; give another --out, or remove it."
        raise ConfigError(message)


def _shipped(model: ModelProto, target: Target) -> ModelProto:
    """Return *model* for one sample at a time at the target's versions."""
    fixed = legalize(fix_batch(model), opset=target.runtime.opset, ir_version=target.runtime.ir_version)
    return without_value_info(fixed)


def _score(model: ModelProto, task: Task, split: Split, real: ModelProto) -> float:
    """Return the part of *split* that *model* names rightly; as the *real* network does where there are no labels."""
    found = answers(open_session(model, arithmetic="reference"), task.batches(split)).argmax(1)
    if split.labels is not None:
        return float((found == split.targets).mean())
    return float((found == answers(open_session(real, arithmetic="reference"), task.batches(split)).argmax(1)).mean())
