"""Where the tables of calibrated devices are kept."""

from collections.abc import Mapping
from pathlib import Path


def tables_folder(environment: Mapping[str, str]) -> Path:
    """Return where tables are kept: ``EDGEKD_TABLES``, or the user's folder of state."""
    if given := environment.get("EDGEKD_TABLES"):
        return Path(given)
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local" / "state"
    return Path(state) / "edgekd" / "tables"


def table_file(folder: Path, name: str, threads: int) -> Path:
    """Return where the table of the target *name* is kept in *folder*."""
    return folder / f"{name}-{threads}.json"
