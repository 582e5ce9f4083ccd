"""Operators over the spatial dimensions of signals and images: convolution, pooling, resizing."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.quantize.operands import Attributes, Inputs, Operator, for_torch, given, numbers, optional, refuse

_CONVOLUTIONS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: functional.conv1d, 2: functional.conv2d}
)
_AVERAGE_POOLS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: functional.avg_pool1d, 2: functional.avg_pool2d}
)
_MAX_POOLS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: functional.max_pool1d, 2: functional.max_pool2d}
)
"""By the number of spatial dimensions."""

IMAGE_DIMENSIONS: Final = 4
_RESIZES: Final[Mapping[tuple[str, str, str], str]] = MappingProxyType(
    {
        ("nearest", "asymmetric", "floor"): "nearest",
        ("linear", "half_pixel", ""): "bilinear",
        ("linear", "pytorch_half_pixel", ""): "bilinear",
        ("linear", "align_corners", ""): "bilinear",
    }
)
"""Torch's name for a way to resize: ONNX's mode, where it samples, and how it rounds."""


def _conv(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = given(inputs, 0)
    dimensions = _dimensions(data, attributes, _CONVOLUTIONS)
    pads = _spatial_padding(attributes, dimensions)
    padding = tuple(before for before, _ in pads)
    if any(before != after for before, after in pads):
        data, padding = functional.pad(data, for_torch(pads)), (0,) * dimensions
    return _CONVOLUTIONS[dimensions](
        data,
        given(inputs, 1),
        optional(inputs, 2),
        tuple(attributes.get("strides", (1,) * dimensions)),
        padding,
        tuple(attributes.get("dilations", (1,) * dimensions)),
        attributes.get("group", 1),
    )


def _average_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = given(inputs, 0)
    dimensions = _dimensions(data, attributes, _AVERAGE_POOLS)
    pads = _spatial_padding(attributes, dimensions)
    dilated = set(attributes.get("dilations", (1,))) != {1}
    uneven = any(before != after for before, after in pads)
    refuse(uneven or dilated or attributes.get("ceil_mode", 0), "uneven pads, dilations or ceil_mode")
    return _AVERAGE_POOLS[dimensions](
        data,
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1,) * dimensions)),
        tuple(before for before, _ in pads),
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )


def _max_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = given(inputs, 0)
    dimensions = _dimensions(data, attributes, _MAX_POOLS)
    pads, padding = _spatial_padding(attributes, dimensions), (0,) * dimensions
    if attributes.get("ceil_mode", 0):
        # Where the last window may start depends on which zeros are padding: only torch's own know.
        refuse(any(before != after for before, after in pads), "uneven pads with ceil_mode")
        padding = tuple(before for before, _ in pads)
    else:
        data = functional.pad(data, for_torch(pads), value=float("-inf"))
    return _MAX_POOLS[dimensions](
        data,
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1,) * dimensions)),
        padding,
        tuple(attributes.get("dilations", (1,) * dimensions)),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _resize(inputs: Inputs, attributes: Attributes) -> Tensor:
    """Interpolate as torch does it: its own sampling points, the last two dimensions."""
    data, scales, sizes = given(inputs, 0), optional(inputs, 2), optional(inputs, 3)
    mode = attributes.get("mode", "nearest")
    point = attributes.get("coordinate_transformation_mode", "half_pixel")
    refuse(data.ndim != IMAGE_DIMENSIONS, "Resize of anything but images")
    aligned = point == "align_corners"
    form = (mode, point, attributes.get("nearest_mode", "round_prefer_floor") if mode == "nearest" else "")
    refuse(form not in _RESIZES, f"Resize in the form {form}")
    if sizes is not None and sizes.numel():
        whole = list(data.shape)
        for axis, size in zip(attributes.get("axes", range(data.ndim)), numbers(sizes), strict=True):
            whole[axis] = size
        refuse(whole[:2] != list(data.shape[:2]), "Resize of batch or channels")
        shape = whole[2:]
    else:
        assert scales is not None  # noqa: S101 - one of the two is there
        refuse("axes" in attributes, "Resize by scales of named axes")
        factors = scales.tolist()[2:]
        shape = [math.floor(size * factor) for size, factor in zip(data.shape[2:], factors, strict=True)]
    torch_mode = _RESIZES[form]
    return functional.interpolate(
        data, shape, mode=torch_mode, align_corners=aligned if torch_mode != "nearest" else None
    )


def _dimensions(data: Tensor, attributes: Attributes, functions: Mapping[int, Callable[..., Tensor]]) -> int:
    """Return the number of spatial dimensions of *data*; refuse one for which there is no function."""
    found = data.ndim - 2
    refuse(found not in functions, f"work over {found} dimensions")
    refuse(len(attributes.get("kernel_shape", (0,) * found)) != found, "a kernel of other dimensions than its input")
    return found


def _spatial_padding(attributes: Attributes, dimensions: int) -> tuple[tuple[int, int], ...]:
    """Return ONNX's pads as (before, after) of each of the *dimensions* spatial dimensions."""
    refuse(attributes.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}, "auto_pad")
    pads = attributes.get("pads", (0,) * 2 * dimensions)
    return tuple(zip(pads[:dimensions], pads[dimensions:], strict=True))


def _over_space(function: Callable[..., Tensor], data: Tensor) -> Tensor:
    """Return *data* reduced to one number for each channel."""
    return function(data, tuple(range(2, data.ndim)), keepdim=True)


SPATIAL: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "AveragePool": _average_pool,
        "Conv": _conv,
        "GlobalAveragePool": lambda inputs, _attributes: _over_space(torch.mean, given(inputs, 0)),
        "GlobalMaxPool": lambda inputs, _attributes: _over_space(torch.amax, given(inputs, 0)),
        "MaxPool": _max_pool,
        "Resize": _resize,
    }
)
