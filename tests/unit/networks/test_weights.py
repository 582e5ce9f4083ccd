"""Weights from files of the user's: what is read, what is refused, and that nothing in them runs."""

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.weights import CHECKPOINTS, WRAPPERS, load_into, load_state


class Trap:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        """Aim at *trace*."""
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        """Have the reader call Path.touch."""
        return (Path.touch, (self.trace,))


class Tied(nn.Module):
    """An encoder and a decoder with one matrix."""

    def __init__(self) -> None:
        """Tie them."""
        super().__init__()
        self.encoder = nn.Linear(3, 3, bias=False)
        self.decoder = nn.Linear(3, 3, bias=False)
        self.decoder.weight = self.encoder.weight


def network(seed: int = 0) -> nn.Sequential:
    """Return a small network with floats and an integer buffer."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def equal(module: nn.Module, state: dict[str, Tensor]) -> bool:
    """Tell whether *module* holds the tensors of *state*."""
    return all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("suffix", CHECKPOINTS)
@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_usual_forms_of_a_checkpoint_are_read(
    tmp_path: Path, suffix: str, wrapper: str | None, prefix: str
) -> None:
    """Alone or beside the state of a training run, from one process or from DistributedDataParallel."""
    state = network(1).state_dict()
    content: object = OrderedDict((prefix + name, tensor) for name, tensor in state.items())
    file = tmp_path / f"weights{suffix}"
    torch.save(content if wrapper is None else {wrapper: content, "epoch": 3, "optimizer": {"lr": 0.1}}, file)
    module = network(2)

    load_into(module, file)

    assert equal(module, state)


@pytest.mark.parametrize("is_zip", [True, False])
def test_old_and_new_files_of_torch_are_read(tmp_path: Path, *, is_zip: bool) -> None:
    """Before torch 1.6 a checkpoint was no zip archive."""
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pt", _use_new_zipfile_serialization=is_zip)

    assert torch.equal(load_state(tmp_path / "w.pt")["a"], torch.ones(2))


def test_safetensors_are_read(tmp_path: Path) -> None:
    """With and without the prefix of a parallel run."""
    state = network(1).state_dict()
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.safetensors")
    module = network(2)

    load_into(module, tmp_path / "w.safetensors")

    assert equal(module, state)


def test_a_prefix_that_only_some_names_have_is_a_part_of_the_name(tmp_path: Path) -> None:
    """The user's network has a submodule called module."""
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pt")

    assert set(load_state(tmp_path / "w.pt")) == {"module.a", "b"}


def test_a_wrapper_key_that_holds_no_mapping_is_passed_over(tmp_path: Path) -> None:
    """Some scripts keep the name of the architecture under "model"."""
    torch.save({"model": "resnet20", "model_state_dict": {"a": torch.ones(1)}}, tmp_path / "w.pt")

    assert set(load_state(tmp_path / "w.pt")) == {"a"}


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickled_object_is_refused_and_nothing_in_it_runs(tmp_path: Path, *, is_zip: bool) -> None:
    """The trap leaves no trace, and the message says how to save the tensors alone."""
    trace, file = tmp_path / "trace", tmp_path / "w.pt"
    torch.save({"a": torch.ones(1), "b": Trap(trace)}, file, _use_new_zipfile_serialization=is_zip)

    with pytest.raises(ConfigError, match=r"w\.pt: holds more than tensors .*torch\.save\(model\.state_dict\(\)"):
        load_state(file)

    assert not trace.exists()


def test_a_bare_pickle_is_refused_and_nothing_in_it_runs(tmp_path: Path) -> None:
    """Also when it was not torch that wrote it."""
    trace, file = tmp_path / "trace", tmp_path / "w.bin"
    file.write_bytes(pickle.dumps(Trap(trace)))

    with pytest.raises(ConfigError, match=r"w\.bin: .*torch\.save\(model\.state_dict\(\)"):
        load_state(file)

    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nn.Linear(2, 2), r"holds more than tensors \(torch\.nn\.modules\.linear\.Linear\)"),
        ({"state_dict": {}, "args": argparse.Namespace()}, r"holds more than tensors \(argparse\.Namespace\)"),
        ([torch.ones(1)], "holds a list; expected a mapping of names to tensors"),
        (torch.ones(1), "holds a Tensor; expected a mapping"),
        ({"a": torch.ones(1), "epoch": 3}, "'epoch' is a int; expected tensors only, alone or under one of state_dict"),
        ({"weights": {"a": torch.ones(1)}}, "'weights' is a dict; expected tensors only"),
        ({3: torch.ones(1)}, "3 is a Tensor; expected tensors only"),
        ({}, "holds no tensor"),
    ],
)
def test_what_is_no_mapping_of_tensors_is_refused(tmp_path: Path, content: object, message: str) -> None:
    """The message says what is there instead."""
    torch.save(content, tmp_path / "w.pth")

    with pytest.raises(ConfigError, match=rf"w\.pth: {message}"):
        load_state(tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "a folder"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    """One sentence with its path."""
    file = tmp_path / f"w{suffix}"
    state = {"a": torch.ones(100)}
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes({"empty": b"", "garbage": b"\x00garbage" * 9, "truncated": content[:300]}[damage])

    with pytest.raises(ConfigError, match=f"{file}: cannot be read") as caught:
        load_state(file)

    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    """Before it is opened."""
    with pytest.raises(ConfigError, match=r"net\.onnx: expected a file of tensors that ends in \.safetensors or \.pt"):
        load_state(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"3.weight": None, "3.weigth": torch.zeros(3, 2)},
            r"3\.weight: .* is not in the file; the nearest name there is '3\.weigth'\. .* 1 missing, 1 left over",
        ),
        ({"0.bias": None, "3.bias": None}, r"0\.bias: .* is not in the file\. .* 2 missing, 0 left over"),
        ({"extra": torch.zeros(4)}, r"extra: float32 of shape \(4,\) is not in the network\. .* 1 left over"),
        ({"3.bias": torch.zeros(4)}, r"3\.bias: float32 of shape \(4,\); the network has float32 of shape \(3,\)"),
        ({"3.bias": torch.zeros(3, dtype=torch.int64)}, r"3\.bias: int64 of shape \(3,\); the network has float32"),
        ({"3.bias": torch.tensor([0, float("nan"), 1])}, r"3\.bias: 1 of 3 values are NaN or infinite"),
        ({"1.running_var": torch.tensor([1, float("inf")])}, r"1\.running_var: 1 of 2 values are NaN or infinite"),
        ({"3.bias": torch.tensor([1e300, 0, 0], dtype=torch.float64)}, r"3\.bias: 1 of 3 values are NaN or infinite"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_changes(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    """The first tensor that does not fit is named; the network is as it was."""
    state = {name: tensor for name, tensor in (network(1).state_dict() | change).items() if tensor is not None}
    torch.save(state, tmp_path / "w.pt")
    module = network(2)

    with pytest.raises(ConfigError, match=rf"w\.pt: {message}"):
        load_into(module, tmp_path / "w.pt")

    assert equal(module, network(2).state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_the_networks_own(tmp_path: Path, dtype: torch.dtype) -> None:
    """The values are those that the file has, rounded as torch rounds."""
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in network(1).state_dict().items()
    }
    torch.save(state, tmp_path / "w.pt")
    module = network(2)

    load_into(module, tmp_path / "w.pt")

    assert equal(module, {name: tensor.to(module.state_dict()[name].dtype) for name, tensor in state.items()})
    assert module[3].weight.dtype == torch.float32


@settings(max_examples=25)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_any_finite_values_arrive_bit_for_bit(values: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Large, small and negative zero."""
    module, expected = nn.Linear(2, 1, bias=False), torch.tensor([values])
    file = tmp_path_factory.mktemp("values") / "w.safetensors"
    save_file({"weight": expected}, file)

    load_into(module, file)

    assert torch.equal(module.weight.view(torch.int32), expected.view(torch.int32))


@pytest.mark.parametrize("form", ["both names", "one name"])
def test_tied_weights_stay_tied(tmp_path: Path, form: str) -> None:
    """A file may have the tensor under both names, or under one, as safetensors.torch.save_model writes it."""
    saved, module = Tied(), Tied()
    file = tmp_path / ("w.pt" if form == "both names" else "w.safetensors")
    if form == "both names":
        torch.save(saved.state_dict(), file)
    else:
        save_model(saved, str(file))
        assert len(load_state(file)) == 1

    load_into(module, file)

    assert module.encoder.weight is module.decoder.weight
    assert torch.equal(module.encoder.weight, saved.encoder.weight)


def test_two_values_for_one_tensor_are_refused(tmp_path: Path) -> None:
    """Only one could be kept, and which one would be chance."""
    torch.save({"encoder.weight": torch.zeros(3, 3), "decoder.weight": torch.ones(3, 3)}, tmp_path / "w.pt")

    with pytest.raises(ConfigError, match=r"encoder\.weight and decoder\.weight differ; in the network they are one"):
        load_into(Tied(), tmp_path / "w.pt")
