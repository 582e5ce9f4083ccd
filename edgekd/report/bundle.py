"""The bundle: one folder that an app can ship, written whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from edgekd.core.digest import file_digest
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.networks.session import open_session
from edgekd.pipeline import StageResult
from edgekd.plan import Plan
from edgekd.quantize.sensitivity import Sensitivity
from edgekd.report.content import Report
from edgekd.report.destination import MANIFEST
from edgekd.report.golden import write_golden
from edgekd.report.manifest import MANIFEST_FORMAT, SHIPPED, FileFacts, Golden, Lineage, Manifest, tensors_of
from edgekd.report.markdown import render
from edgekd.report.picture import PICTURE, sensitivity_picture
from edgekd.stages.export import file_name
from edgekd.stages.settings import Export
from edgekd.tasks.task import Task

REPORT: Final = "report.json"


def write_bundle(out: Path, plan: Plan, task: Task, *, report: Report, results: Sequence[StageResult]) -> Path:
    """Write the bundle of a run to *out*, in the place of an older one, and return *out*.

    It is made beside *out*, which ``check_destination`` has accepted, and moved there when it is whole. Raises
    ConfigError where the disk refuses.
    """
    export = next(settings for settings in plan.stages if isinstance(settings, Export))
    models = results[-1].folder
    with replacing(out) as folder:
        for precision in export.variants:
            _copy(models / file_name(precision), folder / file_name(precision))
        _copy(models / file_name(export.precision), folder / SHIPPED)
        golden = write_golden(folder, task, task.test.targets, precision=export.precision)
        write_atomically(folder / REPORT, msgspec.json.format(msgspec.json.encode(report), indent=1))
        write_atomically(folder / "report.md", render(report).encode())
        if "quantize" in report.stage_records:
            write_atomically(folder / PICTURE, _picture(report))
        write_atomically(folder / "plan.toml", report.plan.encode())
        write_manifest(folder, _manifest(plan, task, export, report=report, results=results, golden=golden))
    return out


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write *manifest* to *folder*, with all files that are there by now."""
    files = {path.name: _facts(path) for path in sorted(folder.iterdir())}
    complete = msgspec.structs.replace(manifest, files=files)
    write_atomically(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(complete), indent=1))


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Give a folder beside *out* to fill; at the end it takes *out*'s place, on an error nothing is left of it."""
    with (
        disk_errors(out.parent),
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch,
    ):
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)


def _picture(report: Report) -> bytes:
    """Return the picture of what each layer costs in INT8 alone."""
    layers = msgspec.convert(report.stage_records["quantize"]["sensitivity"], tuple[Sensitivity, ...])
    return sensitivity_picture(layers, in_float=())


def _copy(source: Path, destination: Path) -> None:
    """Copy a file's bytes."""
    shutil.copyfile(source, destination)


def _facts(path: Path) -> FileFacts:
    """Return the digest and size of one file."""
    return FileFacts(sha256=file_digest(path), size_bytes=path.stat().st_size)


def _manifest(
    plan: Plan, task: Task, export: Export, *, report: Report, results: Sequence[StageResult], golden: Golden
) -> Manifest:
    """Return the manifest without its list of files."""
    settings = {stage.stage.name: msgspec.to_builtins(stage) for stage in plan.stages}
    inputs, outputs = tensors_of(open_session(results[-1].folder / file_name(export.precision)))
    return Manifest(
        format=MANIFEST_FORMAT,
        target=report.target,
        task=task.name,
        seed=plan.seed,
        precision=export.precision,
        precisions={precision: file_name(precision) for precision in export.variants},
        opset=export.opset,
        ir_version=export.ir_version,
        inputs=inputs,
        outputs=outputs,
        labels=task.labels,
        preprocessing={entry.name: entry.preprocessing for entry in task.inputs},
        golden=golden,
        files={},
        lineage=tuple(Lineage(stage=r.name, key=r.key, inputs=r.inputs, settings=settings[r.name]) for r in results),
        versions=report.versions,
    )
