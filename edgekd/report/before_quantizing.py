"""What is looked at before a file is quantized, so that nobody waits for a refusal."""

import tempfile
from pathlib import Path

from onnx import ModelProto

from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError
from edgekd.export.integer_forms import with_integer_forms
from edgekd.networks.session import answers, open_session
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.recipe import LEAST_SAMPLES, PostTraining
from edgekd.quantize.samples import read
from edgekd.stages.fitness import check_answers
from edgekd.targets import PlacementName
from edgekd.tasks.task import Task


def check_out(out: Path) -> None:
    """Raise ConfigError where *out* is taken, since nothing is ever replaced, or cannot be written."""
    with disk_errors(out):
        is_taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
    if is_taken:
        message = f"{out}: exists already; give another --out, or remove it."
        raise ConfigError(message)
    with disk_errors(out), tempfile.NamedTemporaryFile(dir=out.absolute().parent, prefix=".edgekd-"):
        pass


def check_samples(task: Task, settings: PostTraining) -> None:
    """Raise ConfigError where the training samples are too few for ranges, or do not differ."""
    count = min(settings.samples, len(task.train))
    if count < LEAST_SAMPLES:
        message = (
            f"{task.name}: {count} samples to calibrate with; at least {LEAST_SAMPLES} are needed, as various as those "
            "that the network will see: bring more, or raise --samples."
        )
        raise ConfigError(message)
    for entry, same in zip(task.inputs, _sameness(task, count), strict=True):
        if same:
            message = (
                f"{task.name}: the first {count} training samples of input '{entry.name}' are all {same}; "
                "ranges come from real, various samples: correct the data."
            )
            raise ConfigError(message)


def _sameness(task: Task, count: int) -> tuple[str, ...]:
    """Return for each input how the first *count* training samples are all alike, "" where they differ.

    A batch of them is in memory at a time, and as soon as all inputs differ no more are read.
    """
    first = [array.reshape(1, -1) for array in task.read(task.train, slice(0, 1))]
    found = [{"the same"} | ({"of one number each"} if row.size > 1 else set()) for row in first]
    for batch in read(task, task.train, count=count).batches():
        for ways, row, tensor in zip(found, first, batch, strict=True):
            flat = tensor.numpy().reshape(len(tensor), -1)
            if (flat != row).any():
                ways.discard("the same")
            if (flat != flat[:, :1]).any():
                ways.discard("of one number each")
        if not any(found):
            break
    return tuple(max(ways, default="") for ways in found)


def check_answers_of(graph: ModelProto, task: Task, path: Path) -> None:
    """Raise ConfigError unless the network *graph*, read from *path*, answers with a logit for each class of *task*."""
    session = open_session(graph, arithmetic="reference")
    try:
        logits = answers(session, [task.read(task.test, slice(0, 1))])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types; each means that it cannot
        said = str(error).strip().partition("\n")[0].rstrip(".")
        message = f"{path}: cannot be run on a sample of '{task.name}' ({said}); export it again."
        raise ConfigError(message) from error
    check_answers((tuple(logits.shape[1:]),), task, where=str(path))


def check_places(graph: ModelProto, placement: PlacementName, path: Path) -> None:
    """Raise ConfigError where *graph*, read from *path*, has nothing that *placement* quantizes."""
    places = place(with_integer_forms(graph).graph, PLACEMENTS[placement])
    if not places.weights and not places.readers:
        message = (
            f"{path}: holds no convolution and no matrix product that has a form in integers, so that every form of "
            "INT8 would be the float file again; ship the float file, in FP16 where the device computes it."
        )
        raise ConfigError(message)
