"""Train ResNet-8 on CIFAR-10 (JPEG) on labels alone and with every distillation loss: equal steps, equal schedule.

    python benchmarks/distillation.py run DATA TEACHER --jobs labels soft-targets --seeds 0 1 2
    python benchmarks/distillation.py summary

Each run writes a file of its own, so several can go side by side, one thread each, and a run that is there is not
made again. Validation data (a tenth of the training images) chooses nothing here; test data judges.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from recording import RESULTS, at_least, write

from edgekd.core.progress import PlainProgress
from edgekd.networks.catalog import resolve_factory
from edgekd.networks.network import load_network
from edgekd.stages import distill, teach
from edgekd.stages.settings import Distill, Teach
from edgekd.stages.stage import Env
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
from edgekd.tasks.task import Task
from edgekd.train.evaluate import accuracy_of

FOLDER = RESULTS / "distillation"
SEEDS = (0, 1, 2)
GAIN_POINTS = 0.7
TRAINING: dict[str, Any] = {
    "lr": 0.1,
    "batch_size": 128,
    "weight_decay": 5e-4,
    "schedule": "one-cycle",
    "crop": 4,
    "flip": True,
    "shift": 0.0,
    "rotation": 0.0,
    "scale": 0.0,
    "shear": 0.0,
}
STAGES = ("blocks.0", "blocks.1", "blocks.2")
VALUES = ("relu_18", "relu_36", "relu_54")
"""Where the three stages of the student end, and those of the teacher's ONNX graph."""

JOBS: dict[str, dict[str, Any]] = {
    "labels": {},
    "soft-targets": {"temperature": 4.0, "alpha": 0.9},
    "standardized": {"temperature": 2.0, "alpha": 0.9, "standardize": True, "kl_weight": 10.0},
    "dkd": {"temperature": 4.0, "alpha": 0.5, "kl_weight": 0.0, "dkd_weight": 1.0},
    "dist": {"temperature": 4.0, "alpha": 0.5, "kl_weight": 0.0, "dist_weight": 2.0},
    "hints": {
        "temperature": 4.0,
        "alpha": 0.0,
        "feature_weight": 1.0,
        "student_features": STAGES[1:2],
        "teacher_features": VALUES[1:2],
    },
    "attention-transfer": {
        "temperature": 4.0,
        "alpha": 0.0,
        "attention_weight": 1000.0,
        "student_features": STAGES,
        "teacher_features": VALUES,
    },
}


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="make the runs that are not there yet")
    run.add_argument("data", type=Path, help="folder with train/ and test/, one folder for each class in them")
    run.add_argument("teacher", type=Path, help="the ONNX teacher")
    run.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    run.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    run.add_argument("--epochs", type=int, default=3)
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "edgekd-benchmark-cache")
    run.set_defaults(do=make_runs)
    commands.add_parser("summary", help="judge the runs that are there").set_defaults(do=summarize)
    arguments = parser.parse_args()
    arguments.do(arguments)


def make_runs(arguments: argparse.Namespace) -> None:
    """Make each run whose file is not there."""
    torch.set_num_threads(arguments.threads)
    progress = PlainProgress(sys.stderr)
    source = Data(source=f"folder:{arguments.data}", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    task = load_task(source, cache=arguments.cache / "data", progress=progress)
    for seed in arguments.seeds:
        for job in arguments.jobs:
            name = f"distillation/{job}-seed{seed}"
            if not (RESULTS / f"{name}.json").is_file():
                write(name, one_run(job, seed, task, arguments))


def one_run(job: str, seed: int, task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what came of one training, with the student's own settings."""
    origin = {"factory": resolve_factory("resnet8").factory, "epochs": arguments.epochs} | TRAINING
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        (folder / "teacher").mkdir()
        env = Env(
            task=task,
            seed=seed,
            progress=PlainProgress(sys.stderr),
            scratch=folder / "scratch",
            cache=arguments.cache,
        )
        given = Teach(given=(str(arguments.teacher),), epochs=0)
        teacher = teach.run(given, {}, folder / "teacher", env)
        began = time.monotonic()
        settings = Teach(**origin) if job == "labels" else Distill(**origin, **JOBS[job])
        if isinstance(settings, Teach):
            teach.run(settings, {}, folder, env)
        else:
            distill.run(settings, {"teacher": folder / "teacher"}, folder, env)
        seconds = time.monotonic() - began
        _, student = load_network(folder)
        return {
            "job": job,
            "seed": seed,
            "data": "CIFAR-10 (JPEG)",
            "task_digest": task.digest,
            "settings": msgspec.to_builtins(settings) | {"arguments": {}},
            "threads": arguments.threads,
            "seconds": seconds,
            "teacher_validation_accuracy": teacher["validation_accuracy"],
            "validation_accuracy": accuracy_of(student, task, task.validation),
            "test_accuracy": accuracy_of(student, task, task.test),
            "test_samples": len(task.test),
        }


def summarize(_arguments: argparse.Namespace) -> None:
    """Write the table of all runs and judge the gain over labels; exit with 1 where it is too small."""
    runs = [msgspec.json.decode(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))]
    points = {(run["job"], run["seed"]): 100 * run["test_accuracy"] for run in runs}
    gains = [points["soft-targets", seed] - points["labels", seed] for seed in SEEDS]
    what = f"soft targets over labels alone, median of {len(gains)} seeds, points of test accuracy"
    table = [{"job": job, "seed": seed, "test_accuracy_percent": value} for (job, seed), value in points.items()]
    holds = write(
        "distillation",
        {"gains_points": gains, "runs": table, "epochs": runs[0]["settings"]["epochs"]},
        [at_least(what, GAIN_POINTS, statistics.median(gains))],
    )
    sys.exit(not holds)


if __name__ == "__main__":
    main()
