"""Tensors from a file of the user's into a module: nothing is unpickled, and every tensor must find its place."""

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.core.strict import nearest

SAFETENSORS: Final = ".safetensors"
CHECKPOINTS: Final = (".pt", ".pth", ".bin")
"""Ends of the files that ``torch.save`` writes."""

WRAPPERS: Final = ("state_dict", "model", "model_state_dict", "model_ema")
"""Keys under which training scripts keep the weights beside other things; the first of them that is there counts."""

_WAY_OUT: Final = "torch.save(model.state_dict(), 'weights.pt'), or a safetensors file"
_PARALLEL: Final = "module."
_FLOATS: Final = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_FORBIDDEN: Final = re.compile(r"GLOBAL (?P<name>[\w.]+)")


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors in *path*, on the CPU: a safetensors file, or a checkpoint with nothing but tensors.

    A checkpoint is a mapping of names to tensors, or one with such a mapping under one of ``WRAPPERS``. The prefix
    that DistributedDataParallel puts before all names is removed. Raises ConfigError for any other file; one that
    could only be read by running what is in it is refused unread.
    """
    if path.suffix == SAFETENSORS:
        state: Mapping[str, Tensor] = read_safetensors(path)
    elif path.suffix in CHECKPOINTS:
        state = _tensors_in(_read_checkpoint(path), path)
    else:
        message = f"{path}: expected a file of tensors that ends in {SAFETENSORS} or {', '.join(CHECKPOINTS)}."
        raise ConfigError(message)
    if not state:
        message = f"{path}: holds no tensor; expected the weights of a network."
        raise ConfigError(message)
    parallel = all(name.startswith(_PARALLEL) for name in state)
    return {name.removeprefix(_PARALLEL) if parallel else name: tensor for name, tensor in state.items()}


def load_into(module: nn.Module, path: Path) -> None:
    """Copy all tensors of the file *path* into *module*: every one it has, and no other.

    Floating-point tensors take the type that *module* has. Of several names for one tensor (tied weights) one is
    enough. Raises ConfigError that names the first tensor that is missing, left over, of another shape, not finite,
    or given twice with different values; *module* is then as it was.
    """
    expected, found = module.state_dict(), load_state(path)
    found |= _tied(expected, found)
    problems = {
        "missing": [name for name in expected if name not in found],
        "left over": [name for name in found if name not in expected],
        "of another shape": [name for name in expected if name in found and found[name].shape != expected[name].shape],
    }
    if any(problems.values()):
        message = f"{path}: {_first(problems, expected, found)} {_counts(problems, len(expected))}"
        raise ConfigError(message)
    ready = {name: _converted(found[name], tensor, f"{path}: {name}") for name, tensor in expected.items()}
    _demand_agreement(expected, ready, path)
    module.load_state_dict(ready)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in the safetensors file *path*; ConfigError where it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        message = f"{path}: cannot be read as safetensors ({error})."
        raise ConfigError(message) from error


def described(tensor: Tensor) -> str:
    """Return the type and the shape of *tensor* in words."""
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _read_checkpoint(path: Path) -> Any:  # noqa: ANN401 - a file of the user's can hold anything
    """Return what ``torch.save`` wrote, if that is tensors and plain containers; ConfigError otherwise."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of what it then refuses
            return torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error}); check the path."
        raise ConfigError(message) from error
    except Exception as error:  # a damaged file makes torch raise a dozen unrelated types
        forbidden = _FORBIDDEN.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if forbidden is None:
            message = f"{path}: cannot be read as a PyTorch checkpoint of tensors; expected {_WAY_OUT}."
            raise ConfigError(message) from error
        message = (
            f"{path}: holds more than tensors ({forbidden['name']}), and reading that would run code that is in the "
            f"file. If you trust it, load it yourself and save the tensors alone: {_WAY_OUT}."
        )
        raise ConfigError(message) from error


def _tensors_in(content: Any, path: Path) -> Mapping[str, Tensor]:  # noqa: ANN401 - a file of the user's
    """Return the mapping of names to tensors in *content*; ConfigError that says what is there instead."""
    inner = [content.get(key) for key in WRAPPERS] if _is_mapping(content) else []
    state = next(filter(_is_mapping, inner), content)
    if not _is_mapping(state):
        message = f"{path}: holds a {type(content).__name__}; expected a mapping of names to tensors ({_WAY_OUT})."
        raise ConfigError(message)
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            message = (
                f"{path}: {name!r} is a {type(value).__name__}; expected tensors only, alone or under one of "
                f"{', '.join(WRAPPERS)} ({_WAY_OUT})."
            )
            raise ConfigError(message)
    return state


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether *value* has names for what it holds."""
    return isinstance(value, Mapping)


def _tied(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of names that are missing from *found* but for which another name stands there."""
    return {
        name: next(found[other] for other in names if other in found)
        for names in _tied_names(expected)
        for name in names
        if name not in found and any(other in found for other in names)
    }


def _tied_names(state: Mapping[str, Tensor]) -> Iterable[list[str]]:
    """Return the groups of names that *state* has for one tensor."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in state.items():
        key = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
        groups.setdefault(key if tensor.numel() else (name,), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _demand_agreement(expected: Mapping[str, Tensor], ready: Mapping[str, Tensor], path: Path) -> None:
    """Raise ConfigError where the names of one tensor have different values: only one could be kept."""
    for first, *others in _tied_names(expected):
        for other in others:
            if not torch.equal(ready[first], ready[other]):
                message = f"{path}: {first} and {other} differ; in the network they are one tensor."
                raise ConfigError(message)


def _converted(found: Tensor, expected: Tensor, where: str) -> Tensor:
    """Return *found* in the type of *expected*; ConfigError for integers in place of floats, NaN and infinities."""
    if found.dtype != expected.dtype and not {found.dtype, expected.dtype} <= _FLOATS:
        message = f"{where}: {described(found)}; the network has {described(expected)}."
        raise ConfigError(message)
    tensor = found.to(expected.dtype)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        count = int((~torch.isfinite(tensor)).sum())
        message = f"{where}: {count} of {tensor.numel()} values are NaN or infinite; these weights are damaged."
        raise ConfigError(message)
    return tensor


def _first(problems: Mapping[str, list[str]], expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Return a sentence about the first problem: what the network has, what the file has, the nearest name."""
    kind, names = next((kind, names) for kind, names in problems.items() if names)
    name = names[0]
    if kind == "of another shape":
        return f"{name}: {described(found[name])}; the network has {described(expected[name])}."
    here, there, missing_from = (expected, found, "the file") if kind == "missing" else (found, expected, "the network")
    near = nearest(name, [other for other in there if other not in here])
    hint = f"; the nearest name there is {near!r}" if near else ""
    return f"{name}: {described(here[name])} is not in {missing_from}{hint}."


def _counts(problems: Mapping[str, list[str]], total: int) -> str:
    """Return how many tensors have which problem."""
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in problems.items())
    return f"Of the network's {total} tensors and the file's: {counts}."
