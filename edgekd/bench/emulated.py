"""What a file computes on an emulated ARM core and how many instructions that takes; never how long."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from edgekd.bench.cores import core_like, core_named
from edgekd.bench.emulator import EmulationSettings, Emulator, Versions, run_emulated
from edgekd.bench.golden import GoldenFile, require_golden
from edgekd.bench.inputs import form_of, golden_samples, largest_difference, random_sample
from edgekd.bench.instructions import Instructions
from edgekd.bench.measurement import Golden
from edgekd.bench.measuring import now, require_file
from edgekd.core.digest import file_digest
from edgekd.core.errors import ConfigError
from edgekd.targets import Target

FORMAT: Final = 1
CALLS: Final = 12
"""Calls of each sample; the first packs weights and does not count."""

DEFAULT_CORE: Final = "cortex-a76"


class Emulation(msgspec.Struct, frozen=True, kw_only=True):
    """One file on one emulated core, with one thread: *instructions* of one inference, *windows* of every call.

    There is no time in it: an emulator has none. *answers* are the outputs' sizes by name.
    """

    format: int
    kind: str = "instructions"
    date: str
    model: str
    model_sha256: str
    size_bytes: int
    core: str
    versions: Versions
    instructions: Instructions
    windows: tuple[Instructions, ...]
    answers: Mapping[str, tuple[int, ...]]
    golden: Golden | None


def core_of(name: str, target: Target | None) -> str:
    """Return the core asked for, or the one of the table that is like the target's, or the default.

    Raises ConfigError for an unknown one, and for a target that no emulated core is like.
    """
    if name or target is None:
        return core_named(name or DEFAULT_CORE).name
    core = core_like(target.cluster, target.device.architecture)
    if core is None:
        message = f"{target.name}: no emulated core is like its {target.cluster.core}; name one as emulator:CORE."
        raise ConfigError(message)
    return core.name


def emulate(model: Path, core: str, emulator: Emulator, golden: GoldenFile | None) -> Emulation:
    """Return what *model* answers and takes on *core*. Raises AnswerError where the golden outputs are others."""
    require_file(model)
    form = form_of(model)
    samples, expected = (
        ((random_sample(form, 1, path=model),), None) if golden is None else golden_samples(form, golden.path)
    )
    found = run_emulated(emulator, core_named(core), model, samples, EmulationSettings(repeats=CALLS, count=True))
    checked = None
    if golden is not None and expected is not None:
        largest = largest_difference(found.outputs, expected)
        checked = Golden(samples=len(samples), largest_difference=largest, tolerance=golden.tolerance)
        require_golden(checked, subject=f"{model} on an emulated {core}")
    return Emulation(
        format=FORMAT,
        date=now(),
        model=model.name,
        model_sha256=file_digest(model),
        size_bytes=model.stat().st_size,
        core=core,
        versions=emulator.versions,
        instructions=found.instructions,
        windows=found.windows,
        answers={name: array.shape for name, array in zip(found.names, found.outputs, strict=True)},
        golden=checked,
    )
