"""Networks of torchvision and timm, where these are installed."""

from importlib.util import find_spec

import pytest
import torch

from edgekd.core.errors import ConfigError
from edgekd.networks.counting import count_parameters
from edgekd.networks.network import Network, build
from edgekd.networks.resnet_imagenet import resnet18
from edgekd.networks.zoo import timm_model, torchvision_model

_EXTRA = "an extra that does not load beside every build of torch"


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_a_package_that_is_not_installed_is_an_error_that_says_how(package: str) -> None:
    """The same sentence as when the name was looked up, for a saved network that is loaded elsewhere."""
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed here")
    network = Network(factory=f"edgekd.networks.zoo:{package}_model", arguments={"name": "resnet18", "classes": 2})

    with pytest.raises(ConfigError, match=rf"^{package} is not installed; run: pip install 'edgekd\[{package}\]'$"):
        build(network)


def test_torchvisions_networks_have_the_classes_asked_for() -> None:
    """And as many parameters as the same network of ours."""
    pytest.importorskip("torchvision", reason=_EXTRA)

    module = torchvision_model(name="resnet18", classes=7).eval()

    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert count_parameters(module) == count_parameters(resnet18(classes=7))


def test_torchvision_is_not_asked_for_grey_images() -> None:
    """Its networks have three channels written into them."""
    pytest.importorskip("torchvision", reason=_EXTRA)

    with pytest.raises(ConfigError, match="torchvision:resnet18: 1 channels asked; torchvision's networks take 3"):
        torchvision_model(name="resnet18", classes=7, channels=1)


def test_timms_networks_have_the_classes_and_channels_asked_for() -> None:
    """Other arguments of timm's go through."""
    pytest.importorskip("timm", reason=_EXTRA)

    module = timm_model(name="resnet18", classes=7, channels=1, drop_rate=0.5).eval()

    assert module(torch.zeros(1, 1, 64, 64)).shape == (1, 7)
    assert count_parameters(module) == count_parameters(resnet18(classes=7, channels=1))


def test_a_wrong_name_is_refused_with_the_nearest() -> None:
    """From the list that the package itself gives."""
    pytest.importorskip("timm", reason=_EXTRA)

    with pytest.raises(ConfigError, match="timm:resnet81: timm has no such network; did you mean 'resnet18'"):
        timm_model(name="resnet81", classes=2)
