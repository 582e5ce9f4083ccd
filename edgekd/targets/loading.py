"""Target files found by name or path and read into Targets."""

import os
from pathlib import Path

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert, nearest, read_toml
from edgekd.targets.contradictions import require_consistent
from edgekd.targets.facts import Target
from edgekd.targets.sourcing import require_sources


def load_target(name_or_path: str) -> Target:
    """Return the target that a bundled name (``jetson-nano``) or the path of a TOML file stands for.

    What holds a path separator or ends in ``.toml`` is a path. Raises ConfigError for an unknown name, and
    for a file that is missing, malformed, has a wrong, unknown or unsourced field, or contradicts itself.
    """
    path = target_path(name_or_path)
    tables = read_toml(path)
    target = convert(tables, Target, where=str(path))
    require_consistent(target, where=str(path))
    require_sources(tables, target.sources, where=str(path))
    return target


def target_path(name_or_path: str) -> Path:
    """Return the file that a bundled name or a path stands for; ConfigError for an unknown name."""
    return Path(name_or_path) if _is_path(name_or_path) else target_file(name_or_path)


def target_names() -> tuple[str, ...]:
    """Return the names of the bundled targets in alphabetical order."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def target_file(name: str) -> Path:
    """Return the file of the bundled target *name*; ConfigError with the nearest name and all names."""
    names = target_names()
    if name not in names:
        near = nearest(name, names)
        question = f"did you mean {near!r}? " if near else ""
        message = (
            f"--target {name}: unknown target; {question}Known: {', '.join(names)}; or give the path of a TOML file."
        )
        raise ConfigError(message)
    return _folder() / f"{name}.toml"


def _is_path(name_or_path: str) -> bool:
    """Return whether the text can only be a path."""
    separators = {os.sep, os.altsep or os.sep}
    return name_or_path.endswith(".toml") or any(separator in name_or_path for separator in separators)


def _folder() -> Path:
    """Return where the bundled files are: inside an installed package, else at the top of a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "data" / "targets", package.parent / "targets"):
        if folder.is_dir():
            return folder
    message = f"{package}: holds no target files; install edgekd again."
    raise ConfigError(message)
