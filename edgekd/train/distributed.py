"""One training over several processes, on torch.distributed: gloo between CPUs, nccl between GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature
from types import MethodType
from typing import Any, Final

import msgspec
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE: Final = timedelta(days=7)
"""How long processes wait for the first one, which may decode a large set of data or wait for another run's lock."""

_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ARGUMENTS: Final = signature(DistributedDataParallel).parameters
_BACKENDS: Final = {"cuda": "nccl"}
_BUFFERS_STAY: Final[dict[str, Any]] = {
    # All processes compute the same statistics. torch 2.13 renamed the argument.
    "forward_sync_buffers" if "forward_sync_buffers" in _ARGUMENTS else "broadcast_buffers": False
}


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a run: *size* of them, of which this is number *rank*. One alone needs no torch.distributed."""

    rank: int = 0
    size: int = 1

    @property
    def is_writer(self) -> bool:
        """Tell whether this process writes files and talks; of several only the first does."""
        return self.rank == 0


def join(device: torch.device, *, attempt: int = 0) -> World:
    """Return this process's place after meeting the others that torchrun started, by torchrun's own variables.

    *attempt* counts torchrun's restarts. Its store outlives them (torch 2.13): without names of its own an attempt
    finds the addresses of the processes before it, and waits for those in vain.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)  # nccl sends objects by way of the current GPU, which is the first for everyone
    shared, rank, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    store = distributed.PrefixStore(f"attempt-{attempt}", shared)  # type: ignore[attr-defined]
    backend = _BACKENDS.get(device.type, "gloo")
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    return World(rank=distributed.get_rank(), size=distributed.get_world_size())


def leave(world: World) -> None:
    """End what ``join`` began; nothing where this process never joined."""
    if world.size > 1 or distributed.is_initialized():
        distributed.destroy_process_group()


def from_writer(value: Any, world: World) -> Any:  # noqa: ANN401 - what JSON can say goes from process to process
    """Return the writer's *value* in every process; all wait for it."""
    if world.size == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]


@contextmanager
def first_alone(world: World) -> Iterator[None]:
    """Let the first process run the block before the others do: they find what it left on disk."""
    if not world.is_writer:
        from_writer(None, world)
    yield
    if world.is_writer:
        from_writer(None, world)


def gathered(mine: Tensor, world: World) -> Tensor:
    """Return the rows of all processes in the order of their ranks; they may have unequal numbers of rows."""
    if world.size == 1:
        return mine
    counts = [torch.zeros(1, dtype=torch.int64, device=mine.device) for _ in range(world.size)]
    distributed.all_gather(counts, torch.tensor([len(mine)], device=mine.device))
    most = max(int(count) for count in counts)
    padded = torch.cat([mine, mine.new_zeros(most - len(mine), *mine.shape[1:])])
    parts = [torch.empty_like(padded) for _ in range(world.size)]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


def averaged(value: Tensor, world: World) -> Tensor:
    """Return the mean of the processes' *value*, without a gradient."""
    if world.size == 1:
        return value.detach()
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / world.size


@contextmanager
def data_parallel(module: nn.Module, world: World, *, has_idle_parameters: bool) -> Iterator[nn.Module]:
    """Give *module* with its gradients averaged over all processes and its batch norms seeing the whole batch.

    *module* itself is what changes; it is as before, but for its values, when the block ends. A process alone gets it
    as it is. *has_idle_parameters* lets parameters be without a gradient in a step.
    """
    if world.size == 1:
        yield module
        return
    norms = [layer for layer in module.modules() if isinstance(layer, _NORMS)]
    for layer in norms:
        layer.forward = MethodType(_whole_batch_norm, layer)  # type: ignore[method-assign]
    try:
        yield DistributedDataParallel(
            module, find_unused_parameters=has_idle_parameters, gradient_as_bucket_view=True, **_BUFFERS_STAY
        )
    finally:
        for layer in norms:
            del layer.forward


def _whole_batch_norm(norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """Return what *norm* gives for the rows of all processes together; equal numbers of rows in each.

    torch's own synchronized norm runs on GPUs only. Two sums, the second of centred squares, for the sake of float32;
    narrower features are widened for them. In evaluation processes may have unequal rows: each is on its own.
    """
    if not norm.training:
        return type(norm).forward(norm, features)
    narrow, features = features.dtype, features.to(torch.promote_types(features.dtype, torch.float32))
    dims = [0, *range(2, features.ndim)]
    spread = (1, -1, *(1,) * (features.ndim - 2))
    size = distributed.get_world_size()
    mean = _summed(features.mean(dims)) / size
    centred = features - mean.reshape(spread)
    variance = _summed(centred.square().mean(dims)) / size
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
        momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        count = features.numel() // features.shape[1] * size
        with torch.no_grad():
            norm.running_mean.lerp_(mean.detach(), momentum)
            norm.running_var.lerp_(variance.detach() * count / max(1, count - 1), momentum)
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    result = centred * scale.reshape(spread)
    if norm.bias is not None:
        result = result + norm.bias.reshape(spread)
    return result.to(narrow)


def _summed(value: Tensor) -> Tensor:
    """Return the sum of *value* over all processes; gradients flow back to all of them."""
    result: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return result


class _Sum(torch.autograd.Function):
    """A sum over processes, whose gradient is a sum over processes too."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - torch's own context
        """Return the sum."""
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - torch's own context
        """Return the sum of the gradients."""
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total
