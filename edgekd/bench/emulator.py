"""Real aarch64 kernels without a device: ONNX Runtime for ARM, run by QEMU on a core of choice.

It answers what an ONNX file computes there and how many instructions that takes. How long it takes on a device it
cannot say: nothing here is a latency. tools/arm-emulation/setup makes what this needs.
"""

import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from edgekd.bench.cores import Core, write_root
from edgekd.bench.instructions import Instructions, read_windows, steady
from edgekd.bench.raw_tensors import AnyArrays, RawTensor, parse_description, read_outputs, write_samples
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError, EdgekdError, StageError

_SETUP: Final = "run tools/arm-emulation/setup from a checkout of edgekd (it needs Debian or Ubuntu on x86-64)"

_QEMU: Final = "qemu-aarch64"
_RUNNER: Final = "run_model"
_PLUGIN: Final = "count_instructions.so"
_LIBRARIES: Final = "root"
_VERSIONS: Final = "versions.json"


class Versions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the set-up wrote down: versions, and whether this QEMU takes the plugin that counts."""

    onnxruntime: str
    qemu: str
    counts: bool


class Emulator(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that was found complete."""

    folder: Path
    versions: Versions


class EmulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is run.

    *optimize*: all of ONNX Runtime's graph optimizations, or none. *repeats*: calls of the model for each sample.
    *count*: count instructions, in one window for each call. *save_optimized* receives the graph after optimization.
    *config*: session entries, such as ``session.qdqisint8allowed``. *timeout_seconds* is for the whole run.
    """

    optimize: bool = True
    repeats: int = 1
    count: bool = False
    save_optimized: Path | None = None
    config: Mapping[str, str] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    timeout_seconds: float = 600.0


DEFAULTS: Final = EmulationSettings()


class Emulated(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a model answered on one core.

    *outputs*, in the model's order and with its element types: all samples joined along the first axis, (n, ...).
    *windows*: the instructions of each call, raw and in their order; empty when they were not counted.
    """

    core: Core
    names: tuple[str, ...]
    outputs: AnyArrays
    windows: tuple[Instructions, ...]

    @property
    def instructions(self) -> Instructions:
        """Return one inference's instructions. Raises StageError where too few windows were counted."""
        return steady(self.windows)


def emulator_folder(environment: Mapping[str, str]) -> Path:
    """Return where tools/arm-emulation/setup puts the emulator when it is given no other folder."""
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/")) / ".cache"
    return Path(cache) / "edgekd" / "arm-emulation"


def find_emulator(folder: Path) -> Emulator:
    """Return the emulator in *folder*. Raises ConfigError, with what to do, where it is missing or incomplete."""
    for name in (_VERSIONS, _QEMU, _RUNNER, _LIBRARIES):
        if not (folder / name).exists():
            message = f"{folder}: no complete ARM emulator there ({name} is missing); {_SETUP}."
            raise ConfigError(message)
    try:
        versions = msgspec.json.decode((folder / _VERSIONS).read_bytes(), type=Versions)
    except msgspec.MsgspecError as error:
        message = f"{folder / _VERSIONS}: not what the set-up writes ({error}); {_SETUP}."
        raise ConfigError(message) from error
    return Emulator(folder=folder.resolve(), versions=versions)


def emulator_if_set_up(folder: Path) -> Emulator | None:
    """Return the emulator in *folder*, or None where nothing was set up; ConfigError where it is incomplete."""
    return find_emulator(folder) if folder.exists() else None


def run_emulated(
    emulator: Emulator,
    core: Core,
    model: Path,
    samples: Sequence[AnyArrays],
    settings: EmulationSettings = DEFAULTS,
) -> Emulated:
    """Return what *model* answers to *samples* on *core*: one process, one thread, however many samples.

    A sample is a tuple of arrays in the order of the model's inputs, each with the shape that the file states, whose
    first size counts as 1 where it is free. Outputs may be of any plain element type and need no declared shape, but
    must keep theirs from sample to sample.

    Raises ConfigError where the file cannot be loaded on that core or does not take these samples, and StageError
    where it loads but cannot be run to its end.
    """
    if settings.count and not emulator.versions.counts:
        message = (
            f"{emulator.folder}: its QEMU {emulator.versions.qemu} takes no plugins, so it cannot count instructions; "
            f"install the qemu-user of Debian 12 and run tools/arm-emulation/setup again."
        )
        raise ConfigError(message)
    with tempfile.TemporaryDirectory(prefix="edgekd-emulator-") as temporary, disk_errors(Path(temporary)):
        scratch = Path(temporary)
        write_root(core, emulator.folder / _LIBRARIES, scratch / "root")
        inputs = write_samples(samples, scratch / "samples")
        command = _qemu(emulator, core, settings) + _runner(emulator, model, inputs, settings)
        described = parse_description(_answer(command, scratch, _Subject(emulator, core, model), settings))
        outputs = read_outputs(scratch / "outputs", tuple(kind for _, kind in described), len(samples))
        if settings.save_optimized is not None:
            write_atomically(settings.save_optimized, (scratch / "optimized.onnx").read_bytes())
        windows = read_windows((scratch / "counts.json").read_bytes()) if settings.count else ()
    return Emulated(core=core, names=tuple(name for name, _ in described), outputs=outputs, windows=windows)


class _Subject(msgspec.Struct, frozen=True):
    """What a message is about."""

    emulator: Emulator
    core: Core
    model: Path

    def __str__(self) -> str:
        """Return the beginning of a sentence, without its verb."""
        return f"{self.model}: ONNX Runtime {self.emulator.versions.onnxruntime} on an emulated {self.core.name}"


def _qemu(emulator: Emulator, core: Core, settings: EmulationSettings) -> list[str]:
    """Return QEMU with its options; the paths of a run are relative to its scratch folder."""
    plugin = str(emulator.folder / _PLUGIN).replace(",", ",,")  # QEMU's way to write a comma inside a value
    return [
        str(emulator.folder / _QEMU),
        *("-cpu", core.qemu_cpu, "-L", "root"),
        *(("-plugin", f"{plugin},out=counts.json") if settings.count else ()),
    ]


def _runner(emulator: Emulator, model: Path, inputs: Sequence[RawTensor], settings: EmulationSettings) -> list[str]:
    """Return the program under QEMU with its options."""
    save = ("--save-optimized", "optimized.onnx") if settings.save_optimized is not None else ()
    return [
        str(emulator.folder / _RUNNER),
        *("--model", str(model.resolve()), "--samples", "samples", "--outputs", "outputs"),
        *("--level", "99" if settings.optimize else "0", "--repeats", str(settings.repeats), *save),
        *(word for kind in inputs for word in ("--input", str(kind))),
        *(word for key, value in settings.config.items() for word in ("--config", f"{key}={value}")),
    ]


def _answer(command: Sequence[str], scratch: Path, subject: _Subject, settings: EmulationSettings) -> bytes:
    """Return what *command* prints. Raises the error that its end stands for.

    The environment is empty, so that counts do not depend on it; a core that is dumped falls into the scratch folder.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, and no shell that could read them otherwise
            command, cwd=scratch, env={}, capture_output=True, check=False, timeout=settings.timeout_seconds
        )
    except subprocess.TimeoutExpired as error:
        message = f"{subject} gave no answer within {settings.timeout_seconds:g} s; allow more, or fewer samples."
        raise StageError(message) from error
    if done.returncode != 0:
        raise _failure(subject, done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout


def _failure(subject: _Subject, code: int, stderr: str) -> EdgekdError:
    """Return the error for a run that ended with *code*; negative ones are signals."""
    if code < 0:
        name = signal.Signals(-code).name
        why = "it used an instruction that this core does not have" if name == "SIGILL" else "it crashed"
        return StageError(f"{subject} was stopped by {name}: {why}.")
    said = next((line.strip() for line in stderr.splitlines() if line.strip()), "no reason was given").rstrip(".")
    kind, what = _ENDS.get(code, (StageError, f"ended with {code}"))
    return kind(f"{subject} {what}: {said}.")


_ENDS: Final[Mapping[int, tuple[type[EdgekdError], str]]] = MappingProxyType(
    {
        2: (ConfigError, "cannot take these samples or settings"),
        3: (ConfigError, "cannot load it"),
        4: (StageError, "cannot run it"),
        5: (StageError, "cannot finish"),
    }
)
"""By the runner's exit code (``enum exit_code`` in run_model.c)."""
