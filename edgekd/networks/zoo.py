"""Networks of torchvision and timm by their names there, without pre-trained weights; the packages are extras."""

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.core.strict import nearest

_COLOURS: Final = 3


def torchvision_model(*, name: str, classes: int, channels: int = _COLOURS, **more: Any) -> nn.Module:  # noqa: ANN401 - what the network takes
    """Return torchvision's network *name* with a random start; *more* goes to torchvision as it is.

    Input (batch, 3, height, width), output (batch, classes). Raises ConfigError for a name that torchvision does
    not have, and for other than 3 *channels*, which its networks are written for.
    """
    models = _package("torchvision").models
    _demand_known(name, models.list_models(), "torchvision")
    if channels != _COLOURS:
        message = (
            f"torchvision:{name}: {channels} channels asked; torchvision's networks take {_COLOURS}. "
            f"Repeat a grey channel in the data, or take a network from timm."
        )
        raise ConfigError(message)
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **more)
    return network


def timm_model(*, name: str, classes: int, channels: int = _COLOURS, **more: Any) -> nn.Module:  # noqa: ANN401 - what the network takes
    """Return timm's network *name* with a random start; *more* goes to timm as it is.

    Input (batch, channels, height, width), output (batch, classes). Raises ConfigError for a name that timm does
    not have.
    """
    timm = _package("timm")
    _demand_known(name, timm.list_models(), "timm")
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels, **more)
    return network


def _package(name: str) -> ModuleType:
    """Return the package *name*; ConfigError with what to do where it is not there or does not load."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            message = f"{name} is not installed; run: pip install 'edgekd[{name}]'"
            raise ConfigError(message) from error
        # Its compiled part is of another build than torch, or something that it needs is missing.
        reason = str(error).strip().partition("\n")[0]
        message = f"{name} does not load beside torch {torch.__version__} ({reason}); install versions that fit."
        raise ConfigError(message) from error


def _demand_known(name: str, names: Iterable[str], package: str) -> None:
    """Raise ConfigError with the nearest one where *name* is none of *names*."""
    known = tuple(names)
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"expected one of the {len(known)} of {package}.list_models()."
        message = f"{package}:{name}: {package} has no such network; {hint}"
        raise ConfigError(message)
