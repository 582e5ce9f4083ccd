"""Whole networks of every kind: all their arithmetic in integer kernels, and the simulation computes what these do."""

import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgekd.export.exporter import export_onnx
from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.legalize import legalize
from edgekd.export.shapes import fix_batch
from edgekd.networks.dscnn_kws import dscnn_kws
from edgekd.networks.mobilenetv2 import mobilenetv2
from edgekd.networks.resnet_cifar import resnet8, resnet20
from edgekd.networks.session import answers, open_session
from edgekd.networks.vit import vit
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.coverage import integer_coverage
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph


class MobileParts(nn.Module):
    """What mobile networks are made of: squeeze-and-excite, SiLU, hard-swish, ReLU6, and two paths joined."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.SiLU())
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.Sigmoid()
        )
        self.left = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Hardswish(), nn.Conv2d(16, 8, 1))
        self.right = nn.Sequential(nn.Conv2d(16, 8, 3, 1, 1), nn.ReLU6())
        self.last = nn.Sequential(nn.Conv2d(16, 32, 3, 2), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (batch, 3, 32, 32) to logits."""
        stem = self.stem(images)
        excited = stem * self.squeeze(stem)
        logits: Tensor = self.classifier(self.last(torch.cat([self.left(excited), self.right(excited)], 1)))
        return logits


class Encoder(nn.Module):
    """A transformer as torch builds it: linear layers with biases over three dimensions, before norms and sums."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.embed = nn.Linear(16, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True, norm_first=True)
        self.classifier = nn.Linear(32, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (batch, 12, 16) to logits."""
        logits: Tensor = self.classifier(self.layer(self.embed(tokens)).mean(1))
        return logits


class Decoder(nn.Module):
    """What networks are made of that give images: transposed convolutions, resizing, a skip; and a verdict on it."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.over = nn.ConvTranspose2d(16, 12, 2, 2)
        self.odd = nn.Sequential(nn.ConvTranspose2d(12, 12, 3, (2, 1), 1, (1, 0), groups=4), nn.ReLU6())
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = nn.Sequential(nn.Conv2d(12, 16, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to logits."""
        skip = self.down(images)
        joined = torch.cat([self.up(self.deep(skip)), skip], 1)
        logits: Tensor = self.classifier(self.last(self.grow(self.odd(self.over(joined)))))
        return logits


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet8": (lambda: resnet8(classes=10), (3, 32, 32)),
    "resnet20": (lambda: resnet20(classes=10), (3, 32, 32)),
    "mobilenetv2": (lambda: mobilenetv2(classes=10, width=0.35, stem_stride=1), (3, 32, 32)),
    "dscnn_kws": (lambda: dscnn_kws(classes=12), (1, 49, 10)),
    "mobile parts": (MobileParts, (3, 32, 32)),
    "decoder": (Decoder, (3, 16, 16)),
    "encoder": (Encoder, (12, 16)),
    "vit": (lambda: vit(classes=10, image_size=32, patch=8, dim=32, depth=2, heads=2), (3, 32, 32)),
}
LARGE = ("resnet20", "mobilenetv2")
EXACT = ("resnet8", "resnet20", "mobilenetv2", "dscnn_kws", "decoder")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in NETWORKS]
)
def test_every_product_is_of_integers_and_the_simulation_knows_it(name: str, tmp_path: Path) -> None:
    """Coverage 100 %; on 64 samples the integer kernels' logits are those of the simulation.

    Convolutional networks bit for bit but for float32's last place; with sigmoids or attention in between, whose
    kernels round by tables of their own, within a step of 8 bits for 99 % of the logits.
    """
    make, shape = NETWORKS[name]
    samples = torch.randn(64, *shape, generator=torch.Generator().manual_seed(0))
    simulation, path = quantized(make, shape, samples, tmp_path)
    with torch.no_grad():
        expected = simulation(samples).numpy()
    found = answers(open_session(path, arithmetic="arm64-kernels"), [(samples.numpy(),)])

    shipped = tmp_path / "shipped.onnx"
    onnx.save(legalize(fix_batch(onnx.load(path)), opset=13, ir_version=8), shipped)
    for file in (path, shipped):  # with all sizes fixed the runtime finds more to rewrite
        coverage = integer_coverage(file, (samples[:1].numpy(),))
        assert (coverage.share, coverage.float_nodes) == (1.0, ())
    steps = np.abs(found - expected) / (np.ptp(expected) / 255)
    if name in EXACT:
        assert steps.max() < 1e-3
    assert (steps <= 1).mean() >= 0.99


def quantized(
    make: Callable[[], nn.Module], shape: tuple[int, ...], samples: Tensor, folder: Path
) -> tuple[SimulatedGraph, Path]:
    """Return the simulation of a random network, in evaluation mode, and its file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make()
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    task: Any = SimpleNamespace(shapes=(shape,), inputs=(SimpleNamespace(name="input"),), outputs=("logits",))
    graph = with_integer_forms(export_onnx(network.eval(), task))
    places = place(graph.graph, PLACEMENTS["onnxruntime-arm64"])
    places = msgspec.structs.replace(places, fixed_point_sums=platform.machine() != "x86_64")  # as kernels here add
    simulation = SimulatedGraph(graph, places)
    simulation.quantize(calibrated(simulation, samples))
    path = folder / "model.onnx"
    onnx.save(write_qdq(graph, places, simulation.encodings()), path)
    return simulation.eval(), path
