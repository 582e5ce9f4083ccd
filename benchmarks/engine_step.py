"""Time a training step of the engine beside the same step by hand, with and without a teacher, and the image pipeline.

    python benchmarks/engine_step.py DATA TEACHER

All variants take turns within one process, a block of steps each, so that what slows the machine slows all alike;
only their ratios are judged. Run it on a machine that does nothing else.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from distillation import JOBS, TRAINING
from recording import Promise, at_least, at_most, write
from torch import nn

from edgekd.core.progress import PlainProgress, SilentProgress
from edgekd.distill.guidance import Guidance
from edgekd.distill.logit_cache import LogitCache
from edgekd.distill.objective import Guided
from edgekd.distill.taps import tapped
from edgekd.distill.teacher import OnnxTeacher
from edgekd.networks.catalog import resolve_factory
from edgekd.networks.network import Network, build
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
from edgekd.tasks.task import Task
from edgekd.train.batches import Batches, training_batches
from edgekd.train.fit import Run, fit
from edgekd.train.supervised import Supervised
from edgekd.train.training import Training

STEPS = 12
ROUNDS = 9
SEED = 0
HALF = 0.5

Block = Callable[[], list[float]]
"""Runs some steps and returns the milliseconds of each."""


def main() -> None:
    """Time all variants in turn, judge the ratios, write the samples; exit with 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "edgekd-benchmark-cache")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    source = Data(source=f"folder:{arguments.data}", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    task = load_task(source, cache=arguments.cache / "data", progress=PlainProgress(sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        blocks = blocks_of(task, arguments, Path(folder))
        samples: dict[str, list[list[float]]] = {name: [] for name in blocks}
        for _ in range(ROUNDS + 1):
            for name, block in blocks.items():
                samples[name].append(block())
    measured = {name: values[1:] for name, values in samples.items()}  # the first round warms up and fills the cache
    ratios = {name: ratio(measured[name], measured["supervised"]) for name in measured}
    holds = write(
        "engine_step",
        {
            "threads": arguments.threads,
            "batch_size": TRAINING["batch_size"],
            "samples_ms": measured,
            "median_ms": {name: statistics.median(chain(*rounds)) for name, rounds in measured.items()},
            "ratio_to_supervised": ratios,
        },
        promises(measured),
    )
    sys.exit(not holds)


def promises(measured: dict[str, list[list[float]]]) -> list[Promise]:
    """Return what the step times promise."""
    by_hand = ratio(measured["supervised"], measured["by hand"])
    cached = ratio(measured["soft-targets"], measured["supervised"])
    faster = ratio(measured["forward and backward"], measured["image pipeline"])
    return [
        at_most("engine's step over the same step by hand, median ratio of rounds", 1.05, by_hand),
        at_most("distillation step with cached teacher over supervised step, median ratio", 1.15, cached),
        at_least("forward and backward over the image pipeline, median ratio", 5.0, faster),
    ]


def ratio(first: list[list[float]], second: list[list[float]]) -> float:
    """Return the median over rounds of the ratio of the rounds' mean step times."""
    return statistics.median(statistics.mean(a) / statistics.mean(b) for a, b in zip(first, second, strict=True))


def blocks_of(task: Task, arguments: argparse.Namespace, folder: Path) -> dict[str, Block]:
    """Return every variant by name."""
    training = Training(epochs=1, **TRAINING)
    batches = training_batches(task, training, seed=SEED)
    student = build(Network(factory=resolve_factory("resnet8").factory, arguments={"classes": len(task.labels)}))
    graph = onnx.load(arguments.teacher)
    blocks: dict[str, Block] = {
        "by hand": lambda: by_hand(student, task, training),
        "supervised": lambda: engine(lambda: Supervised(student), batches, folder),
    }
    for job, terms in JOBS.items():
        if job != "labels":
            guidance = Guidance(epochs=1, **TRAINING, **terms)
            teacher = OnnxTeacher(graph, "benchmark", guidance.teacher_taps, threads=arguments.threads)
            cache = None if guidance.uses_taps else LogitCache(folder / "logits", teacher, batches)
            blocks[job] = guided(student, teacher, guidance, cache, batches, folder)
    plain = Guidance(epochs=1, **TRAINING, **JOBS["soft-targets"])
    teacher = OnnxTeacher(graph, "benchmark", (), threads=arguments.threads)
    blocks["soft-targets, no cache"] = guided(student, teacher, plain, None, batches, folder)
    blocks["image pipeline"] = lambda: timed(batches.batch)
    blocks["forward and backward"] = forward_and_backward(student, batches)
    return blocks


def guided(
    student: nn.Module,
    teacher: OnnxTeacher,
    guidance: Guidance,
    cache: LogitCache | None,
    batches: Batches,
    folder: Path,
) -> Block:
    """Return a block of steps with the teacher."""

    def block() -> list[float]:
        with tapped(student, guidance.student_taps) as taps:
            cached = None if cache is None else cache.logits
            objective = Guided(student, teacher, guidance, taps=taps, cached=cached)
            if guidance.feature_weight:
                objective.add_matchers(batches.batch(0).inputs, seed=SEED)
            return engine(lambda: objective, batches, folder)

    return block


class Enough(Exception):
    """Ends a block of engine steps."""


def engine(objective: Callable[[], nn.Module], batches: Batches, folder: Path) -> list[float]:
    """Return the milliseconds of the engine's own steps, everything between two of them included."""
    ends = []

    def observe(step: int, _loss: float) -> None:
        ends.append(time.perf_counter())
        if step == STEPS:
            raise Enough

    run = Run(name="step", progress=SilentProgress(), checkpoint=folder / "never", observe=observe)
    with suppress(Enough):
        fit(objective(), batches, run)
    (folder / "never").unlink(missing_ok=True)
    return [1e3 * (after - before) for before, after in pairwise(ends)]


def by_hand(network: nn.Module, task: Task, training: Training) -> list[float]:
    """Return the milliseconds of the same step as anybody would write it."""
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        network.parameters(), lr=training.lr, momentum=0.9, nesterov=True, weight_decay=training.weight_decay
    )
    images, labels = task.train.inputs[0], torch.from_numpy(task.train.targets)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    order = torch.randperm(len(labels))
    ends = []
    for step in range(STEPS + 1):
        chosen = order[step * training.batch_size :][: training.batch_size]
        x = (torch.from_numpy(images[chosen.numpy()]).float() / 255 - mean) / std
        x = F.pad(x, (4, 4, 4, 4), mode="reflect")
        corners = torch.randint(0, 9, (len(x), 2)).tolist()
        x = torch.stack(
            [image[:, top : top + 32, left : left + 32] for image, (top, left) in zip(x, corners, strict=True)]
        )
        x = torch.where(torch.rand(len(x), 1, 1, 1) < HALF, x.flip(3), x)
        loss = F.cross_entropy(network(x.contiguous(memory_format=torch.channels_last)), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
        ends.append(time.perf_counter())
    return [1e3 * (after - before) for before, after in pairwise(ends)]


def forward_and_backward(network: nn.Module, batches: Batches) -> Block:
    """Return a block of passes over one batch, without its making and without an optimizer."""
    batch = batches.batch(0).to(torch.device("cpu"))
    objective = Supervised(network)

    def step(_step: int) -> None:
        network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.zero_grad(set_to_none=True)
        objective(batch).backward()

    return lambda: timed(step)


def timed(work: Callable[[int], Any]) -> list[float]:
    """Return the milliseconds of each of some calls of *work*."""
    samples = []
    for step in range(STEPS):
        began = time.perf_counter()
        work(step)
        samples.append(1e3 * (time.perf_counter() - began))
    return samples


if __name__ == "__main__":
    main()
