"""Train the float networks that the INT8 benchmarks quantize: ResNet-20 and MobileNetV2 on CIFAR-10 (JPEG), by seed.

    python benchmarks/int8_networks.py DATA TEACHER --seeds 0 1 2

A network that is in the cache is not trained again; ``benchmarks/int8_accuracy.py`` reads them there.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import torch

from edgekd.core.progress import PlainProgress
from edgekd.networks.catalog import resolve_factory
from edgekd.stages import distill, teach
from edgekd.stages.settings import Distill, Teach
from edgekd.stages.stage import Env
from edgekd.tasks.load import load_task
from edgekd.tasks.source import Data
from edgekd.tasks.task import Task

CACHE: Final = Path(tempfile.gettempdir()) / "edgekd-benchmark-cache"
SEEDS: Final = (0, 1, 2)

TRAINING: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "lr": 0.1,
        "weight_decay": 5e-4,
        "schedule": "one-cycle",
        "temperature": 4.0,
        "alpha": 0.9,
        "crop": 4,
        "flip": True,
        "shift": 0.0,
        "rotation": 0.0,
        "scale": 0.0,
        "shear": 0.0,
    }
)

NETWORKS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "resnet20": {"epochs": 3},
        "mobilenetv2": {"epochs": 3, "arguments": {"width": 0.5, "stem_stride": 1}},
    }
)
"""Each network, and what its training has of its own. MobileNetV2 has half the channels, for images of 32 pixels."""


def main() -> None:
    """Train what is not there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with train/ and test/, one folder for each class in them")
    parser.add_argument("teacher", type=Path, help="the ONNX teacher")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = cifar10(arguments.data, arguments.cache)
    for seed in arguments.seeds:
        for name in arguments.networks:
            if not network_folder(arguments.cache, name, seed).is_dir():
                train(name, seed, task, arguments)


def network_folder(cache: Path, name: str, seed: int) -> Path:
    """Return where the trained network lies."""
    return cache / "networks" / f"{name}-seed{seed}"


def cifar10(data: Path, cache: Path) -> Task:
    """Return CIFAR-10 (JPEG), normalized as the teacher wants it; a tenth of the training images validates."""
    source = Data(source=f"folder:{data}", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return load_task(source, cache=cache / "data", progress=PlainProgress(sys.stderr))


def train(name: str, seed: int, task: Task, arguments: argparse.Namespace) -> None:
    """Distill one network from the teacher and put it, whole, in the cache."""
    final = network_folder(arguments.cache, name, seed)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent) as scratch:
        folder = Path(scratch)
        for part in ("scratch", "teacher", "student"):
            (folder / part).mkdir()
        env = Env(
            task=task,
            seed=seed,
            progress=PlainProgress(sys.stderr),
            scratch=folder / "scratch",
            cache=arguments.cache,
        )
        teach.run(Teach(given=(str(arguments.teacher),), epochs=0), {}, folder / "teacher", env)
        settings = Distill(factory=resolve_factory(name).factory, **TRAINING, **NETWORKS[name])
        record = distill.run(settings, {"teacher": folder / "teacher"}, folder / "student", env)
        (folder / "student" / "record.json").write_bytes(
            msgspec.json.encode({"seed": seed, "settings": settings, "record": record})
        )
        (folder / "student").rename(final)
    print(f"{name} seed {seed}: {record['validation_accuracy']:.4f} of the validation images")


if __name__ == "__main__":
    main()
