"""What the tests of built-in networks ask of each: that it ships, and that it can be pruned."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from samples import random_task
from torch import Tensor, nn

from edgekd.export.exporter import export_onnx
from edgekd.networks.session import answers, open_session
from edgekd.prune.cutting import prune

Check = Callable[[nn.Module, tuple[int, ...]], None]


def lively(module: nn.Module) -> nn.Module:
    """Return *module* with norms that are not at their start, so that each of their tensors counts."""
    generator = torch.Generator().manual_seed(7)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(torch.rand(tensor.shape, generator=generator), alpha=0.4)
    return module.eval()


@pytest.fixture
def ships() -> Check:
    """Give the check that ONNX Runtime answers as torch does, for batches of other sizes than the exported one."""

    def check(module: nn.Module, shape: tuple[int, ...]) -> None:
        graph = export_onnx(lively(module), random_task(10, *shape))
        images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected: Tensor = module(images)

        found = answers(open_session(graph), [(images.numpy(),)])

        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=1e-4)

    return check


@pytest.fixture
def prunes() -> Check:
    """Give the check that every group of channels gets smaller; ``prune`` itself proves that nothing else changed."""

    def check(module: nn.Module, shape: tuple[int, ...]) -> None:
        images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))

        cuts = prune(lively(module), (images,), criterion="l2", ratio=0.5, multiple=4, max_ratio=0.75)

        assert cuts
        assert all(cut.after < cut.before for cut in cuts)

    return check
