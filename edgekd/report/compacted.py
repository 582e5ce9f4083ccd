"""The forms of INT8 that need no calibration: weights alone, or ranges found anew in every inference."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import onnx
from onnx import ModelProto

from edgekd.bench.host import Host, this_host
from edgekd.core.digest import file_digest
from edgekd.core.disk import write_atomically
from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.core.units import count, percent, size
from edgekd.export.own_weights import with_own_weights
from edgekd.networks.saturation import saturating_kernels
from edgekd.networks.session import Arithmetic
from edgekd.quantize.coverage import Coverage, integer_coverage
from edgekd.quantize.dynamic import dynamic
from edgekd.quantize.recipe import Form
from edgekd.quantize.weight_only import weight_only
from edgekd.report.before_quantizing import check_answers_of, check_out, check_places
from edgekd.report.bundle import replacing
from edgekd.report.quantized import shipped
from edgekd.report.quantized_bundle import Origin, complete_bundle
from edgekd.report.quantized_content import MODEL, versions
from edgekd.report.scoring import Score, classes_of, right_classes, score_of, score_table, scored_by
from edgekd.stages.intake import canonical_float
from edgekd.targets import Target
from edgekd.tasks.task import Split, Task


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a form is made, the *arithmetic* in which this host judges it, and what it is good for, in a sentence."""

    convert: Callable[[ModelProto], ModelProto]
    arithmetic: Arithmetic
    promise: str


WAYS: Final[Mapping[Form, Way]] = MappingProxyType(
    {
        "dynamic": Way(
            convert=lambda graph: dynamic(with_own_weights(graph)),
            arithmetic="widened",
            promise=(
                "Matrix products run in integers with ranges found in every inference; convolutions stay in float32. "
                "It wins where activations have outliers that no fixed range holds; measure it on the device."
            ),
        ),
        "weights": Way(
            convert=lambda graph: weight_only(with_own_weights(graph)),
            arithmetic="reference",
            promise=(
                "Weights are int8 in the file and float32 in the arithmetic: the file shrinks, and no inference gets "
                "faster; unpacking them can make it slower."
            ),
        ),
    }
)


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file: everything that ``report.json`` says. Sizes are those of the same graph in both forms."""

    source: str
    source_sha256: str
    target: str
    task: str
    form: Form
    promise: str
    scored_by: str
    arithmetic: Arithmetic
    validation: Score
    test: Score
    float_bytes: int
    int8_bytes: int
    coverage: Coverage
    saturating_kernels: tuple[str, ...]
    host: Host
    versions: Mapping[str, str]


def compact_file(path: Path, task: Task, target: Target, form: Form, *, out: Path, progress: Progress) -> Compacted:
    """Write the ONNX file *path* in *form* for *target* to the new folder *out*; the file itself is only read.

    Nothing is calibrated or chosen; samples of *task* only judge. Raises ConfigError for bad input and for a target
    whose runtime has no such form.
    """
    check_out(out)
    check_runtime(target, form)
    shapes = dict(zip((entry.name for entry in task.inputs), task.shapes, strict=True))
    graph = canonical_float(path, shapes)
    check_answers_of(graph, task, path)
    check_places(graph, "onnxruntime-arm64", path)
    way = WAYS[form]
    progress.say(f"quantize: the form {form}")
    made = shipped(way.convert(graph), target)
    data = made.SerializeToString(deterministic=True)
    with replacing(out) as folder:
        write_atomically(folder / MODEL, data)
        onnx.checker.check_model(onnx.load(folder / MODEL), full_check=True)
        report = Compacted(
            source=path.name,
            source_sha256=file_digest(path),
            target=target.name,
            task=task.name,
            form=form,
            promise=way.promise,
            scored_by=scored_by(task.test),
            arithmetic=way.arithmetic,
            validation=_score(graph, made, task, task.validation, way),
            test=_score(graph, made, task, task.test, way),
            float_bytes=len(shipped(graph, target).SerializeToString()),
            int8_bytes=len(data),
            coverage=integer_coverage(folder / MODEL, task.read(task.test, slice(0, 1))),
            saturating_kernels=tuple(sorted(saturating_kernels())),
            host=this_host(),
            versions=versions(),
        )
        write_atomically(folder / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=1))
        write_atomically(folder / "report.md", markdown(report).encode())
        origin = Origin(source_sha256=report.source_sha256, seed=0, settings={"form": form}, versions=report.versions)
        classes = right_classes(graph, task, task.test)
        complete_bundle(folder, task, target, origin, classes=classes, arithmetic=way.arithmetic)
    return report


def check_runtime(target: Target, form: Form) -> None:
    """Raise ConfigError where the runtime of *target* has nothing that reads *form*."""
    if target.runtime.name != "onnxruntime":
        message = (
            f"{target.name}: --form {form} asked, but {target.runtime.name} {target.runtime.version} keeps weights in "
            "a form of its own and finds no ranges at run time; use --form static, or ship the float file."
        )
        raise ConfigError(message)


def markdown(report: Compacted) -> str:
    """Return *report* for reading."""
    return "\n".join(_lines(report)) + "\n"


def _score(real: ModelProto, made: ModelProto, task: Task, split: Split, way: Way) -> Score:
    """Return the scores of the float network and of the file on *split*."""
    return score_of(classes_of(real, task, split), classes_of(made, task, split, way.arithmetic), split)


def _lines(report: Compacted) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"# {report.source} in the form {report.form} for {report.target}"
    yield ""
    ratio = report.int8_bytes / report.float_bytes
    yield f"`{MODEL}`: {size(report.int8_bytes)}, {ratio:.2f}x of {size(report.float_bytes)} in float. {report.promise}"
    yield ""
    yield from score_table({"validation": report.validation, "test": report.test})
    yield ""
    yield f"Scored by {report.scored_by}, in {report.arithmetic} arithmetic; nothing was chosen by these samples."
    yield (
        f"Integer coverage: {percent(report.coverage.share)} of {count(report.coverage.total_macs)} "
        "multiply-accumulates run in integer kernels."
    )
    yield f"Source SHA-256 {report.source_sha256}; host {report.host.cpu}; versions: " + ", ".join(
        f"{name} {number}" for name, number in report.versions.items()
    )
