"""What a network can be called on the command line, and which function and which file that means; without torch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from edgekd.core.errors import ConfigError
from edgekd.core.strict import nearest

Argument = bool | int | float | str
"""What a factory can be called with: what TOML and the command line can say."""

EXPECTED: Final = "'package.module:function' or 'path/to/file.py:function'"
"""How a factory is written."""

FILE_SUFFIX: Final = ".py"


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """The function that a name means: *factory*, *arguments* that the name implies, and the user's file behind it.

    *source* is the file whose digest counts; None for a function of edgekd's own.
    """

    factory: str
    arguments: Mapping[str, Argument] = {}
    source: Path | None = None


BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dscnn": "edgekd.networks.dscnn:dscnn",
        "dscnn_kws": "edgekd.networks.dscnn_kws:dscnn_kws",
        "mobilenetv2": "edgekd.networks.mobilenetv2:mobilenetv2",
        "resnet": "edgekd.networks.resnet:resnet",
        "resnet8": "edgekd.networks.resnet_cifar:resnet8",
        "resnet18": "edgekd.networks.resnet_imagenet:resnet18",
        "resnet20": "edgekd.networks.resnet_cifar:resnet20",
        "resnet56": "edgekd.networks.resnet_cifar:resnet56",
        "vit": "edgekd.networks.vit:vit",
    }
)
"""Short names of edgekd's own networks."""

ZOOS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timm": "edgekd.networks.zoo:timm_model",
        "torchvision": "edgekd.networks.zoo:torchvision_model",
    }
)
"""Packages with many networks, and the function that makes one by its name."""


def resolve_factory(name: str) -> Resolved:
    """Return the function that *name* means.

    Takes a name from ``BUILT_IN``, ``package.module:function``, ``path/to/file.py:function`` (relative to the
    current folder, or absolute; it stays as it was given), ``torchvision:NAME`` and ``timm:NAME``. Raises
    ConfigError with the nearest name for one that is none of these, for a module or a file that is not there, and
    for a zoo that is not installed. The function itself is not looked for: that would run the user's code.
    """
    if name in BUILT_IN:
        return Resolved(factory=BUILT_IN[name])
    place, colon, function = name.rpartition(":")
    if not colon:
        message = f"network '{name}': {_near(name)}expected one of {', '.join(BUILT_IN)}, or {EXPECTED}."
        raise ConfigError(message)
    if place in ZOOS and function:
        _demand_installed(place, name)
        return Resolved(factory=ZOOS[place], arguments={"name": function})
    return Resolved(factory=name, source=source_of(name))


def source_of(factory: str) -> Path | None:
    """Return the file that defines *factory*, or None for edgekd's own; ConfigError where there is no such file."""
    place, function = split_factory(factory)
    if not function.isidentifier():
        message = f"factory '{factory}': '{function}' is no name of a function; expected {EXPECTED}."
        raise ConfigError(message)
    if place.endswith(FILE_SUFFIX):
        return file_of(factory)
    found = _module_file(factory, place)
    return None if place.split(".")[0] == "edgekd" else found


def split_factory(factory: str) -> tuple[str, str]:
    """Return the module, or the file, and the function that *factory* names; ConfigError where one is missing."""
    place, _, function = factory.rpartition(":")
    if not place or not function:
        message = f"factory '{factory}': expected {EXPECTED}."
        raise ConfigError(message)
    return place, function


def file_of(factory: str) -> Path:
    """Return the path of the file in ``path/to/file.py:function``; ConfigError where there is none."""
    path = Path(split_factory(factory)[0])
    if not path.is_file():
        there = "a folder" if path.is_dir() else "no such file"
        message = f"factory '{factory}': {path}: {there}; expected a Python file, relative to {Path.cwd()} or absolute."
        raise ConfigError(message)
    return path


def _module_file(factory: str, module: str) -> Path:
    """Return the file of *module*, which is looked for and not run (its package is); ConfigError for none."""
    reason = f"no module '{module}' can be found"
    try:
        spec = find_spec(module)
    except Exception as error:  # looking inside a package runs its __init__.py, where anything can happen
        detail = "" if isinstance(error, ModuleNotFoundError) else f" ({type(error).__name__}: {error})"
        message = f"factory '{factory}': {reason}{detail}; expected {EXPECTED}."
        raise ConfigError(message) from error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        message = f"factory '{factory}': {reason}; expected {EXPECTED}."
        raise ConfigError(message)
    return Path(spec.origin)


def _demand_installed(package: str, name: str) -> None:
    """Raise ConfigError with the command to type where *package* is not installed."""
    if find_spec(package) is None:
        message = f"network '{name}': {package} is not installed; run: pip install 'edgekd[{package}]'"
        raise ConfigError(message)


def _near(name: str) -> str:
    """Return the question after the built-in name that *name* most looks like, nothing where none comes near."""
    near = nearest(name, BUILT_IN)
    return "" if near is None else f"did you mean {near!r}? Else "
