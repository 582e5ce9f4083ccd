"""The estimated cost of one layer on the target: arithmetic plus what every layer costs."""

import msgspec
import torch
from torch import Tensor, nn


class CostModel(msgspec.Struct, frozen=True, kw_only=True):
    """Three prices: arithmetic (in 10^9 multiply-accumulates per second), a written number, a layer."""

    gmacs_per_s: float
    ns_per_activation: float
    layer_overhead_us: float

    def microseconds(self, *, macs: int, activations: int, layers: int) -> float:
        """Return the estimated time of *layers* layers with *macs* in all that write *activations* numbers.

        Good for comparing two forms of one layer; it is no prediction of a network's latency.
        """
        arithmetic = macs / (self.gmacs_per_s * 1e3)
        return arithmetic + activations * self.ns_per_activation / 1e3 + layers * self.layer_overhead_us


def positions_of(module: nn.Module, example: tuple[Tensor, ...]) -> dict[str, int]:
    """Return for each linear and convolution layer how often its matrix is applied to one sample.

    That is the number of output positions: height times width of a feature map, tokens of a sequence.
    """
    seen: dict[str, int] = {}

    def record(path: str, layer: nn.Module) -> None:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            channels = layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features
            seen[path] = seen.get(path, 0) + output.numel() // (len(output) * int(channels))  # type: ignore[arg-type]

        handles.append(layer.register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for path, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            record(path, layer)
    module.eval()
    with torch.no_grad():
        module(*example)
    for handle in handles:
        handle.remove()
    return seen
