"""Where a bundle may be written, decided before any work: nothing that edgekd did not write is ever replaced."""

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError

MANIFEST: Final = "manifest.json"
"""The file that makes a folder a bundle."""


class _Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a manifest that tells a bundle from any other folder with a file of that name."""

    format: int
    precision: str
    golden: dict[str, Any]
    files: dict[str, Any]


def check_destination(out: Path, store: Path) -> None:
    """Raise ConfigError unless a bundle can be written to *out*: nothing there, an empty folder, or an old bundle.

    *out* is replaced as a whole, so it may hold neither foreign files nor *store*, and be neither the current
    folder, one that holds it, nor a mount point.
    """
    with disk_errors(out):
        place = out.resolve()
        leads_nowhere = out.is_symlink() and not out.exists()
        reason = "it is not a folder" if leads_nowhere else _reason_against(place, store.resolve())
        if reason is not None:
            message = f"{out}: {reason}; give an empty or new folder with --out."
            raise ConfigError(message)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".edgekd-"):
            pass


def _reason_against(place: Path, store: Path) -> str | None:
    """Return why *place* cannot be replaced by a bundle, or None where it can."""
    if place.is_relative_to(store) or store.is_relative_to(place):
        return f"it and the store ({store}) are one inside the other"
    if not place.exists():
        return None
    if not place.is_dir():
        return "it is not a folder"
    if Path.cwd().is_relative_to(place) or os.path.ismount(place):
        return "it is the current folder, one above it, or a mount point, which cannot be replaced"
    foreign = sorted({path.name for path in place.iterdir()} - _bundle_files(place / MANIFEST))
    return f"it holds '{foreign[0]}', which is not part of a bundle of edgekd" if foreign else None


def _bundle_files(manifest: Path) -> set[str]:
    """Return the names that *manifest* lists, with its own; none where it is not the manifest of a bundle."""
    if not manifest.is_file():
        return set()
    try:
        return {MANIFEST, *msgspec.json.decode(manifest.read_bytes(), type=_Listing).files}
    except msgspec.DecodeError:
        return set()
