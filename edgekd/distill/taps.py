"""Tensors taken from inside a network by hooks on module paths, without a change to the user's class."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, overload

import torch
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion

_PATH: Final = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<element>[^\[\]]+)\])?")
_NEAR: Final = 3
_LISTED: Final = 12


class Taps(Sequence[Tensor]):
    """The tensors of the tapped modules in the order of their paths, as of the last forward pass."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Start empty."""
        self._paths = tuple(paths)
        self._tensors: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tensor, ...]: ...
    def __getitem__(self, index: int | slice) -> Tensor | tuple[Tensor, ...]:
        """Return what the module of path number *index* gave; ConfigError where it did not run."""
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        place = range(len(self))[index]
        if place not in self._tensors:
            message = f"tap '{self._paths[place]}': this module did not run in the forward pass; "
            raise ConfigError(message + "tap one that the network uses (fused attention skips its parts).")
        return self._tensors[place]

    def clear(self, *_: object) -> None:
        """Forget the last pass."""
        self._tensors.clear()

    def put(self, place: int, output: object, element: str | None) -> None:
        """Keep the tensor in *output* of path number *place*."""
        self._tensors[place] = _tensor_in(output, element, self._paths[place])


@contextmanager
def tapped(module: nn.Module, paths: Sequence[str]) -> Iterator[Taps]:
    """Give the outputs of *module*'s submodules at *paths*, with their graph, after each of its forward passes.

    A path is a module's name, ``layer2.0.relu``. Where the module gives a tuple, list or dict, its first tensor is
    taken; ``blocks.0.attn[1]`` takes another element, ``encoder[hidden]`` that of a key. A module that runs several
    times in one pass leaves its last output. Each pass starts by forgetting the one before, so that a module that
    was skipped never answers with an old graph. The hooks go when the block ends, also by an error.

    Under DistributedDataParallel give the network inside (``parallel.module``): it runs there, hooks and all.
    Raises ConfigError with the nearest names for a path that does not exist, and when a tensor is read whose
    module did not run. Modules that a fused kernel replaces do not run: nn.MultiheadAttention gives weights only
    with need_weights, and timm's attention runs its softmax only with fused_attn off.
    """
    modules = {name: inner for name, inner in module.named_modules(remove_duplicate=False) if name}
    taps = Taps(paths)
    with ExitStack() as hooks:
        handle = module.register_forward_pre_hook(taps.clear, prepend=True)
        hooks.callback(handle.remove)
        for place, path in enumerate(paths):
            name, element = _split(path)
            if name not in modules:
                message = f"tap '{path}': {type(module).__name__} has no such module; {_hint(name, modules)}"
                raise ConfigError(message)
            hooks.callback(_keep(modules[name], taps, place, element))
        yield taps


def shapes_at(
    module: nn.Module, paths: Sequence[str], example_inputs: tuple[Tensor, ...]
) -> tuple[tuple[int, ...], ...]:
    """Return the shapes at *paths*, batch first, from one pass over *example_inputs* without gradient.

    The pass runs in evaluation mode, so that no statistics move; each module's own mode comes back after it. Raises
    ConfigError for a path that does not exist and for one whose module does not run.
    """
    modes = {inner: inner.training for inner in module.modules()}
    try:
        with tapped(module.eval(), paths) as taps, torch.no_grad():
            module(*example_inputs)
            return tuple(tuple(tensor.shape) for tensor in taps)
    finally:
        for inner, mode in modes.items():
            inner.training = mode


def _keep(module: nn.Module, taps: Taps, place: int, element: str | None) -> Callable[[], None]:
    """Put *module*'s outputs into *taps*; return what takes the hook away."""

    def remember(_module: nn.Module, _inputs: object, output: object) -> None:
        taps.put(place, output, element)

    return module.register_forward_hook(remember).remove


def _split(path: str) -> tuple[str, str | None]:
    """Return the module's name and the element of its output that *path* asks, None for the first tensor."""
    match = _PATH.fullmatch(path)
    if match is None:
        message = f"tap '{path}': expected a module's name such as 'layer2.0', or 'blocks.0.attn[1]' for an element."
        raise ConfigError(message)
    return match["name"], match["element"]


def _tensor_in(output: object, element: str | None, path: str) -> Tensor:
    """Return the first tensor of *output*, or its *element*; ConfigError where that is none."""
    values = dict(_named(output))
    first = next((value for value in values.values() if isinstance(value, Tensor)), None)
    found = first if element is None else values.get(element)
    if not isinstance(found, Tensor):
        held = ", ".join(f"[{name}] {type(value).__name__}" for name, value in values.items())
        message = f"tap '{path}': the module gives {type(output).__name__} ({held or 'empty'}); "
        raise ConfigError(message + "expected a tensor there.")
    return found


def _named(output: object) -> Iterator[tuple[str, object]]:
    """Yield the elements of a module's output by the names that a path can use; a lone tensor is its element 0."""
    if isinstance(output, Mapping):
        yield from ((str(key), value) for key, value in output.items())
    elif isinstance(output, list | tuple):
        yield from ((str(index), value) for index, value in enumerate(output))
    else:
        yield "0", output


def _hint(name: str, modules: Mapping[str, nn.Module]) -> str:
    """Return the end of an error about a wrong *name*: the near ones, or what there is."""
    near = difflib.get_close_matches(name, modules, n=_NEAR)
    if len(near) > 1:
        return f"did you mean {', '.join(map(repr, near[:-1]))} or {near[-1]!r}?"
    if near or len(modules) <= _LISTED:
        return suggestion(name, modules)
    outermost = [known for known in modules if "." not in known]
    return f"it has {len(modules)}, the outermost are {', '.join(map(repr, outermost[:_LISTED]))}."
