"""What a stage is to the pipeline: two functions over folders."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from edgekd.core.progress import Progress
from edgekd.stages.settings import Kind, Settings
from edgekd.tasks.task import Task
from edgekd.train.distributed import World

Inputs = Mapping[Kind, Path]
Record = dict[str, Any]


class Env(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What every stage may read and none may change.

    *scratch* outlives a killed run; *cache* is shared by all runs of a store. *device* is where training runs, in a
    distributed run as process *world* of several.
    """

    task: Task
    seed: int
    progress: Progress
    scratch: Path
    cache: Path
    device: torch.device = torch.device("cpu")
    world: World = World()


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """*run* writes its result to a folder and returns what is known of it; *ensures* checks the promise after.

    ``run(settings, inputs, out, env) -> record`` and ``ensures(settings, inputs, out, env)``, which raises
    StageError. *inputs* holds one result folder for each kind that the settings' declaration takes.
    """

    run: Callable[[Any, Inputs, Path, Env], Record]
    ensures: Callable[[Any, Inputs, Path, Env], None]


__all__ = ["Env", "Inputs", "Kind", "Record", "Settings", "Stage"]
