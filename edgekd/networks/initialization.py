"""Random starts that the papers of the built-in networks ask for."""

from torch import nn


def he_normal(module: nn.Module) -> None:
    """Draw all convolution kernels in *module*, in place, from N(0, 2 / fan-out), and set their biases to zero.

    He et al. 2015 (arXiv 1502.01852), equation 14: with ReLU the gradient's size then stays from layer to layer.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def small_normal(module: nn.Module, *, deviation: float = 0.02) -> None:
    """Draw all matrices of linear layers in *module*, in place, from a cut normal; set their biases to zero.

    The start of transformers (Touvron et al. 2020, arXiv 2012.12877): with torch's own they train badly.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)
