"""Post-training quantization of one ONNX file: read, round, choose, judge, write."""

from pathlib import Path
from typing import Final

import msgspec
import onnx
from onnx import ModelProto

from edgekd.bench.host import this_host
from edgekd.core.digest import file_digest
from edgekd.core.disk import write_atomically
from edgekd.core.errors import ConfigError, StageError
from edgekd.core.progress import Progress
from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.shapes import fix_batch
from edgekd.export.shipping import written_for
from edgekd.networks.saturation import saturating_kernels
from edgekd.quantize.coverage import Coverage, coverage_by_rule, integer_coverage
from edgekd.quantize.mixed_precision import Choice, cheapest
from edgekd.quantize.placement import PLACEMENTS
from edgekd.quantize.ptq import Prepared, assembled, prepared
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.recipe import PostTraining
from edgekd.quantize.samples import read
from edgekd.quantize.sensitivity import Sensitivity, sensitivities
from edgekd.report.before_quantizing import check_answers_of, check_out, check_places, check_samples
from edgekd.report.bundle import replacing
from edgekd.report.picture import PICTURE, sensitivity_picture
from edgekd.report.proving import proved
from edgekd.report.quantized_bundle import Origin, complete_bundle
from edgekd.report.quantized_content import MODEL, Quantized, markdown, versions
from edgekd.report.scoring import Score, classes_of, right_classes, score_of, scored_by
from edgekd.stages.intake import canonical_float
from edgekd.targets import Target
from edgekd.tasks.task import Split, Task

JUDGING: Final = 512
"""Validation samples that choose between methods, and on which layers are told apart."""


class _Job(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One file to be quantized: the canonical float *graph*, and what it is quantized for."""

    path: Path
    graph: ModelProto
    task: Task
    target: Target
    settings: PostTraining
    progress: Progress
    emulator: Path | None


def quantize_file(  # noqa: PLR0913 - what is quantized, for what and how, and where the command stands
    path: Path,
    task: Task,
    target: Target,
    settings: PostTraining,
    *,
    out: Path,
    progress: Progress,
    emulator: Path | None = None,
) -> Quantized:
    """Quantize the ONNX file *path* for *target*, which takes INT8, and write *out*; the file itself is only read.

    *emulator* is the folder of the ARM emulator, where there is one.
    Training samples calibrate, validation samples choose, test samples judge. Raises ConfigError for bad input before
    anything is computed, ParityError where the written file is not what was tuned, StageError where it multiplies
    nothing in integers.
    """
    check_out(out)
    check_samples(task, settings)
    shapes = dict(zip((entry.name for entry in task.inputs), task.shapes, strict=True))
    job = _Job(
        path=path,
        graph=canonical_float(path, shapes),
        task=task,
        target=target,
        settings=settings,
        progress=progress,
        emulator=emulator,
    )
    check_answers_of(job.graph, task, path)
    if target.quantization is not None:
        check_places(job.graph, target.quantization.placement, path)
    ready = _prepared(job)
    progress.say("quantize: how much each layer costs alone")
    layers = tuple(sensitivities(ready, read(task, task.validation, count=JUDGING)))
    choice = None if settings.drop_budget is None else _choice(job, ready, layers, settings.drop_budget)
    return _written(job, ready, layers, choice, out)


def check_coverage(coverage: Coverage, path: Path) -> None:
    """Raise StageError where nothing of the file made from *path* runs in integers, says *coverage*."""
    if coverage.integer_macs:
        return
    first = next((f" ({node.name}: {node.reason})" for node in coverage.float_nodes), "")
    message = (
        f"{path}: as INT8 it would multiply nothing in integers{first}, and be no faster; use --form weights for a "
        "smaller file, raise --drop-budget if you gave one, or ship the float file."
    )
    raise StageError(message)


def _prepared(job: _Job) -> Prepared:
    """Return the graph calibrated and tuned."""
    if job.target.quantization is None:
        message = f"{job.target.name}: has no placement of quantization; it takes no INT8."
        raise ConfigError(message)
    calibration = read(job.task, job.task.train, count=job.settings.samples)
    judging = read(job.task, job.task.validation, count=JUDGING)
    job.progress.say(f"quantize: {calibration.count} samples, ranges by {job.settings.method}")
    placement = PLACEMENTS[job.target.quantization.placement]
    ready = prepared(with_integer_forms(job.graph), placement, job.settings, calibration=calibration, judging=judging)
    for trial in ready.trials:
        kept = "kept" if trial.was_kept else "left out"
        job.progress.say(f"quantize: {trial.step}: divergence {trial.distance.divergence:.2g}, {kept}")
    return ready


def _choice(job: _Job, ready: Prepared, layers: tuple[Sensitivity, ...], budget: float) -> Choice:
    """Return the layers that stay in float for *budget* points of the validation samples."""
    split = job.task.validation
    real = classes_of(job.graph, job.task, split)

    def lost(kept: frozenset[str]) -> float:
        drop = score_of(real, classes_of(_quantized(ready, kept), job.task, split), split).drop_points
        job.progress.say(f"quantize: {len(kept)} layers in float lose {drop:.2f} points on validation samples")
        return drop

    return cheapest(layers, lost, budget=budget, by=job.settings.cost)


def _written(
    job: _Job, ready: Prepared, layers: tuple[Sensitivity, ...], choice: Choice | None, out: Path
) -> Quantized:
    """Write the folder, whole, and return its report."""
    made = shipped(_quantized(ready, choice.kept if choice else frozenset()), job.target)
    data = made.SerializeToString(deterministic=True)
    task = job.task
    with replacing(out) as folder:
        path = folder / MODEL
        write_atomically(path, data)
        onnx.checker.check_model(onnx.load(path), full_check=True)
        coverage = _coverage(path, job)
        check_coverage(coverage, job.path)
        job.progress.say("quantize: what torch and ONNX Runtime compute of the file")
        ladder = proved(path, task, job.target, job.emulator)
        report = Quantized(
            source=job.path.name,
            source_sha256=file_digest(job.path),
            target=job.target.name,
            task=task.name,
            settings=job.settings,
            calibration_samples=ready.calibration.count,
            scored_by=scored_by(task.test),
            validation=both(job.graph, made, task, task.validation),
            test=both(job.graph, made, task, task.test),
            float_bytes=len(shipped(job.graph, job.target).SerializeToString()),
            int8_bytes=len(data),
            trials=ready.trials,
            rounded=ready.layers,
            layers=layers,
            in_float=choice,
            coverage=coverage,
            ladder=ladder,
            saturating_kernels=tuple(sorted(saturating_kernels())),
            host=this_host(),
            versions=versions(),
        )
        write_atomically(folder / PICTURE, sensitivity_picture(layers, report.kept))
        write_atomically(folder / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=1))
        write_atomically(folder / "report.md", markdown(report).encode())
        origin = Origin(
            source_sha256=report.source_sha256,
            seed=job.settings.seed,
            settings=msgspec.to_builtins(job.settings),
            versions=report.versions,
        )
        complete_bundle(folder, task, job.target, origin, classes=right_classes(job.graph, task, task.test))
    return report


def _quantized(ready: Prepared, kept: frozenset[str]) -> ModelProto:
    """Return the graph with Q/DQ in which the layers *kept* stay in float."""
    tuned = assembled(ready, kept)
    return write_qdq(tuned.model, tuned.places, tuned.encodings)


def shipped(model: ModelProto, target: Target) -> ModelProto:
    """Return *model* for one sample at a time at the target's versions."""
    runtime = target.runtime
    return written_for(
        fix_batch(model), runtime.name, runtime.operator_list, opset=runtime.opset, ir_version=runtime.ir_version
    )


def _coverage(path: Path, job: _Job) -> Coverage:
    """Return the share of the file's arithmetic that its runtime does in integers."""
    sample = job.task.read(job.task.test, slice(0, 1))
    if job.target.runtime.name == "onnxruntime":
        return integer_coverage(path, sample)
    return coverage_by_rule(onnx.load(path), sample)


def both(real: ModelProto, quantized: ModelProto, task: Task, split: Split) -> Score:
    """Return the scores of both networks on *split*."""
    return score_of(classes_of(real, task, split), classes_of(quantized, task, split), split)
