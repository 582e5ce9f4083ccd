"""What INT8 costs on CIFAR-10 (JPEG): fine-tuned, post-training, and by the tools that are there, on the same files.

    python benchmarks/int8_networks.py DATA TEACHER          # the float networks, once
    python benchmarks/int8_accuracy.py run DATA --ways qat --seeds 0 1 2
    python benchmarks/int8_accuracy.py summary

Each run writes a file of its own, and a run that is there is not made again. Every file is judged on the 10,000 test
images in the same arithmetic: ONNX Runtime with optimizations off. Seeds are those of the float network's training and
of the quantization. ``quantize_static`` and ``nncf`` calibrate on the same images as edgekd; nncf needs an environment
of its own, whose Python is given with ``--nncf-python``.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import torch
from int8_networks import CACHE, NETWORKS, SEEDS, cifar10, network_folder
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from recording import RESULTS, at_least, at_most, write

from edgekd.core.progress import PlainProgress
from edgekd.networks.layout import GRAPH
from edgekd.networks.session import answers, open_session
from edgekd.quantize.placement import PLACEMENTS
from edgekd.quantize.ptq import assembled, prepared
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.recipe import PostTraining
from edgekd.quantize.samples import read
from edgekd.stages import quantize
from edgekd.stages.settings import Quantize
from edgekd.stages.stage import Env
from edgekd.tasks.task import Task

FOLDER: Final = RESULTS / "int8_accuracy"
CALIBRATION: Final = 512
QAT_POINTS: Final = 0.3
PTQ_POINTS: Final = 0.8
AUGMENTATION: Final[Mapping[str, Any]] = MappingProxyType(
    {"crop": 4, "flip": True, "shift": 0.0, "rotation": 0.0, "scale": 0.0, "shear": 0.0}
)

Way = Callable[[Path, Path, Env, argparse.Namespace], dict[str, Any]]
"""``way(float_folder, out, env, arguments)`` writes ``out / graph.onnx`` and returns what is known of it."""


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="make the runs that are not there yet")
    run.add_argument("data", type=Path, help="folder with train/ and test/, one folder for each class in them")
    run.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    run.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    run.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--cache", type=Path, default=CACHE)
    run.add_argument("--nncf-python", type=Path, help="the interpreter of an environment with nncf")
    run.add_argument("--set", nargs="*", default=[], help="settings of quantize for a trial, which is not written")
    run.set_defaults(do=make_runs)
    commands.add_parser("summary", help="judge the runs that are there").set_defaults(do=summarize)
    arguments = parser.parse_args()
    arguments.do(arguments)


def make_runs(arguments: argparse.Namespace) -> None:
    """Make each run whose file is not there."""
    torch.set_num_threads(arguments.threads)
    task = cifar10(arguments.data, arguments.cache)
    for seed in arguments.seeds:
        for network in arguments.networks:
            for way in arguments.ways:
                name = f"int8_accuracy/{network}-{way}-seed{seed}"
                if arguments.set or not (RESULTS / f"{name}.json").is_file():
                    found = one_run(network, way, seed, task, arguments)
                    print(name, found["drop_points"], found["known"])
                    if not arguments.set:
                        write(name, found)


def one_run(network: str, way: str, seed: int, task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what one way makes of one network."""
    source = network_folder(arguments.cache, network, seed)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        (out / "scratch").mkdir()
        env = Env(
            task=task, seed=seed, progress=PlainProgress(sys.stderr), scratch=out / "scratch", cache=arguments.cache
        )
        began = time.monotonic()
        known = WAYS[way](source, out, env, arguments)
        seconds = time.monotonic() - began
        before, after = (test_accuracy(path / GRAPH, task) for path in (source, out))
        sizes = [(path / GRAPH).stat().st_size for path in (source, out)]
    return {
        "network": network,
        "way": way,
        "seed": seed,
        "data": "CIFAR-10 (JPEG)",
        "task_digest": task.digest,
        "threads": arguments.threads,
        "seconds": seconds,
        "known": known,
        "test_samples": len(task.test),
        "float_test_accuracy": before,
        "int8_test_accuracy": after,
        "drop_points": 100 * (before - after),
        "float_bytes": sizes[0],
        "int8_bytes": sizes[1],
    }


def test_accuracy(path: Path, task: Task) -> float:
    """Return the part of the test images that the file names rightly, optimizations off."""
    found = answers(open_session(path, arithmetic="reference"), task.batches(task.test))
    return float((found.argmax(1) == task.test.targets).mean())


def fine_tuned(source: Path, out: Path, env: Env, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune with edgekd: one epoch, taught by the float network."""
    given: dict[str, Any] = dict(assignment.split("=", 1) for assignment in arguments.set)
    fields: dict[str, Any] = {"epochs": 1, "schedule": "cosine", "warmup": 0.05} | given
    settings = msgspec.convert(fields | dict(AUGMENTATION), Quantize, strict=False)
    record = quantize.run(settings, {"student": source, "uncompressed": source}, out, env)
    return {"settings": msgspec.to_builtins(settings), "record": record}


def post_training(source: Path, out: Path, env: Env, _arguments: argparse.Namespace) -> dict[str, Any]:
    """Quantize with edgekd's post-training quantization and its defaults."""
    settings = PostTraining(samples=CALIBRATION, seed=env.seed)
    ready = prepared(
        onnx.load(source / GRAPH),
        PLACEMENTS["onnxruntime-arm64"],
        settings,
        calibration=read(env.task, env.task.train, count=CALIBRATION),
        judging=read(env.task, env.task.validation, count=CALIBRATION),
    )
    tuned = assembled(ready)
    onnx.save(write_qdq(tuned.model, tuned.places, tuned.encodings), out / GRAPH)
    return {"settings": msgspec.to_builtins(settings), "trials": msgspec.to_builtins(ready.trials)}


class Images(CalibrationDataReader):  # type: ignore[misc]  # it comes without types
    """The calibration images, 64 at a time, under the name of the network's input."""

    def __init__(self, task: Task, name: str) -> None:
        """Read the first training images of *task*."""
        images = task.read(task.train, slice(0, CALIBRATION))[0]
        self._batches = iter([{name: images[start : start + 64]} for start in range(0, CALIBRATION, 64)])

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)


def by_quantize_static(source: Path, out: Path, env: Env, _arguments: argparse.Namespace) -> dict[str, Any]:
    """Quantize with ONNX Runtime's own tool and its defaults (QDQ)."""
    name = onnx.load(source / GRAPH).graph.input[0].name
    quantize_static(source / GRAPH, out / GRAPH, Images(env.task, name))
    return {}


def by_nncf(source: Path, out: Path, env: Env, arguments: argparse.Namespace) -> dict[str, Any]:
    """Quantize with NNCF's post-training quantization and its defaults, in its own environment."""
    if arguments.nncf_python is None:
        message = "nncf needs --nncf-python, an interpreter of an environment that has nncf, onnx and onnxruntime"
        raise SystemExit(message)
    images = out / "images.npy"
    np.save(images, env.task.read(env.task.train, slice(0, CALIBRATION))[0])
    script = Path(__file__).with_name("nncf_ptq.py")
    command = [str(arguments.nncf_python), str(script), str(source / GRAPH), str(images), str(out / GRAPH)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"versions": msgspec.json.decode(done.stdout.splitlines()[-1])}


WAYS: Final[Mapping[str, Way]] = MappingProxyType(
    {"qat": fine_tuned, "ptq": post_training, "quantize_static": by_quantize_static, "nncf": by_nncf}
)


def summarize(_arguments: argparse.Namespace) -> None:
    """Write the table of all runs and judge it; exit with 1 where a promise is missed."""
    runs = [msgspec.json.decode(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))]
    shown = ("network", "way", "seed", "float_test_accuracy", "drop_points")
    table = [{key: run[key] for key in shown} for run in runs]
    median = {
        (network, way): statistics.median(r["drop_points"] for r in runs if (r["network"], r["way"]) == (network, way))
        for network in NETWORKS
        for way in {run["way"] for run in runs}
    }
    promises = []
    for network in NETWORKS:
        promises.append(at_most(f"{network}: points lost by QAT, median of seeds", QAT_POINTS, median[network, "qat"]))
        promises.append(at_most(f"{network}: points lost by PTQ, median of seeds", PTQ_POINTS, median[network, "ptq"]))
        for way in ("quantize_static", "nncf"):
            kept = _kept_over(way, network, runs)
            what = f"{network}: points that edgekd's PTQ keeps over {way} on the same file, median of {len(kept)}"
            promises.append(at_least(what, 0.0, statistics.median(kept)))
    holds = write("int8_accuracy", {"runs": table}, promises)
    sys.exit(not holds)


def _kept_over(way: str, network: str, runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return by how many points fewer edgekd's PTQ loses than *way*, for each float network that both quantized."""
    drops = {(run["way"], run["seed"]): run["drop_points"] for run in runs if run["network"] == network}
    return [drops[way, seed] - drops["ptq", seed] for seed in SEEDS if (way, seed) in drops and ("ptq", seed) in drops]


if __name__ == "__main__":
    main()
