"""Tensors taken from inside a network."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, distributed, nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel

from edgekd.core.errors import ConfigError
from edgekd.distill.taps import shapes_at, tapped

WANTED, OTHER = torch.ones(1), torch.zeros(1)


class Giver(nn.Module):
    """Gives whatever it was told to."""

    def __init__(self, output: object) -> None:
        """Keep the output."""
        super().__init__()
        self.output = output

    def forward(self, _inputs: Tensor) -> object:
        """Return the output."""
        return self.output


class Choosy(nn.Module):
    """Runs its left or its right layer, and the last one twice."""

    def __init__(self) -> None:
        """Build three layers."""
        super().__init__()
        self.left, self.right, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Tanh()

    def forward(self, inputs: Tensor, *, left: bool = True) -> Tensor:
        """Return the answer of one side."""
        output: Tensor = self.last(self.last(self.left(inputs) if left else self.right(inputs)))
        return output


class Attentive(nn.Module):
    """Self-attention that gives its weights."""

    def __init__(self) -> None:
        """Build two heads of width two."""
        super().__init__()
        self.attn = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the mixed tokens."""
        mixed: Tensor = self.attn(tokens, tokens, tokens, average_attn_weights=False)[0]
        return mixed


def network() -> nn.Sequential:
    """Return a network with a stem of four channels and a classifier."""
    stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    layers = {"stem": stem, "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(4, 2)}
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module


def giving(output: object) -> nn.Module:
    """Return a network whose only module, ``block``, gives *output*."""
    module = nn.Sequential()
    module.add_module("block", Giver(output))
    return module


def hooks(module: nn.Module) -> int:
    """Return how many hooks run with *module*'s passes."""
    return sum(
        len(vars(inner)[kind]) for inner in module.modules() for kind in ("_forward_hooks", "_forward_pre_hooks")
    )


def test_taps_hold_the_outputs_of_the_last_pass_in_the_order_of_the_paths() -> None:
    """With their graph, replaced by every pass."""
    module = network()
    with tapped(module, ["head", "stem.0"]) as taps:
        module(torch.zeros(2, 1, 3, 3))
        answer = module(torch.ones(2, 1, 3, 3))

    assert len(taps) == 2
    assert taps[0] is answer
    assert torch.equal(taps[-1], module.get_submodule("stem.0")(torch.ones(2, 1, 3, 3)))
    assert all(tensor.requires_grad for tensor in taps)
    assert taps[:1] == (answer,)


def test_the_hooks_are_gone_after_the_block() -> None:
    """The user's modules are as they were."""
    module = network()

    with tapped(module, ["stem", "head"]):
        inside = hooks(module)

    assert inside == 3
    assert hooks(module) == 0


def test_the_hooks_are_gone_after_an_error() -> None:
    """As after any other end of the block."""
    module = network()

    with pytest.raises(KeyError), tapped(module, ["stem", "head"]):
        raise KeyError

    assert hooks(module) == 0


def test_a_wrong_path_leaves_no_hook_of_the_right_ones_before_it() -> None:
    """The block never starts."""
    module = network()

    with pytest.raises(ConfigError), tapped(module, ["stem", "haed"]):
        pass

    assert hooks(module) == 0


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("haed", r"Sequential has no such module; did you mean 'head'\?"),
        ("stem.2", r"Sequential has no such module; did you mean 'stem\..', 'stem\..' or 'stem'\?"),
        ("xyz", r"Sequential has no such module; expected one of 'stem', 'stem.0', 'stem.1', 'pool', 'flat', 'head'\."),
        ("haed[1]", r"Sequential has no such module; did you mean 'head'\?"),
        ("head[", "expected a module's name such as 'layer2.0', or 'blocks.0.attn.1.' for an element"),
        ("", "expected a module's name"),
    ],
)
def test_an_unknown_path_gives_the_near_names(path: str, hint: str) -> None:
    """All of those that come near, or else all there are."""
    with pytest.raises(ConfigError, match=f"tap '.*': {hint}"), tapped(network(), [path]):
        pass


def test_a_large_network_is_not_listed_whole() -> None:
    """Where nothing is near, the outermost modules must do."""
    module = nn.Sequential(*(network() for _ in range(4)))

    with pytest.raises(ConfigError, match=r"no such module; it has 28, the outermost are '0', '1', '2', '3'\."):
        shapes_at(module, ["backbone"], (torch.ones(1, 1, 3, 3),))


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ((None, WANTED, OTHER), "block"),
        ([WANTED, OTHER], "block"),
        ({"loss": None, "hidden": WANTED, "last": OTHER}, "block"),
        ((OTHER, WANTED), "block[1]"),
        ({"first": OTHER, "hidden": WANTED}, "block[hidden]"),
        (WANTED, "block[0]"),
    ],
)
def test_a_tap_takes_the_first_tensor_or_the_element_it_names(output: object, path: str) -> None:
    """Of tuples, lists and dicts."""
    module = giving(output)

    with tapped(module, [path]) as taps:
        module(torch.ones(1))

    assert taps[0] is WANTED


@pytest.mark.parametrize(
    ("output", "path", "sentence"),
    [
        (
            (torch.ones(1), None),
            "block[1]",
            r"tap 'block\[1\]': the module gives tuple \(\[0\] Tensor, \[1\] NoneType\); expected a tensor there",
        ),
        ((torch.ones(1),), "block[2]", r"gives tuple \(\[0\] Tensor\); expected"),
        ({"hidden": torch.ones(1)}, "block[hiden]", r"gives dict \(\[hidden\] Tensor\); expected"),
        ((), "block", r"gives tuple \(empty\); expected"),
        ("text", "block", r"gives str \(\[0\] str\); expected"),
    ],
)
def test_an_output_without_the_tensor_is_refused(output: object, path: str, sentence: str) -> None:
    """With what the module gives instead."""
    module = giving(output)

    with pytest.raises(ConfigError, match=sentence), tapped(module, [path]):
        module(torch.ones(1))


def test_attention_weights_are_tapped_from_torchs_own_attention() -> None:
    """Its second element: (batch, heads, queries, keys), each row a distribution."""
    module = Attentive()

    with tapped(module, ["attn", "attn[1]"]) as taps:
        module(torch.rand(3, 5, 4))

    assert taps[0].shape == (3, 5, 4)
    assert taps[1].shape == (3, 2, 5, 5)
    torch.testing.assert_close(taps[1].sum(dim=-1), torch.ones(3, 2, 5))


def test_a_module_that_runs_twice_leaves_its_last_output() -> None:
    """The one that the network goes on with."""
    module = Choosy()

    with tapped(module, ["last"]) as taps:
        answer = module(torch.ones(1, 2))

    assert taps[0] is answer


def test_a_module_of_two_names_is_found_by_both() -> None:
    """Shared layers are listed once by torch; a tap may name either place."""
    layer = nn.Linear(2, 2)

    with tapped(nn.Sequential(layer, nn.ReLU(), layer), ["0", "2"]) as taps:
        pass

    assert len(taps) == 2


def test_a_module_that_a_pass_skips_does_not_answer_with_the_pass_before() -> None:
    """Its graph is of another step; the error names the path."""
    module = Choosy()

    with tapped(module, ["left"]) as taps:
        module(torch.ones(1, 2))
        module(torch.ones(1, 2), left=False)

    with pytest.raises(ConfigError, match=r"tap 'left': this module did not run in the forward pass"):
        taps[0]


def test_shapes_come_batch_first_in_the_order_of_the_paths() -> None:
    """Of any kind of output."""
    example = (torch.zeros(2, 1, 5, 7),)

    assert shapes_at(network(), ["head", "stem", "stem.0"], example) == ((2, 2), (2, 4, 3, 5), (2, 4, 3, 5))


def test_shapes_leave_the_network_as_it_was() -> None:
    """Every module keeps its own mode, statistics do not move, no hook stays."""
    module = network().train()
    frozen = module.get_submodule("stem.1").eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    shapes_at(module, ["stem"], (torch.rand(2, 1, 5, 5),))

    assert [name for name, inner in module.named_modules() if not inner.training] == ["stem.1"]
    assert not frozen.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert hooks(module) == 0


def test_a_module_that_the_network_does_not_use_is_refused() -> None:
    """When its shape is asked, before any training; the modes come back after the error too."""
    module = network().train()
    module.get_submodule("flat").add_module("spare", nn.Conv2d(4, 4, 1))

    with pytest.raises(ConfigError, match=r"tap 'flat\.spare': this module did not run in the forward pass; tap one"):
        shapes_at(module, ["stem", "flat.spare"], (torch.zeros(2, 1, 5, 5),))

    assert all(inner.training for inner in module.modules())


@pytest.fixture
def group_of_one() -> Iterator[None]:
    """Make this process a group of one."""
    distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group_of_one")
def test_taps_work_inside_data_parallel_training() -> None:
    """A loss on tapped tensors gives the same gradients with and without the wrapper."""
    torch.manual_seed(0)
    module, images = network(), torch.rand(4, 1, 5, 5)
    parallel = DistributedDataParallel(module)

    def gradients(run: nn.Module) -> list[Tensor]:
        module.zero_grad()
        with tapped(module, ["stem"]) as taps:
            (run(images).square().sum() + taps[0].square().sum()).backward()
        return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]

    plain, wrapped = gradients(module), gradients(parallel)

    assert len(plain) == len(list(module.parameters()))
    torch.testing.assert_close(wrapped, plain)
