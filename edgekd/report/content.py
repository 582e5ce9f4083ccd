"""The report as data: what was measured, what was judged, and how it came about."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, get_args

import msgspec

from edgekd import __version__
from edgekd.bench.host import Host, this_host
from edgekd.pipeline import StageResult
from edgekd.plan import Plan, plan_to_toml
from edgekd.quantize.coverage import Coverage
from edgekd.stages.measure import Measured
from edgekd.stages.parity import Ladder
from edgekd.stages.settings import Export
from edgekd.targets import PrecisionName, Target, build_command, time_command, why_refused
from edgekd.tasks.task import Task
from edgekd.verdict import Judgement

FORMAT: Final = 4
PRECISIONS: Final[tuple[PrecisionName, ...]] = get_args(PrecisionName)
_LIBRARIES: Final = ("torch", "onnx", "onnxruntime", "onnxscript", "torch-pruning", "numpy", "safetensors")


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: what its network costs and how well it works, *measured* on the host as a file for the target.

    *precision* is that of the measured file. *seconds* is the time of the run that made the result.
    """

    stage: str
    precision: PrecisionName
    parameters: int
    macs: int
    seconds: float
    was_reused: bool
    was_resumed: bool
    measured: Measured


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the bundle."""

    name: str
    precision: PrecisionName
    opset: int
    ir_version: int
    measured: Measured


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A precision that the target does not get, and why."""

    precision: PrecisionName
    reason: str


class Shrink(msgspec.Struct, frozen=True, kw_only=True):
    """The shipped file against the teacher's FP32 file."""

    size_ratio: float
    macs_ratio: float
    drop_points: float


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """What to type on the device. *check*, before and after *time*, tells whether the device slowed itself down."""

    prepare: str
    build: str | None
    time: str
    check: str
    reading: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``report.json`` says. *stage_records* holds what each stage told of itself."""

    format: int
    target: str
    title: str
    task: str
    labelled_by: str
    seed: int
    shipped: PrecisionName
    stages: tuple[StageRow, ...]
    files: tuple[FileRow, ...]
    shrink: Shrink
    budgets: tuple[Judgement, ...]
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...]
    commands: Commands
    ladder: Ladder | None
    coverage: Coverage | None
    stage_records: Mapping[str, Mapping[str, Any]]
    host: Host
    versions: Mapping[str, str]
    plan: str


def shrink_of(teacher: StageRow, shipped: StageRow) -> Shrink:
    """Return how much smaller, cheaper and worse the shipped network is than the teacher."""
    return Shrink(
        size_ratio=teacher.measured.size_bytes / shipped.measured.size_bytes,
        macs_ratio=teacher.macs / shipped.macs,
        drop_points=100 * (teacher.measured.accuracy - shipped.measured.accuracy),
    )


def stage_rows(
    results: Sequence[StageResult], measured: Mapping[str, Measured], precisions: Mapping[str, PrecisionName]
) -> tuple[StageRow, ...]:
    """Return a row for each stage; one that changes no structure has the counts of the network it was given."""
    rows: list[StageRow] = []
    for result in results:
        known = {name: result.record[name] for name in ("parameters", "macs") if name in result.record}
        counts = {"parameters": rows[-1].parameters, "macs": rows[-1].macs} | known if rows else known
        rows.append(
            StageRow(
                stage=result.name,
                precision=precisions[result.name],
                seconds=result.seconds,
                was_reused=result.was_reused,
                was_resumed=result.was_resumed,
                measured=measured[result.name],
                **counts,
            )
        )
    return tuple(rows)


def file_rows(export: Export, measured: Mapping[str, Measured]) -> tuple[FileRow, ...]:
    """Return a row for each variant in the bundle."""
    return tuple(
        FileRow(
            name=f"model.{precision}.onnx",
            precision=precision,
            opset=export.opset,
            ir_version=export.ir_version,
            measured=measured[precision],
        )
        for precision in export.variants
    )


def make_report(  # noqa: PLR0913 - a report is where everything meets
    plan: Plan,
    task: Task,
    target: Target,
    export: Export,
    *,
    results: Sequence[StageResult],
    stages: tuple[StageRow, ...],
    files: tuple[FileRow, ...],
    budgets: tuple[Judgement, ...],
    ladder: Ladder | None,
    coverage: Coverage | None,
) -> Report:
    """Return the report of a run."""
    reasons = {name: why_refused(target, name) for name in PRECISIONS}
    return Report(
        format=FORMAT,
        target=target.name,
        title=target.title,
        task=task.name,
        labelled_by=task.labelled_by,
        seed=plan.seed,
        shipped=export.precision,
        stages=stages,
        files=files,
        shrink=shrink_of(stages[0], stages[-1]),
        budgets=budgets,
        refused=tuple(Refusal(precision=name, reason=why) for name, why in reasons.items() if why),
        notes=plan.notes,
        commands=Commands(
            prepare=target.benchmark.prepare_command,
            build=build_command(target, model="model.onnx", precision=export.precision),
            time=time_command(target, model="model.onnx"),
            check=target.benchmark.throttle_check.command,
            reading=target.benchmark.throttle_check.reading,
        ),
        ladder=ladder,
        coverage=coverage,
        stage_records={result.name: result.record for result in results},
        host=this_host(),
        versions={"edgekd": __version__} | {name: version(name) for name in _LIBRARIES},
        plan=plan_to_toml(plan),
    )
