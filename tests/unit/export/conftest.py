"""Networks for the tests of ``edgekd.export``, each exported once per session, and a way to run them."""

import functools
import logging
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

Array = npt.NDArray[np.generic]
Runner = Callable[[onnx.ModelProto, Array], list[Array]]


def apply(module: nn.Module, x: Tensor) -> Tensor:
    """Return what *module* makes of *x*, which torch's annotations leave open."""
    output: Tensor = module(x)
    return output


class Residual(nn.Module):
    """A strided stem, one residual block and a pooled classifier."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.first = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to outputs."""
        x = self.stem(x)
        x = functional.relu(x + self.second(self.first(x)))
        return apply(self.head, x)


class Inverted(nn.Module):
    """An inverted residual: expand, depthwise, squeeze-excite if asked, project, mean."""

    def __init__(self, activation: type[nn.Module], *, excite: bool) -> None:
        """Make the layers."""
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12), activation())
        depthwise = nn.Conv2d(12, 12, 3, 2, 1, groups=12, bias=False)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(12), activation())
        gate = nn.Sequential(nn.Conv2d(12, 4, 1), nn.ReLU(), nn.Conv2d(4, 12, 1), nn.Sigmoid())
        self.gate = gate if excite else None
        self.project = nn.Sequential(nn.Conv2d(12, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to outputs."""
        x = self.depthwise(self.expand(x))
        if self.gate is not None:
            x = x * self.gate(x.mean((2, 3), keepdim=True))
        return apply(self.head, self.project(x).mean((2, 3)))


class Mixed(nn.Module):
    """Padding, splitting, joining, parametric activations, lone BatchNormalization, reductions."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.conv, self.slopes, self.norm, self.head = (
            nn.Conv2d(3, 8, 3),
            nn.PReLU(8),
            nn.BatchNorm2d(8),
            nn.Linear(8, 9),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to outputs."""
        x = self.slopes(self.conv(functional.pad(x, (1, 1, 2, 0))))
        first, second = torch.chunk(x, 2, 1)
        third, fourth = torch.split(x, [3, 5], 1)
        x = torch.cat([functional.leaky_relu(first, 0.1), torch.tanh(second)], 1) + torch.cat([fourth, third], 1)
        x = self.norm(functional.pad(x, (2, 2, 2, 2), mode="reflect"))
        x = functional.avg_pool2d(functional.max_pool2d(x, 2), 2)
        return apply(self.head, x.amax((2, 3))) + apply(self.head, functional.mish(x).mean(3).mean(2))


class Resized(nn.Module):
    """Nearest and bilinear resizing by a factor and to a size, and a grouped transposed convolution."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.up = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, 2, groups=2), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to outputs."""
        x = self.conv(x)
        nearest = functional.interpolate(x, scale_factor=2, mode="nearest")
        smooth = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        sized = functional.interpolate(x, size=(15, 15), mode="bilinear", align_corners=True)
        return torch.cat([nearest, smooth, functional.pad(sized, (0, 1, 0, 1)), self.up(x)], 1)


class Attention(nn.Module):
    """One block of a vision transformer with a class token, LayerNorm, GELU and softmax attention."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        self.before, self.after = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to outputs."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        batch, length, width = x.shape
        parts = self.qkv(self.before(x)).reshape(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        weights = torch.softmax(query @ key.transpose(-2, -1) * 8**-0.5, -1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(batch, length, width))
        return apply(self.head, (x + self.mlp(self.after(x)))[:, 0])


class Viewed(nn.Module):
    """GroupNorm, a flattened image, BatchNorm1d behind a linear layer, and a linear layer without bias."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 2), nn.GroupNorm(2, 4)
        self.hidden = nn.Sequential(nn.Linear(4 * 7 * 7, 8), nn.BatchNorm1d(8), nn.Hardswish())
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, 16, 16) to outputs."""
        x = functional.relu6(self.norm(self.conv(x)))
        return apply(self.head, self.hidden(x.view(x.size(0), -1)))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "residual": Residual,
        "depthwise": lambda: Inverted(nn.ReLU6, excite=False),
        "excited": lambda: Inverted(nn.Hardswish, excite=True),
        "mixed": Mixed,
        "resized": Resized,
        "attention": Attention,
        "viewed": Viewed,
    }
)


@functools.cache
def export_network(name: str) -> onnx.ModelProto:
    """Return what PyTorch's exporter writes for a network of the table with fixed random parameters."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        # The exporter copies its own pytree specs and so warns about them (torch 2.13).
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.manual_seed(0)
        network = NETWORKS[name]().eval()
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dim() == 1:  # biases, scales and statistics: not the zeros and ones they start as
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
        program = torch.onnx.export(
            network,
            (torch.randn(2, 3, 16, 16),),
            dynamo=True,
            opset_version=18,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@pytest.fixture(scope="session", params=sorted(NETWORKS))
def exported(request: pytest.FixtureRequest) -> onnx.ModelProto:
    """Give every network of the table, as exported."""
    return export_network(request.param)


@pytest.fixture(scope="session")
def export() -> Callable[[str], onnx.ModelProto]:
    """Give a network of the table by name, as exported."""
    return export_network


@pytest.fixture(scope="session")
def run() -> Runner:
    """Give the outputs of a model with one input, computed by ONNX Runtime on one thread."""

    def outputs(model: onnx.ModelProto, x: Array) -> list[Array]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        answers: list[Array] = session.run(None, {session.get_inputs()[0].name: x})
        return answers

    return outputs


@pytest.fixture(params=[1, 3], ids=["one sample", "three samples"])
def images(request: pytest.FixtureRequest) -> Array:
    """Give images of the size the networks take."""
    return np.random.default_rng(0).standard_normal((request.param, 3, 16, 16)).astype(np.float32)
