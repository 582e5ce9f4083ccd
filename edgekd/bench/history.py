"""The local history of measurements: one file each, comparable only where the fingerprints are equal."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekd.bench.measurement import FORMAT, Measurement
from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError


def history_folder(environment: Mapping[str, str]) -> Path:
    """Return where measurements are kept: ``EDGEKD_HISTORY``, or the user's folder of state."""
    if given := environment.get("EDGEKD_HISTORY"):
        return Path(given)
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local" / "state"
    return Path(state) / "edgekd" / "history"


def remember(folder: Path, found: Measurement) -> Path:
    """Write *found* as a new file of *folder* and return its path."""
    stamp = found.date.replace(":", "").replace("-", "").partition("+")[0]
    path = folder / f"{stamp}-{found.model_sha256[:12]}.json"
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while path.exists():
            number += 1
            path = folder / f"{stamp}-{found.model_sha256[:12]}-{number}.json"
        write_atomically(path, msgspec.json.format(msgspec.json.encode(found), indent=1))
    return path


def recall(folder: Path, model_name: str) -> tuple[Measurement, ...]:
    """Return the measurements of files called *model_name* in *folder*, the oldest first.

    Raises ConfigError for a file that is no measurement, or one of another format.
    """
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            one = msgspec.json.decode(path.read_bytes(), type=Measurement)
        except msgspec.MsgspecError as error:
            message = f"{path}: not a measurement of edgekd ({error}); remove it, or give another EDGEKD_HISTORY."
            raise ConfigError(message) from error
        if one.format != FORMAT:
            message = (
                f"{path}: format {one.format}, this edgekd reads {FORMAT}; remove it, or use the edgekd that wrote it."
            )
            raise ConfigError(message)
        if one.model == model_name:
            found.append(one)
    return tuple(found)


def comparable(first: Measurement, second: Measurement) -> str | None:
    """Return why two measurements cannot be compared, a clause, or None where they can."""
    other = second.fingerprint
    differing = [
        f"{key} {value!r} and {other[key]!r}" for key, value in first.fingerprint.items() if value != other[key]
    ]
    return f"they differ in {', '.join(differing)}" if differing else None
