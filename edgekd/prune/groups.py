"""Groups of channels that must be removed together, found by torch-pruning's dependency graph."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch
import torch_pruning as tp
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.networks.answer import outputs_of


class Member(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One layer's part in a group: its channel ``channels[i]`` goes when the group's ``roots[i]`` goes.

    *is_input* tells whether the layer's input channels are meant, or its output channels.
    """

    layer: nn.Module
    path: str
    is_input: bool
    channels: Tensor
    roots: Tensor

    @property
    def dimension(self) -> int:
        """Return the dimension of the layer's weight that the channels are on: a transposed convolution swaps them."""
        return int(self.is_input != bool(getattr(self.layer, "transposed", False)))


class ChannelGroup(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """*channels* channels coupled over all *members*; *cut* removes those named by their root index."""

    name: str
    channels: int
    members: tuple[Member, ...]
    cut: Callable[[Sequence[int]], None]


def channel_groups(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[ChannelGroup, ...]:
    """Return every group of *module* whose channels can go without changing the shape of its output.

    *example* is one batch of its inputs, traced with gradients on. Channels of a grouped convolution stay: those of a
    depthwise one go, but any other needs the same channels of each of its groups to go, which no group here says.
    Raises StageError where tracing fails.
    """
    module.eval()
    try:
        with torch.enable_grad():
            graph = tp.DependencyGraph().build_dependency(
                module, example_inputs=example, forward_fn=_forward, verbose=False
            )
    except (RuntimeError, ValueError, TypeError) as error:
        message = f"prune: {type(module).__name__} cannot be traced: {error}."
        raise StageError(message) from error
    paths = {layer: path for path, layer in module.named_modules()}
    groups = graph.get_all_groups(root_module_types=[nn.Conv1d, nn.Conv2d, nn.Linear])
    return tuple(
        _channel_group(graph, group, paths)
        for group in groups
        if not (_reaches_output(group) or any(_is_grouped(item.dep.target.module) for item in group))
    )


def _forward(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the outputs for the whole batch; left alone, torch-pruning tries each sample as an argument first.

    Each ends in an operation of its own: an output that the network reads on would look like any value inside it.
    """
    return tuple(output * 1 for output in outputs_of(module, example))


def _reaches_output(group: Any) -> bool:  # noqa: ANN401 - torch-pruning has no types
    """Tell whether a member's output channels are the network's own output."""
    return any(not item.dep.target.outputs and not _is_input(item) for item in group)


def _is_grouped(layer: Any) -> bool:  # noqa: ANN401 - a module, or an operation of torch-pruning's
    """Tell whether *layer* is a convolution in groups, but not one channel in each."""
    groups = getattr(layer, "groups", 1)
    return bool(groups > 1 and not groups == layer.in_channels == layer.out_channels)


def _channel_group(graph: Any, group: Any, paths: dict[nn.Module, str]) -> ChannelGroup:  # noqa: ANN401
    """Return torch-pruning's *group* as ours."""
    root = group[0].dep
    members = tuple(
        Member(
            layer=item.dep.target.module,
            path=paths[item.dep.target.module],
            is_input=_is_input(item),
            channels=torch.as_tensor(item.idxs),
            roots=torch.as_tensor(item.root_idxs),
        )
        for item in group
        if item.dep.target.module in paths
    )

    def cut(channels: Sequence[int]) -> None:
        graph.get_pruning_group(root.target.module, root.handler, list(channels)).prune()

    return ChannelGroup(name=paths[root.target.module], channels=len(group[0].idxs), members=members, cut=cut)


def _is_input(item: Any) -> bool:  # noqa: ANN401 - torch-pruning has no types
    """Tell whether the item's handler removes input channels; depthwise and norm layers have only outputs."""
    return bool(item.dep.handler.__name__ == "prune_in_channels")
