"""Structural edits: what pruning and factorizing did to a module, as data that can be applied again."""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from torch import nn

from edgekd.core.errors import ConfigError, StageError
from edgekd.networks.factor import factorize_layer

Size = int | tuple[int, ...]
Length = Annotated[int, Meta(ge=0)]


class Resize(msgspec.Struct, frozen=True, kw_only=True, tag="resize", forbid_unknown_fields=True):
    """Module *path* has these integer attributes and these tensor shapes (its own, not its children's)."""

    path: str
    attributes: Mapping[str, Size]
    shapes: Mapping[str, tuple[Length, ...]]


class Factorize(msgspec.Struct, frozen=True, kw_only=True, tag="factorize", forbid_unknown_fields=True):
    """The linear or 1x1 convolution layer *path* is two such layers with *rank* channels between."""

    path: str
    rank: Annotated[int, Meta(ge=1)]


Edit = Resize | Factorize


def apply_edits(module: nn.Module, edits: Sequence[Edit]) -> None:
    """Change *module* in place, edit by edit. New tensors hold zeros: load the saved ones after.

    Raises ConfigError for a path, a size or a tensor that the module does not have.
    """
    for edit in edits:
        target = _submodule(module, edit.path)
        if isinstance(edit, Resize):
            _resize(target, edit)
        else:
            replace_module(module, edit.path, factorize_layer(target, rank=edit.rank))


def resizes_between(before: nn.Module, after: nn.Module) -> tuple[Resize, ...]:
    """Return the edits that turn *before*'s structure into *after*'s; both have the same module paths.

    Compares every module's integer attributes and the shapes of its own parameters and buffers. Raises
    StageError when modules came or went, or when a buffer that is not saved changed: neither can be rebuilt.
    """
    old, new = dict(before.named_modules()), dict(after.named_modules())
    if old.keys() != new.keys():
        message = f"module paths differ: {sorted(old.keys() ^ new.keys())}; only sizes may change between the two."
        raise StageError(message)
    edits = (_resize_between(path, old[path], new[path]) for path in new)
    return tuple(edit for edit in edits if edit is not None)


def replace_module(module: nn.Module, path: str, new: nn.Module) -> None:
    """Put *new* in the place of the submodule *path*."""
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, new)


def structure_of(module: nn.Module) -> nn.Module:
    """Return a copy of *module* to compare with after it was cut."""
    return copy.deepcopy(module)


def _submodule(module: nn.Module, path: str) -> nn.Module:
    """Return the submodule *path*; ConfigError where there is none."""
    try:
        return module.get_submodule(path)
    except AttributeError as error:
        message = (
            f"edit of '{path}': {type(module).__name__} has no such module; "
            "name the factory that the edits were made for."
        )
        raise ConfigError(message) from error


def _resize(module: nn.Module, edit: Resize) -> None:
    """Give *module* the attributes and tensor shapes of *edit*."""
    for name, value in edit.attributes.items():
        if not _is_size(getattr(module, name, None)):
            message = f"edit of '{edit.path}': {type(module).__name__} has no size '{name}'."
            raise ConfigError(message)
        setattr(module, name, value)
    for name, shape in edit.shapes.items():
        old = getattr(module, name, None)
        if not isinstance(old, torch.Tensor):
            message = f"edit of '{edit.path}': {type(module).__name__} has no tensor '{name}'."
            raise ConfigError(message)
        new = old.new_zeros(shape)
        setattr(module, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)


def _resize_between(path: str, old: nn.Module, new: nn.Module) -> Resize | None:
    """Return what changed in one module, or None."""
    attributes = {name: value for name, value in _sizes(new).items() if _sizes(old).get(name) != value}
    old_shapes, shapes = _shapes(old), _shapes(new)
    changed = {name: shape for name, shape in shapes.items() if old_shapes.get(name) != shape}
    for name in changed.keys() & new._non_persistent_buffers_set:  # noqa: SLF001 - torch has no public name for it
        message = f"{path}.{name}: a buffer that is not saved changed its shape; register it as persistent."
        raise StageError(message)
    if not attributes and not changed:
        return None
    return Resize(path=path, attributes=attributes, shapes=changed)


def _sizes(module: nn.Module) -> dict[str, Size]:
    """Return the attributes of *module* that are integers or tuples of integers."""
    return {name: value for name, value in vars(module).items() if _is_size(value) and not name.startswith("_")}


def _is_size(value: Any) -> bool:  # noqa: ANN401 - an attribute of a user's module can be anything
    """Tell whether *value* is an integer, or a tuple of them."""
    parts = value if isinstance(value, tuple) and value else (value,)
    return all(isinstance(part, int) and not isinstance(part, bool) for part in parts)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of *module*'s own parameters and buffers."""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return {name: tuple(tensor.shape) for name, tensor in own}
