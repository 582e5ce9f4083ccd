"""The main job: plan, stages, measurements, verdict, bundle."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekd.core.disk import write_atomically
from edgekd.core.progress import Progress
from edgekd.core.store import Store
from edgekd.pipeline import StageResult, run_plan
from edgekd.plan import Plan
from edgekd.report.bundle import write_bundle
from edgekd.report.content import Report, file_rows, make_report, shrink_of, stage_rows
from edgekd.report.destination import check_destination
from edgekd.stages.export import as_shipped, file_name
from edgekd.stages.fitness import check_networks
from edgekd.stages.measure import measure_files
from edgekd.stages.result import GRAPH, read_graph
from edgekd.stages.settings import Export
from edgekd.targets import PrecisionName, load_target
from edgekd.tasks.digits import load_digits
from edgekd.tasks.task import Task
from edgekd.verdict import judge


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a run and the folder of its bundle."""

    report: Report
    bundle: Path


def compress(plan: Plan, *, out: Path, store: Store, progress: Progress) -> Outcome:
    """Run *plan* and write its bundle to *out*.

    Raises ConfigError before any training where *out* cannot be written, StageError where a stage breaks its
    promise.
    """
    task = load_digits()
    check_destination(out, store.root)
    check_networks(plan.stages, task)
    results = run_plan(plan, task, store, progress)
    report = _report(plan, task, results, progress)
    return Outcome(report=report, bundle=write_bundle(out, plan, task, report=report, results=results))


def _report(plan: Plan, task: Task, results: Sequence[StageResult], progress: Progress) -> Report:
    """Return the report: measures first, judges after."""
    target = load_target(plan.target)
    export = next(settings for settings in plan.stages if isinstance(settings, Export))
    progress.say("measure: latency, memory and test accuracy on this host")
    with tempfile.TemporaryDirectory(prefix="edgekd-measure-") as folder:
        files, precisions = _files_to_measure(results, export, Path(folder))
        measured = measure_files(files, task, plan.measure)
    stages = stage_rows(results, measured, precisions)
    shipped = stages[-1].measured
    drop = shrink_of(stages[0], stages[-1]).drop_points
    budgets = judge(plan.budgets, size_bytes=shipped.size_bytes, drop_points=drop, device=target.title)
    return make_report(
        plan,
        target,
        export,
        results=results,
        stages=stages,
        files=file_rows(export, measured),
        budgets=budgets,
    )


def _files_to_measure(
    results: Sequence[StageResult], export: Export, folder: Path
) -> tuple[dict[str, Path], dict[str, PrecisionName]]:
    """Return a file for each stage and each variant, and the precision of each stage's file.

    A stage's network is measured as the file that would ship if the run ended there.
    """
    models = results[-1].folder
    files: dict[str, Path] = {precision: models / file_name(precision) for precision in export.variants}
    precisions: dict[str, PrecisionName] = {}
    for result in results:
        if (result.folder / GRAPH).is_file():
            precision: PrecisionName = "int8" if result.name == "quantize" else "fp32"
            graph = as_shipped(read_graph(result.folder), precision, export)
            files[result.name] = folder / f"{result.name}.onnx"
            write_atomically(files[result.name], graph.SerializeToString(deterministic=True))
        else:
            precision = export.precision
            files[result.name] = models / file_name(precision)
        precisions[result.name] = precision
    return files, precisions
