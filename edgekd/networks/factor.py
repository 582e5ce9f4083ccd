"""The two-layer form of one linear or 1x1 convolution layer: its structure, without a choice of weights."""

from torch import nn

from edgekd.core.errors import ConfigError


def can_factorize(layer: nn.Module) -> str | None:
    """Return why *layer* has no two-layer form, or None where it has one."""
    if isinstance(layer, nn.Linear):
        return None
    if not isinstance(layer, nn.Conv2d):
        return f"{type(layer).__name__} is neither a linear nor a convolution layer"
    if layer.groups != 1:
        return f"grouped convolution ({layer.groups} groups)"
    if layer.kernel_size != (1, 1):
        return f"kernel {layer.kernel_size[0]}x{layer.kernel_size[1]}; only 1x1 is split by plain SVD"
    if layer.padding not in {(0, 0), "valid", "same"}:
        return f"a padded 1x1 convolution ({layer.padding})"
    return None


def factorize_layer(layer: nn.Module, *, rank: int) -> nn.Sequential:
    """Return two layers with *rank* channels between them that take and give what *layer* does.

    The first has no bias and does the striding, the second keeps the bias. Their weights are the layers'
    own random start; ``lowrank.svd`` or a saved file fills them. Raises ConfigError for any other layer.
    """
    reason = can_factorize(layer)
    if reason is not None:
        message = f"cannot factorize: {reason}."
        raise ConfigError(message)
    if isinstance(layer, nn.Linear):
        return nn.Sequential(
            nn.Linear(layer.in_features, rank, bias=False),
            nn.Linear(rank, layer.out_features, bias=layer.bias is not None),
        )
    assert isinstance(layer, nn.Conv2d)  # noqa: S101 - can_factorize has said so
    stride = (layer.stride[0], layer.stride[1])
    return nn.Sequential(
        nn.Conv2d(layer.in_channels, rank, 1, stride=stride, bias=False),
        nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None),
    )
