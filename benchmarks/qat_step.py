"""What a step of quantization-aware fine-tuning costs over a float step of the same network: interleaved, as ratios.

    python benchmarks/qat_step.py [--pt2e]

ResNet-20, batches of 128 random images, SGD, one thread. The float step trains the network as it was built, norms and
all; the other trains the exported graph with learned scales. Nothing else may run meanwhile. ``--pt2e`` takes its turn
beside them: PyTorch's own quantization-aware training with the XNNPACK quantizer, weights per channel. It needs torchao
and executorch (with ruamel.yaml, tabulate, cattrs and parameterized), which are no part of edgekd's environment: they
are installed without their own requirements in one that also sees edgekd's.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Final

import torch
from built_in import exported
from recording import at_most, write
from torch import nn

from edgekd.networks.resnet_cifar import resnet20
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.scales import ScaleRule
from edgekd.quantize.simulation import SimulatedGraph

ROUNDS: Final = 40
WARMUP: Final = 5
MOST: Final = 1.40


def main() -> None:
    """Time and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pt2e", action="store_true", help="time PT2E's step too")
    beside = parser.parse_args().pt2e
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(128, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (128,))
    steps = {"float": _step(resnet20(classes=10), images, labels)}
    rules: tuple[ScaleRule, ...] = ("learned", "tracked", "fixed")
    for rule in rules:
        steps[rule] = _step(_quantized(rule, images), images, labels)
    if beside:
        steps["pt2e"] = _step(_by_pt2e(images), images, labels)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + WARMUP):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    kept = {name: values[WARMUP:] for name, values in seconds.items()}
    ratios = {
        name: statistics.median(a / b for a, b in zip(kept[name], kept["float"], strict=True))
        for name in steps.keys() - {"float"}
    }
    promises = [at_most(f"a QAT step over a float step, scales {name}, median", MOST, ratios[name]) for name in rules]
    others = {name: version(name) for name in ("torchao", "executorch")} if beside else {}
    found = {"threads": 1, "n": ROUNDS, "seconds": kept, "ratios": ratios, "other_versions": others}
    holds = write("qat_step", found, promises)
    sys.exit(not holds)


def _quantized(rule: ScaleRule, images: torch.Tensor) -> SimulatedGraph:
    """Return ResNet-20's exported graph, rounding, with moving scales."""
    graph = exported("resnet20")
    simulation = SimulatedGraph(graph, place(graph.graph, PLACEMENTS["onnxruntime-arm64"]))
    simulation.quantize(calibrated(simulation, images), rule=rule, held_after=ROUNDS + WARMUP)
    return simulation


def _by_pt2e(images: torch.Tensor) -> nn.Module:
    """Return ResNet-20 as PT2E prepares it for quantization-aware training."""
    pt2e = import_module("torchao.quantization.pt2e.quantize_pt2e")
    xnnpack = import_module("executorch.backends.xnnpack.quantizer.xnnpack_quantizer")
    rules = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_qat=True)
    graph = torch.export.export(resnet20(classes=10).train(), (images,), strict=True).module()
    prepared: nn.Module = pt2e.prepare_qat_pt2e(graph, xnnpack.XNNPACKQuantizer().set_global(rules))
    return prepared


def _step(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """Return one training step of *network*."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not isinstance(network, torch.fx.GraphModule):  # an exported one is in training mode already, and refuses
        network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-5, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
