"""Checkpoints: every tensor comes back, or nothing does."""

from pathlib import Path

import pytest
import torch

from edgekd.train.checkpoint import load_checkpoint, save_checkpoint

TENSORS = {
    "kernel": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "counter": torch.tensor([7]),
    "narrow": torch.rand(3).to(torch.bfloat16),
    "nothing": torch.zeros(0, 3),
    "not a number": torch.tensor([float("nan"), -0.0, float("inf")], dtype=torch.float64),
}


def test_tensors_come_back_bit_by_bit(tmp_path: Path) -> None:
    """Names, types, shapes and bits; also of two names for one tensor."""
    shared = TENSORS | {"again": TENSORS["kernel"]}

    save_checkpoint(tmp_path / "run", shared)
    found = load_checkpoint(tmp_path / "run")

    assert found.keys() == shared.keys()
    for name, tensor in shared.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found[name].view(torch.uint8), tensor.contiguous().view(torch.uint8))


def test_a_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    """Nothing else is left in the folder."""
    save_checkpoint(tmp_path / "run", {"step": torch.tensor(1)})
    save_checkpoint(tmp_path / "run", {"step": torch.tensor(2)})

    assert load_checkpoint(tmp_path / "run") == {"step": torch.tensor(2)}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "one changed bit"])
def test_what_is_not_as_it_was_written_gives_nothing(tmp_path: Path, damage: str) -> None:
    """No tensor at all: a half of a state is worse than none."""
    file = tmp_path / "run"
    save_checkpoint(file, TENSORS)
    content = file.read_bytes()
    file.unlink()
    files = {
        "empty": b"",
        "garbage": b"garbage",
        "truncated": content[:-9],
        "one changed bit": content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    }
    if damage in files:
        file.write_bytes(files[damage])

    assert load_checkpoint(file) == {}
