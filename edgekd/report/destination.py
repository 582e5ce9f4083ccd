"""Where a bundle may be written, decided before any work."""

import tempfile
from pathlib import Path
from typing import Final

from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError

MANIFEST: Final = "manifest.json"
"""The file that makes a folder a bundle."""


def check_destination(out: Path) -> None:
    """Raise ConfigError unless a bundle can be written to *out*: nothing there, an empty folder, or an old bundle."""
    with disk_errors(out):
        if out.is_dir():
            if any(out.iterdir()) and not (out / MANIFEST).is_file():
                message = f"{out}: holds files that are not a bundle of edgekd; give an empty or new folder with --out."
                raise ConfigError(message)
        elif out.exists() or out.is_symlink():
            message = f"{out}: is not a folder; give an empty or new folder with --out."
            raise ConfigError(message)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=".edgekd-"):
            pass
