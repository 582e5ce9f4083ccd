"""Checkpoints: everything comes back, or nothing does."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.train.checkpoint import load_checkpoint, save_checkpoint


def trained(width: int, *, steps: int) -> tuple[nn.Sequential, torch.optim.SGD]:
    """Return a network with a norm and its optimizer after some steps of momentum."""
    network = nn.Sequential(nn.Conv2d(1, width, 2), nn.BatchNorm2d(width))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.rand(4, 1, 3, 3)).square().mean().backward()
        optimizer.step()
    return network, optimizer


def test_weights_statistics_momentum_and_step_come_back(tmp_path: Path) -> None:
    """The next step of the loaded run is, bit for bit, the next step of the saved one."""
    network, optimizer = trained(3, steps=2)
    save_checkpoint(tmp_path / "run", network, optimizer, 2)
    other, other_optimizer = trained(3, steps=1)

    assert load_checkpoint(tmp_path / "run", other, other_optimizer) == 2

    images = torch.rand(4, 1, 3, 3)
    for module, steps in ((network, optimizer), (other, other_optimizer)):
        steps.zero_grad()
        module(images).square().mean().backward()
        steps.step()
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("damage", ["missing", "garbage", "truncated", "another network", "one changed bit"])
def test_what_does_not_fit_changes_nothing(tmp_path: Path, damage: str) -> None:
    """None comes back, and weights and momentum are those of before."""
    file = tmp_path / "run"
    saved, saved_optimizer = trained(4 if damage == "another network" else 3, steps=1)
    save_checkpoint(file, saved, saved_optimizer, 7)
    content = file.read_bytes()
    file.unlink()
    files = {
        "garbage": b"garbage",
        "truncated": content[:-9],
        "another network": content,
        "one changed bit": content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    }
    if damage in files:
        file.write_bytes(files[damage])
    network, optimizer = trained(3, steps=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    assert load_checkpoint(file, network, optimizer) is None

    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not optimizer.state
