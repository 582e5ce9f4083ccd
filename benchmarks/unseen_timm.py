"""Networks of timm with random weights, which nobody has looked at: `predict_host.py build` takes its fresh ones here.

    python benchmarks/unseen_timm.py FOLDER [RANK]     # writes FOLDER/NAME.onnx

It needs an environment of its own, outside the repository, since timm needs torchvision:

    pip install torch==2.14.1 torchvision==0.29.1 timm==1.0.31 onnx onnxscript

The rule was written down before any of them was timed, and does not look at times. Of each family below, taken
alphabetically, one member is exported at its default input size, if it makes at most 2 GMACs there: the one with the
fewest parameters as timm creates it (then the first by name), or, with RANK 1, 2, ..., the one with the second, third,
... fewest; a family without such a member is left out. So there is another set when one has been looked at. The first
24 that torch can export are written. Branches that their papers merge for inference are merged. Of these files,
`predict_host.py build` takes the first twenty by name that edgekd brings to INT8 and ONNX Runtime runs in both
precisions. Networks of benchmarks/unseen.py are left out.
"""

import sys
from pathlib import Path
from typing import Any, Final

import timm  # type: ignore[import-not-found]  # it lies in an environment of its own
import torch
from timm.utils.model import reparameterize_model  # type: ignore[import-not-found]
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

FAMILIES: Final = (
    *("convmixer", "cspresnet", "dla", "edgenext", "efficientformer_", "efficientnet_b", "ese_vovnet", "fastvit"),
    *("fbnetc", "ghostnet_", "hardcorenas", "hrnet", "lcnet", "levit_", "mixnet", "mnasnet", "mobilenetv4"),
    *("mobileone", "mobilevit_", "poolformer_", "repghostnet", "repvgg", "repvit", "resnest", "resnetv2", "rexnet"),
    *("selecsls", "semnasnet", "spnasnet", "starnet", "swiftformer", "tinynet"),
)
"""How the names of a family begin."""
MOST_FILES: Final = 24
MOST_MACS: Final = 2e9
OPSET: Final = 18


def write_all(folder: Path, rank: int) -> None:
    """Write the networks that the rule chooses, and say why others are left out."""
    written = 0
    members = (by_size(family)[rank : rank + 1] for family in FAMILIES)
    for name in sorted(name for found in members for name in found):
        if written == MOST_FILES:
            return
        network, example = made(name)
        if (macs := macs_of(network, example)) > MOST_MACS:
            print(f"{name:<28} left out: {macs / 1e9:.2f} GMACs")
            continue
        try:
            program = torch.onnx.export(network, (example,), dynamo=True, opset_version=OPSET, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            print(f"{name:<28} left out: {str(error).strip().partition(chr(10))[0]}")
            continue
        assert program is not None  # noqa: S101 - torch says None only where it writes the file itself
        program.save(folder / f"{name}.onnx", external_data=False)
        written += 1
        print(f"{name:<28} {macs / 1e9:.2f} GMACs", flush=True)


def by_size(family: str) -> list[str]:
    """Return the members of *family* by their numbers of parameters, the fewest first."""
    sizes: dict[str, int] = {}
    for name in timm.list_models(f"{family}*"):
        with torch.device("meta"):
            sizes[name] = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    return sorted(sorted(sizes), key=sizes.__getitem__)


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return the network for inference, with random weights, and an input (1, channels, height, width)."""
    torch.manual_seed(0)
    network: Any = timm.create_model(name, pretrained=False, exportable=True).eval()
    tensors: list[Any] = [*network.parameters(), *network.buffers()]
    with torch.no_grad():
        for tensor in tensors:
            if tensor.is_floating_point() and tensor.numel() > 1 and tensor.min() == tensor.max():
                tensor.add_(torch.empty_like(tensor).uniform_(-0.5, 0.5))  # all alike, as in no trained network
        size = network.default_cfg["input_size"]
        return reparameterize_model(network), torch.randn(1, *size)


def macs_of(network: nn.Module, example: torch.Tensor) -> float:
    """Return the multiply-accumulates of convolutions and matrix products of one inference."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(example)
    return float(counter.get_total_flops() / 2)


if __name__ == "__main__":
    place, rank = Path(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])
    place.mkdir(parents=True, exist_ok=True)
    write_all(place, rank)
