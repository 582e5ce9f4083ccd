"""Saving and rebuilding a network: bit-equal, in another process too, never by unpickling."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.lowrank.svd import truncated
from edgekd.networks.edits import Factorize, replace_module, resizes_between, structure_of
from edgekd.networks.network import Network, build, load_network, save_network
from edgekd.prune.cutting import prune

RESIDUAL = Network(factory="edgekd.networks.resnet:resnet", arguments={"classes": 3, "width": 8})
DEPTHWISE = Network(factory="edgekd.networks.dscnn:dscnn", arguments={"classes": 3, "width": 8})

REBUILD = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from edgekd.networks.network import load_network
torch.set_num_threads(int(sys.argv[1]))  # sums of more threads are rounded otherwise
for folder in map(Path, sys.argv[2:]):
    _, module = load_network(folder)
    with torch.no_grad():
        answers = module(load_file(folder / "images.safetensors")["images"])
    save_file({"answers": answers}, folder / "answers.safetensors")
assert "torch_pruning" not in sys.modules
"""


TIED = """
from torch import nn
def make():
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    return nn.Sequential(first, second)
"""


class Trap:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        """Aim at *trace*."""
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        """Have the reader call Path.touch."""
        return (Path.touch, (self.trace,))


def perturbed(module: nn.Module) -> nn.Module:
    """Return *module* with norms that are not at their start, so that each of their tensors counts."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(torch.rand(tensor.shape, generator=generator), alpha=0.5 if name.endswith("var") else 0.2)
    return module.eval()


def compressed(network: Network, factorized: str) -> tuple[Network, nn.Module]:
    """Return *network* pruned, then with the layer *factorized* in two, and its module."""
    module = perturbed(build(network))
    whole = structure_of(module)
    prune(module, (torch.rand(2, 1, 12, 12),), criterion="l2", ratio=0.4, multiple=4, max_ratio=0.75)
    resizes = resizes_between(whole, module)
    replace_module(module, factorized, truncated(module.get_submodule(factorized), rank=2))
    return network.edited(*resizes, Factorize(path=factorized, rank=2)), module.eval()


def test_a_pruned_and_factorized_network_is_rebuilt_in_another_process(tmp_path: Path) -> None:
    """Residual and depthwise networks answer bit for bit the same where torch-pruning was never imported."""
    images = torch.rand(4, 1, 12, 12)
    expected = {}
    for name, network, layer in (("r", RESIDUAL, "blocks.2.shortcut.0"), ("d", DEPTHWISE, "blocks.3.pointwise")):
        smaller, module = compressed(network, layer)
        assert any(not isinstance(edit, Factorize) for edit in smaller.edits)
        (tmp_path / name).mkdir()
        save_network(tmp_path / name, smaller, module)
        save_file({"images": images}, tmp_path / name / "images.safetensors")
        with torch.no_grad():
            expected[name] = module(images)

    folders = [str(tmp_path / name) for name in expected]
    subprocess.run([sys.executable, "-c", REBUILD, str(torch.get_num_threads()), *folders], check=True)

    for name, answers in expected.items():
        assert torch.equal(load_file(tmp_path / name / "answers.safetensors")["answers"], answers)


def test_a_saved_network_comes_back_whole_and_in_evaluation_mode(tmp_path: Path) -> None:
    """Description, every tensor and the answers are equal."""
    module = perturbed(build(DEPTHWISE))
    save_network(tmp_path, DEPTHWISE, module)

    network, loaded = load_network(tmp_path)

    assert network == DEPTHWISE
    assert not loaded.training
    assert all(torch.equal(tensor, module.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_equal_networks_are_saved_as_equal_bytes(tmp_path: Path) -> None:
    """Also when the tensors lie in memory in another order."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, layout in ((first, torch.contiguous_format), (second, torch.channels_last)):
        folder.mkdir()
        module = build(RESIDUAL).to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it
        save_network(folder, RESIDUAL, module)

    assert {file.name: file.read_bytes() for file in first.iterdir()} == {
        file.name: file.read_bytes() for file in second.iterdir()
    }


def test_a_seed_decides_the_start_and_the_callers_random_state_stays() -> None:
    """Equal seeds give equal weights, others give others, and torch's next random number is what it would have been."""
    state = torch.random.get_rng_state()

    first, again, other = (build(DEPTHWISE, seed=seed).get_submodule("stem.0").weight for seed in (3, 3, 4))

    assert isinstance(first, torch.Tensor)
    assert isinstance(again, torch.Tensor)
    assert isinstance(other, torch.Tensor)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("resnet", "factory 'resnet': expected 'package.module:function'"),
        (":resnet", "factory ':resnet': expected 'package.module:function'"),
        ("edgekd.networks.resnet:", "factory 'edgekd.networks.resnet:': expected 'package.module:function'"),
        ("no_such_package.net:net", "factory 'no_such_package.net:net': no module named 'no_such_package'"),
        (".networks:net", "factory '.networks:net': TypeError: .*relative import"),
        (
            "edgekd.networks.resnet:resnett",
            "factory 'edgekd.networks.resnet:resnett': .*has no 'resnett'; did you mean 'resnet'",
        ),
        ("edgekd.networks.resnet:EXPANSIONS", "factory 'edgekd.networks.resnet:EXPANSIONS': is not callable"),
        ("pathlib:Path", "pathlib:Path: gave PosixPath; expected a torch.nn.Module"),
    ],
)
def test_a_factory_that_cannot_be_called_is_refused(factory: str, message: str) -> None:
    """Each message holds the string that was given."""
    with pytest.raises(ConfigError, match=message):
        build(Network(factory=factory))


@pytest.mark.parametrize(
    "arguments",
    [
        {"classes": 3, "widht": 8},
        {"width": 8},
        {"classes": 3, "width": -8},
        {"classes": 3, "width": "wide"},
    ],
)
def test_arguments_that_the_factory_refuses_are_named(arguments: dict[str, int | str]) -> None:
    """The message says which factory was called with what."""
    with pytest.raises(ConfigError, match=r"edgekd\.networks\.dscnn:dscnn: called with {.*}: "):
        build(Network(factory=DEPTHWISE.factory, arguments=arguments))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Give a folder with a saved network, to be damaged."""
    save_network(tmp_path, DEPTHWISE, build(DEPTHWISE))
    return tmp_path


def test_a_tied_tensor_is_saved_under_both_names_and_stays_tied(tmp_path: Path) -> None:
    """The factory makes the tie; saving and loading do not cut it."""
    file = tmp_path / "tied.py"
    file.write_text(TIED)
    network = Network(factory=f"{file}:make")
    module = build(network, seed=1)
    save_network(tmp_path, network, module)

    _, loaded = load_network(tmp_path)

    assert set(load_file(tmp_path / "weights.safetensors")) == {"0.weight", "1.weight"}
    assert loaded.get_parameter("0.weight") is loaded.get_parameter("1.weight")
    assert torch.equal(loaded.get_parameter("0.weight"), module.get_parameter("0.weight"))


@pytest.mark.parametrize("name", ["network.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "a folder"])
def test_a_file_that_cannot_be_read_is_named(saved: Path, name: str, damage: str) -> None:
    """Missing, empty, garbled, cut off or a folder: one sentence with the file's path."""
    file = saved / name
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(
            {"empty": b"", "garbage": b"\x00garbage" * 9, "truncated": content[: len(content) // 2]}[damage]
        )

    with pytest.raises(ConfigError, match=f"{file}: cannot be read as"):
        load_network(saved)


def test_a_pickle_in_place_of_the_weights_is_refused_unopened(saved: Path, tmp_path: Path) -> None:
    """Nothing in it runs: the trap that it holds leaves no trace."""
    trace = tmp_path / "trace"
    (saved / "weights.safetensors").write_bytes(pickle.dumps(Trap(trace)))

    with pytest.raises(ConfigError, match=r"weights.safetensors: cannot be read as safetensors"):
        load_network(saved)

    assert not trace.exists()


def test_the_trap_would_have_left_a_trace(tmp_path: Path) -> None:
    """The test above could see an unpickled file."""
    trace = tmp_path / "trace"

    pickle.loads(pickle.dumps(Trap(trace)))  # noqa: S301 - it is our own

    assert trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factori": "x:y"}, "network.json: factori: unknown field; did you mean 'factory'"),
        ({"arguments": {"classes": None}}, "network.json: arguments"),
        ({"edits": [{"type": "resize", "path": "gone", "attributes": {}, "shapes": {}}]}, "edit of 'gone'"),
        ({"edits": [{"type": "swap", "path": "stem"}]}, "network.json: edits"),
    ],
)
def test_a_structure_that_does_not_fit_is_refused(saved: Path, change: dict[str, object], message: str) -> None:
    """Unknown fields, wrong types, unknown paths and unknown edits: the field is named."""
    file = saved / "network.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | change))

    with pytest.raises(ConfigError, match=message):
        load_network(saved)


def test_json_that_is_no_table_is_refused(saved: Path) -> None:
    """A list is valid JSON and no network."""
    (saved / "network.json").write_text("[]")

    with pytest.raises(ConfigError, match=r"network.json: a list of 0 given; expected a table"):
        load_network(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier.bias": torch.zeros(4)}, r"classifier.bias: float32 of shape \(4,\); the network has .* \(3,\)"),
        ({"classifier.bias": torch.zeros(3).half()}, r"classifier.bias: float16 of shape .* has float32"),
        ({"classifier.bias": None}, r"classifier.bias: missing; the network has float32 of shape \(3,\)"),
        ({"extra": torch.zeros(1)}, r"extra: float32 of shape \(1,\); the network has none"),
    ],
)
def test_weights_of_another_network_are_refused(
    saved: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    """Every tensor must be there, of equal shape and type, and no other: nothing is rounded or left at random."""
    file = saved / "weights.safetensors"
    tensors = {name: tensor for name, tensor in (load_file(file) | change).items() if tensor is not None}
    save_file(tensors, file)

    with pytest.raises(ConfigError, match=f"weights.safetensors: {message}"):
        load_network(saved)


def test_a_builtin_factorys_own_refusal_is_the_message() -> None:
    """It already says which argument came and what was expected."""
    with pytest.raises(ConfigError, match=r"^width: 0 given; expected a number above 0"):
        build(Network(factory="edgekd.networks.mobilenetv2:mobilenetv2", arguments={"width": 0}))
