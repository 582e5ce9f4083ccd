"""The parity ladder of an INT8 file as a command climbs it: test images, down to a core like the target's."""

from pathlib import Path

from edgekd.bench.cores import core_like
from edgekd.bench.emulator import emulator_if_set_up
from edgekd.stages.parity import Ladder, climb, demand_parity
from edgekd.stages.result import PARITY_SAMPLES
from edgekd.targets import Target
from edgekd.tasks.task import Task


def proved(path: Path, task: Task, target: Target, emulator: Path | None) -> Ladder:
    """Return the ladder of the INT8 file at *path*, with a rung on the emulated core where *emulator* was set up.

    Agreement is no choice, so test data may take part. Raises ParityError where a rung of integer arithmetic leaves the
    network that was tuned.
    """
    images = task.read(task.test, slice(0, PARITY_SAMPLES))
    core = core_like(target.cluster, target.device.architecture)
    found = None if emulator is None else emulator_if_set_up(emulator)
    ladder = climb(path, images, emulator=found, cores=[] if core is None else [core])
    demand_parity(ladder, path)
    return ladder
