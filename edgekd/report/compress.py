"""The main job: plan, stages, measurements, verdict, bundle."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx

from edgekd.core.disk import write_atomically
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.core.store import Store
from edgekd.networks.layout import GRAPH, STRUCTURE
from edgekd.pipeline import Site, StageResult, run_plan
from edgekd.plan import Plan
from edgekd.quantize.coverage import Coverage, coverage_by_rule, integer_coverage
from edgekd.report.bundle import write_bundle
from edgekd.report.content import Report, file_rows, make_report, shrink_of, stage_rows
from edgekd.report.destination import check_destination
from edgekd.report.proving import proved
from edgekd.stages.export import as_shipped, file_name
from edgekd.stages.fitness import check_networks
from edgekd.stages.labelling import labelled
from edgekd.stages.measure import measure_files
from edgekd.stages.result import read_graph
from edgekd.stages.settings import Export, Teach
from edgekd.targets import PrecisionName, load_target
from edgekd.tasks.load import load_task
from edgekd.tasks.task import Task
from edgekd.train.batches import training_batches
from edgekd.train.device import find_device
from edgekd.train.distributed import World, first_alone, join, leave
from edgekd.train.training import Training
from edgekd.verdict import judge


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a run and the folder of its bundle."""

    report: Report
    bundle: Path


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """On what training runs: a device by name (cpu, cuda, mps), alone or as one of torchrun's processes.

    *attempt* counts how often torchrun has started them again. *emulator* is the folder in which
    tools/arm-emulation/setup puts the emulator, where there is one.
    """

    device: str = "cpu"
    local_rank: int = 0
    is_distributed: bool = False
    attempt: int = 0
    emulator: Path | None = None


def compress(plan: Plan, *, out: Path, store: Store, progress: Progress, engine: Engine) -> Outcome | None:
    """Run *plan* and write its bundle to *out*; of several processes the first one does, the others return None.

    Raises ConfigError before any training where *out* cannot be written, StageError where a stage breaks its
    promise.
    """
    device = find_device(engine.device, rank=engine.local_rank)
    world = join(device, attempt=engine.attempt) if engine.is_distributed else World()
    if world.is_writer:
        check_destination(out, store.root)
    with first_alone(world):
        task = _task(plan, store, progress)
    check_networks(plan.stages, task)
    _check_batches(plan, task, world)
    site = Site(task=task, seed=plan.seed, store=store, progress=progress, device=device, world=world)
    results = run_plan(plan, site)
    leave(world)
    if not world.is_writer:
        return None
    report = _report(plan, task, results, progress, engine)
    return Outcome(report=report, bundle=write_bundle(out, plan, task, report=report, results=results))


def _task(plan: Plan, store: Store, progress: Progress) -> Task:
    """Return the plan's data as a task; what has no labels gets those of the given teacher."""
    task = load_task(plan.data, cache=store.root / "cache" / "data", progress=progress)
    teach = plan.settings_of(Teach)
    if all(split.labels is not None for split in task.splits.values()) or not isinstance(teach, Teach):
        return task
    return labelled(task, teach, progress)


def _check_batches(plan: Plan, task: Task, world: World) -> None:
    """Raise ConfigError where a stage could not cut its batches from the data, before any stage trains."""
    for settings in plan.stages:
        if isinstance(settings, Training) and settings.epochs:
            try:
                training_batches(task, settings, seed=plan.seed, world=world)
            except ConfigError as error:
                message = f"{settings.stage.name}.{error}"
                raise ConfigError(message) from error


def _report(plan: Plan, task: Task, results: Sequence[StageResult], progress: Progress, engine: Engine) -> Report:
    """Return the report: measures first, judges after."""
    target = load_target(plan.target)
    export = next(settings for settings in plan.stages if isinstance(settings, Export))
    progress.say("measure: latency, memory and test accuracy on this host")
    with tempfile.TemporaryDirectory(prefix="edgekd-measure-") as folder:
        files, precisions = _files_to_measure(results, export, Path(folder))
        measured = measure_files(files, task, plan.measure)
    ladder = coverage = None
    if "int8" in export.variants:
        progress.say("measure: what torch, ONNX Runtime and ARM kernels compute of the INT8 file")
        path = results[-1].folder / file_name("int8")
        ladder = proved(path, task, target, engine.emulator)
        coverage = _coverage(path, task, export)
    stages = stage_rows(results, measured, precisions)
    shipped = stages[-1].measured
    drop = shrink_of(stages[0], stages[-1]).drop_points
    budgets = judge(plan.budgets, size_bytes=shipped.size_bytes, drop_points=drop, device=target.title)
    return make_report(
        plan,
        task,
        target,
        export,
        results=results,
        stages=stages,
        files=file_rows(export, measured),
        budgets=budgets,
        ladder=ladder,
        coverage=coverage,
    )


def _coverage(path: Path, task: Task, export: Export) -> Coverage:
    """Return the share of the INT8 file's arithmetic that its runtime does in integers."""
    sample = task.read(task.test, slice(0, 1))
    if export.runtime == "onnxruntime":
        return integer_coverage(path, sample)
    return coverage_by_rule(onnx.load(path), sample)


def _files_to_measure(
    results: Sequence[StageResult], export: Export, folder: Path
) -> tuple[dict[str, Path], dict[str, PrecisionName]]:
    """Return a file for each stage and each variant, and the precision of each stage's file.

    A stage's network is measured as the file that would ship if the run ended there; a teacher that came as ONNX, as
    it is: it need not have a form that the target takes.
    """
    models = results[-1].folder
    files: dict[str, Path] = {precision: models / file_name(precision) for precision in export.variants}
    precisions: dict[str, PrecisionName] = {}
    for result in results:
        precision: PrecisionName = "int8" if result.name == "quantize" else "fp32"
        if result.name == "teach" and not (result.folder / STRUCTURE).is_file():
            files[result.name] = result.folder / GRAPH
        elif (result.folder / GRAPH).is_file():
            graph = as_shipped(read_graph(result.folder), precision, export)
            files[result.name] = folder / f"{result.name}.onnx"
            write_atomically(files[result.name], graph.SerializeToString(deterministic=True))
        else:
            precision = export.precision
            files[result.name] = models / file_name(precision)
        precisions[result.name] = precision
    return files, precisions
