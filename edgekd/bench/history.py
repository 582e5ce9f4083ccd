"""The local history of measurements: one file each, comparable only where the fingerprints are equal."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edgekd.bench.device_errors import ComparisonError
from edgekd.bench.measurement import FORMAT, Measurement
from edgekd.core.disk import disk_errors, write_atomically


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every format of a measurement has."""

    format: int


def history_folder(environment: Mapping[str, str]) -> Path:
    """Return where measurements are kept: ``EDGEKD_HISTORY``, or the user's folder of state."""
    if given := environment.get("EDGEKD_HISTORY"):
        return Path(given)
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local" / "state"
    return Path(state) / "edgekd" / "history"


def remember(folder: Path, found: Measurement) -> Path:
    """Write *found* as a new file of *folder* and return its path."""
    stamp = found.date.replace(":", "").replace("-", "").partition("+")[0]
    name = f"{stamp}-{found.model_sha256[:12]}"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Numbered in any case: those of one second are then in their order too.
        path = next(one for number in itertools.count(1) if not (one := folder / f"{name}-{number:03d}.json").exists())
        write_atomically(path, msgspec.json.format(msgspec.json.encode(found), indent=1))
    return path


def recall(folder: Path, model_name: str) -> tuple[Measurement, ...]:
    """Return the measurements of files called *model_name* in *folder*, the oldest first; raises as ``recall_all``."""
    return tuple(one for one in recall_all(folder) if one.model == model_name)


def recall_all(folder: Path) -> tuple[Measurement, ...]:
    """Return the measurements in *folder*, the oldest first.

    Raises ComparisonError for a file that is no measurement, or one of another format.
    """
    return tuple(map(read_measurement, sorted(folder.glob("*.json")) if folder.is_dir() else ()))


def read_measurement(path: Path) -> Measurement:
    """Return the measurement in the file *path*. Raises ComparisonError where it is none or of another format."""
    try:
        text = path.read_bytes()
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            message = f"{path}: format {head.format}, {FORMAT} was expected; move it away, or use the edgekd of then."
            raise ComparisonError(message)
        found = msgspec.json.decode(text, type=Measurement)
    except OSError as error:
        message = f"{path}: {error.strerror}; give the JSON file of a measurement."
        raise ComparisonError(message) from error
    except msgspec.MsgspecError as error:
        message = f"{path}: not a measurement of edgekd ({error}); move it away, or give another EDGEKD_HISTORY."
        raise ComparisonError(message) from error
    if not _is_sound(found):
        message = f"{path}: not a measurement of edgekd (it lacks samples, or they are no times); move it away."
        raise ComparisonError(message)
    return found


def _is_sound(found: Measurement) -> bool:
    """Tell whether *found* holds samples that are times, with the moment of each, and who ran it."""
    samples = found.run.samples_ms
    are_times = all(0 < taken < math.inf for taken in samples)
    return bool(samples and found.run.providers) and are_times and len(found.run.started_ms) == len(samples)


def comparable(first: Measurement, second: Measurement) -> str | None:
    """Return why two measurements cannot be compared, a clause, or None where they can."""
    for one in (first, second):
        if one.refused is not None:
            return f"in the one of {one.date} {one.refused}"
    other = second.fingerprint
    differing = [
        f"{key} {value!r} and {other[key]!r}" for key, value in first.fingerprint.items() if value != other[key]
    ]
    return f"they differ in {', '.join(differing)}" if differing else None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The *ratio* of the medians, a later one over that of *before*, or why there is none."""

    before: str
    ratio: float | None = None
    refused: str | None = None


def compared(path: Path, before: Measurement, after: Measurement) -> Comparison:
    """Return the comparison of *after* with *before*, which was read from *path*."""
    if (why := comparable(before, after)) is not None:
        return Comparison(before=str(path), refused=why)
    medians = [float(np.median(one.run.samples_ms)) for one in (before, after)]
    return Comparison(before=str(path), ratio=medians[1] / medians[0])


def require_compared(comparison: Comparison) -> None:
    """Raise ComparisonError where there is no ratio."""
    if comparison.refused is not None:
        message = (
            f"{comparison.before}: cannot be compared with this measurement: {comparison.refused}; measure both alike."
        )
        raise ComparisonError(message)
