"""Names of files that may be written into reports and requests, which are UTF-8."""

from pathlib import Path

from edgekd.core.errors import ConfigError


def require_utf8(path: Path) -> None:
    """Raise ConfigError where the name of *path* is bytes that are no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        message = f"{str(path)!a}: this name is not UTF-8, so no result could hold it; give the file another name."
        raise ConfigError(message) from error
