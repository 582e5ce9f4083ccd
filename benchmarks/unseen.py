"""Twenty networks as people use them, with random weights: what the calibration of a host has never seen."""

from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final

import msgspec
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgekd.export.exporter import export_onnx
from edgekd.networks.catalog import BUILT_IN
from edgekd.networks.importing import import_factory


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """How a network is made, and the shape of its input without the batch."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


def exported(name: str) -> ModelProto:
    """Return the graph of a network of the table in edgekd's canonical form, as every float file ships."""
    torch.manual_seed(0)
    network = UNSEEN[name]
    module = network.make()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
        elif isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.5, 0.5)  # zeros would all be one constant, as in no trained network
    task: Any = SimpleNamespace(shapes=(network.shape,), inputs=(SimpleNamespace(name="input"),), outputs=("logits",))
    return export_onnx(module.eval(), task)


def _own(name: str, *shape: int, **arguments: object) -> Unseen:
    """Return a built-in network."""
    return Unseen(make=lambda: import_factory(BUILT_IN[name])(**arguments), shape=shape)


def _norm_conv(
    given: int, made: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    """Return convolution, batch norm and activation."""
    convolution = nn.Conv2d(given, made, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(made), act if act is not None else nn.ReLU())


class _Sum(nn.Module):
    """A branch and a shortcut, added, and an activation."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None, act: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.shortcut, self.act = branch, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = self.act(self.branch(value) + self.shortcut(value))
        return result


class _Joined(nn.Module):
    """Branches over one value, side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, value: Tensor) -> Tensor:
        return torch.cat([branch(value) for branch in self.branches], 1)


def _classifier(channels: int, classes: int = 1000) -> nn.Sequential:
    """Return the mean of each channel and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _squeezenet() -> nn.Module:
    """Return SqueezeNet 1.1 (arXiv 1602.07360)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=False)]
    given = 64
    for narrow, wide, pool in (
        *((16, 64, False), (16, 64, True), (32, 128, False), (32, 128, True)),
        *((48, 192, False), (48, 192, False), (64, 256, False), (64, 256, False)),
    ):
        one = nn.Sequential(nn.Conv2d(narrow, wide, 1), nn.ReLU())
        three = nn.Sequential(nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU())
        layers += [nn.Conv2d(given, narrow, 1), nn.ReLU(), _Joined(one, three)]
        given = 2 * wide
        if pool:
            layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers, nn.Conv2d(given, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class _Shuffle(nn.Module):
    """A unit of ShuffleNetV2 (arXiv 1807.11164): half of the channels pass, or with stride 2 both halves work."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        half, self.stride = made // 2, stride
        source = given if stride == 2 else given // 2  # noqa: PLR2004 - the unit that halves the size
        self.right = nn.Sequential(
            _norm_conv(source, half, 1),
            _norm_conv(half, half, 3, stride, half, nn.Identity()),
            _norm_conv(half, half, 1),
        )
        self.left: nn.Module = nn.Identity()
        if stride == 2:  # noqa: PLR2004
            self.left = nn.Sequential(_norm_conv(given, given, 3, 2, given, nn.Identity()), _norm_conv(given, half, 1))

    def forward(self, value: Tensor) -> Tensor:
        left, right = (value, value) if self.stride == 2 else value.chunk(2, 1)  # noqa: PLR2004
        joined = torch.cat([self.left(left), self.right(right)], 1)
        batch, channels, height, width = joined.shape
        turned = joined.reshape(batch, 2, channels // 2, height, width).transpose(1, 2)
        return turned.reshape(batch, channels, height, width)


def _shufflenetv2() -> nn.Module:
    """Return ShuffleNetV2 1.0x."""
    layers: list[nn.Module] = [_norm_conv(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    given = 24
    for made, units in ((116, 4), (232, 8), (464, 4)):
        layers += [_Shuffle(given if unit == 0 else made, made, 2 if unit == 0 else 1) for unit in range(units)]
        given = made
    return nn.Sequential(*layers, _norm_conv(464, 1024, 1), _classifier(1024))


class _Gate(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507)."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, channels, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = value * self.weigh(value)
        return result


def _inverted(  # noqa: PLR0913, PLR0917 - what the papers' tables list
    given: int, wide: int, made: int, kernel: int, stride: int, act: Callable[[], nn.Module], gate: int = 0
) -> nn.Module:
    """Return an inverted residual."""
    layers = [_norm_conv(given, wide, 1, act=act())] if wide != given else []
    layers.append(_norm_conv(wide, wide, kernel, stride, wide, act()))
    gates = [_Gate(wide, gate)] if gate else []
    branch = nn.Sequential(*layers, *gates, _norm_conv(wide, made, 1, act=nn.Identity()))
    return _Sum(branch) if stride == 1 and given == made else branch


def _efficientnet_lite0() -> nn.Module:
    """Return EfficientNet-Lite0 (arXiv 1905.11946, without gates, with ReLU6)."""
    layers: list[nn.Module] = [_norm_conv(3, 32, 3, 2, act=nn.ReLU6())]
    given = 32
    for factor, made, count, stride, kernel in (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
        *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    ):
        for unit in range(count):
            layers.append(_inverted(given, factor * given, made, kernel, stride if unit == 0 else 1, nn.ReLU6))
            given = made
    return nn.Sequential(*layers, _norm_conv(320, 1280, 1, act=nn.ReLU6()), _classifier(1280))


def _mobilenetv3_small() -> nn.Module:
    """Return MobileNetV3-Small (arXiv 1905.02244, table 2)."""
    layers: list[nn.Module] = [_norm_conv(3, 16, 3, 2, act=nn.Hardswish())]
    given = 16
    for kernel, wide, made, gate, act, stride in (
        *((3, 16, 16, 8, nn.ReLU, 2), (3, 72, 24, 0, nn.ReLU, 2), (3, 88, 24, 0, nn.ReLU, 1)),
        *((5, 96, 40, 24, nn.Hardswish, 2), (5, 240, 40, 64, nn.Hardswish, 1), (5, 240, 40, 64, nn.Hardswish, 1)),
        *((5, 120, 48, 32, nn.Hardswish, 1), (5, 144, 48, 40, nn.Hardswish, 1), (5, 288, 96, 72, nn.Hardswish, 2)),
        *((5, 576, 96, 144, nn.Hardswish, 1), (5, 576, 96, 144, nn.Hardswish, 1)),
    ):
        layers.append(_inverted(given, wide, made, kernel, stride, act, gate))
        given = made
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(576, 1024), nn.Hardswish())
    return nn.Sequential(*layers, _norm_conv(96, 576, 1, act=nn.Hardswish()), head, nn.Linear(1024, 1000))


def _mobilenetv1(width: float) -> nn.Module:
    """Return MobileNetV1 (arXiv 1704.04861)."""

    def of(count: int) -> int:
        return int(count * width)

    layers: list[nn.Module] = [_norm_conv(3, of(32), 3, 2)]
    given = of(32)
    for count, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *((512, 1),) * 5,
        (1024, 2),
        (1024, 1),
    ):
        layers += [_norm_conv(given, given, 3, stride, given), _norm_conv(given, of(count), 1)]
        given = of(count)
    return nn.Sequential(*layers, _classifier(given))


def _vgg11() -> nn.Module:
    """Return VGG-11 with batch norm and half the channels (arXiv 1409.1556), its head for images of 128."""
    layers: list[nn.Module] = []
    given = 3
    for count in (32, 0, 64, 0, 128, 128, 0, 256, 256, 0, 256, 256, 0):
        layers.append(_norm_conv(given, count) if count else nn.MaxPool2d(2))
        given = count or given
    head = (nn.Flatten(), nn.Linear(256 * 16, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1000))
    return nn.Sequential(*layers, *head)


def _regnetx_400mf() -> nn.Module:
    """Return RegNetX-400MF (arXiv 2003.13678)."""
    layers: list[nn.Module] = [_norm_conv(3, 32, 3, 2)]
    given = 32
    for count, depth in ((32, 1), (64, 2), (160, 7), (400, 12)):
        for unit in range(depth):
            stride = 2 if unit == 0 else 1
            branch = nn.Sequential(
                _norm_conv(given, count, 1),
                _norm_conv(count, count, 3, stride, count // 16),
                _norm_conv(count, count, 1, act=nn.Identity()),
            )
            shortcut = _norm_conv(given, count, 1, stride, act=nn.Identity()) if unit == 0 else None
            layers.append(_Sum(branch, shortcut, nn.ReLU()))
            given = count
    return nn.Sequential(*layers, _classifier(given))


def _densenet() -> nn.Module:
    """Return DenseNet-BC with 40 layers and growth 12 (arXiv 1608.06993), for images of 32."""
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 3, 1, 1, bias=False)]
    given = 24
    for block in range(3):
        for _ in range(6):
            grow = nn.Sequential(
                nn.BatchNorm2d(given), nn.ReLU(), nn.Conv2d(given, 48, 1, bias=False),
                nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 12, 3, padding=1, bias=False),
            )  # fmt: skip
            layers.append(_Joined(nn.Identity(), grow))
            given += 12
        layers += [nn.BatchNorm2d(given), nn.ReLU()]
        if block < 2:  # noqa: PLR2004 - between blocks
            layers += [nn.Conv2d(given, given // 2, 1, bias=False), nn.AvgPool2d(2)]
            given //= 2
    return nn.Sequential(*layers, _classifier(given, 10))


class _ConvNextBlock(nn.Module):
    """A block of ConvNeXt (arXiv 2201.03545)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, 1, 3, groups=width)
        self.rest = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = value + self.rest(self.depthwise(value).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return result


def _convnext_atto() -> nn.Module:
    """Return ConvNeXt with the widths and depths of its Atto form, batch norm before each halving."""
    layers: list[nn.Module] = [nn.Conv2d(3, 40, 4, 4), nn.BatchNorm2d(40)]
    for stage, (width, depth) in enumerate(((40, 2), (80, 2), (160, 6), (320, 2))):
        if stage:
            layers += [nn.BatchNorm2d(width // 2), nn.Conv2d(width // 2, width, 2, 2)]
        layers += [_ConvNextBlock(width) for _ in range(depth)]
    return nn.Sequential(*layers, _classifier(320))


def _darknet_tiny() -> nn.Module:
    """Return the backbone of Tiny YOLOv3 (arXiv 1804.02767) with half the channels, as a classifier."""
    layers: list[nn.Module] = []
    given = 3
    for count in (8, 16, 32, 64, 128, 256):
        layers += [_norm_conv(given, count, act=nn.LeakyReLU(0.1)), nn.MaxPool2d(2)]
        given = count
    return nn.Sequential(*layers, _norm_conv(given, 512, act=nn.LeakyReLU(0.1)), _classifier(512))


UNSEEN: Final[Mapping[str, Unseen]] = MappingProxyType(
    {
        "resnet8": _own("resnet8", 3, 32, 32, classes=10),
        "resnet20": _own("resnet20", 3, 32, 32, classes=10),
        "resnet56": _own("resnet56", 3, 32, 32, classes=10),
        "resnet18": _own("resnet18", 3, 224, 224, classes=1000),
        "resnet18 at 112": _own("resnet18", 3, 112, 112, classes=100),
        "mobilenetv2": _own("mobilenetv2", 3, 224, 224, classes=1000),
        "mobilenetv2, half, at 160": _own("mobilenetv2", 3, 160, 160, classes=1000, width=0.5),
        "dscnn": _own("dscnn", 1, 28, 28, classes=10, channels=1),
        "dscnn for words": _own("dscnn_kws", 1, 49, 10, classes=12),
        "vision transformer": _own("vit", 3, 224, 224, classes=1000),
        "squeezenet": Unseen(make=_squeezenet, shape=(3, 224, 224)),
        "shufflenetv2": Unseen(make=_shufflenetv2, shape=(3, 224, 224)),
        "efficientnet-lite0": Unseen(make=_efficientnet_lite0, shape=(3, 224, 224)),
        "mobilenetv3-small": Unseen(make=_mobilenetv3_small, shape=(3, 224, 224)),
        "mobilenetv1, half, at 192": Unseen(make=lambda: _mobilenetv1(0.5), shape=(3, 192, 192)),
        "vgg11, half, at 128": Unseen(make=_vgg11, shape=(3, 128, 128)),
        "regnetx-400mf": Unseen(make=_regnetx_400mf, shape=(3, 224, 224)),
        "densenet": Unseen(make=_densenet, shape=(3, 32, 32)),
        "convnext-atto": Unseen(make=_convnext_atto, shape=(3, 224, 224)),
        "tiny darknet at 224": Unseen(make=_darknet_tiny, shape=(3, 224, 224)),
    }
)
"""None of them has shaped the suite, nor how it is learned from."""
