"""Cutting: the cut network answers as the whole one with channels at zero, or nothing is called done."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from several import both_network, both_samples
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.networks.dscnn import dscnn
from edgekd.networks.resnet import resnet
from edgekd.prune.cutting import Cut, prune

EXAMPLE = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(3))


class Concatenated(nn.Module):
    """Two branches side by side."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 8, 3), nn.Conv2d(1, 8, 3)
        self.join, self.head = nn.Conv2d(16, 8, 1), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 1, height, width) to (batch, 3)."""
        joined = self.join(F.relu(torch.cat([self.left(images), self.right(images)], 1)))
        logits: Tensor = self.head(joined.mean((2, 3)))
        return logits


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole image says of them."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.gate = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid())
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 1, height, width) to (batch, 3)."""
        features = self.stem(images)
        gated = features * self.gate(features.mean((2, 3), keepdim=True))
        logits: Tensor = self.head(gated.mean((2, 3)))
        return logits


class Coupled(nn.Module):
    """A convolution and a classifier with something between them that the tracer cannot follow."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        """Keep *between* and make the layers."""
        super().__init__()
        self.between = between
        self.features, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 1, height, width) to (batch, 3)."""
        logits: Tensor = self.head(self.between(F.relu(self.features(images)))).mean((2, 3))
        return logits


def flattened() -> nn.Sequential:
    """Return a convolution whose pixels go straight into a classifier."""
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 3))


def grouped() -> nn.Sequential:
    """Return a network with a convolution in two groups."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 1, groups=2), nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 4),
        nn.Flatten(),
    )  # fmt: skip


def upsampled() -> nn.Sequential:
    """Return a network that grows its map again, with one slope for all channels."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.PReLU(), nn.ConvTranspose2d(8, 8, 2), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 5), nn.Flatten()
    )


NETWORKS = {
    "residual": lambda: resnet(classes=3, width=8),
    "depthwise": lambda: dscnn(classes=3, width=8),
    "concatenated": Concatenated,
    "flattened": flattened,
    "squeeze-excite": SqueezeExcite,
    "grouped": grouped,
    "upsampled": upsampled,
}


def perturbed(module: nn.Module) -> nn.Module:
    """Return *module* with every tensor moved, norms and biases too, so that a wrong cut shows."""
    generator = torch.Generator().manual_seed(11)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            step = torch.rand(tensor.shape, generator=generator)
            tensor.add_(0.5 * step if name.endswith("running_var") else 0.3 * (step - 0.5))
    return module.eval()


def cut(module: nn.Module, *, ratio: float = 0.4, multiple: int = 2) -> tuple[Cut, ...]:
    """Prune *module* with the settings that these tests share."""
    return prune(module, (EXAMPLE,), criterion="l2", ratio=ratio, multiple=multiple, max_ratio=0.75)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gets_narrower_and_keeps_its_outputs_shape(name: str) -> None:
    """It passes its own proof, has fewer parameters, and each group keeps a multiple of the block."""
    module = perturbed(NETWORKS[name]())
    before = sum(parameter.numel() for parameter in module.parameters())

    cuts = cut(module)

    assert module(EXAMPLE).shape == (4, 3)
    assert sum(parameter.numel() for parameter in module.parameters()) < before
    assert any(group.after < group.before for group in cuts)
    assert all(group.after % 2 == 0 and group.after >= group.before / 4 for group in cuts)


def test_a_cut_network_answers_as_the_whole_one_without_those_channels() -> None:
    """Checked without the package's own masking: the rows that are gone are set to zero in the whole network."""
    whole = perturbed(flattened())
    smaller = copy.deepcopy(whole)
    (group,) = cut(smaller)
    rows = {tuple(row.flatten().tolist()) for row in smaller.get_parameter("0.weight")}
    with torch.no_grad():
        for channel, row in enumerate(whole.get_parameter("0.weight")):
            if tuple(row.flatten().tolist()) not in rows:
                whole.get_parameter("4.weight").view(3, 8, 16)[:, channel] = 0

    assert (group.group, group.before, group.after) == ("0", 8, 4)
    torch.testing.assert_close(smaller(EXAMPLE), whole(EXAMPLE), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_ratio_of_zero_leaves_every_bit(name: str) -> None:
    """Names, shapes and values are those of before; every group is told with what it kept."""
    module = perturbed(NETWORKS[name]())
    before = copy.deepcopy(module.state_dict())

    cuts = cut(module, ratio=0.0)

    after = module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[path], tensor) for path, tensor in before.items())
    assert cuts
    assert all(group.before == group.after for group in cuts)


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_a_dead_channel_goes_first_and_changes_nothing(criterion: str) -> None:
    """A channel that nothing feeds and nothing reads: the network answers as before without it."""
    module = perturbed(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 4), nn.Flatten()))
    with torch.no_grad():
        module.get_parameter("0.weight")[2] = 0
        module.get_parameter("2.weight")[:, 2] = 0
    expected = module(EXAMPLE)

    prune(module, (EXAMPLE,), criterion="l1" if criterion == "l1" else "l2", ratio=0.25, multiple=1, max_ratio=0.5)

    assert module.get_parameter("0.weight").shape[0] == 3
    torch.testing.assert_close(module(EXAMPLE), expected, atol=1e-5, rtol=1e-5)


ORDER = torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (lambda x: x * torch.linspace(1, 2, x.shape[1]).reshape(1, -1, 1, 1), "removing channels changed the outputs"),
        (lambda x: x.roll(1, 1), "removing channels changed the outputs"),
        (lambda x: F.softmax(x, 1), "removing channels changed the outputs"),
        (lambda x: x[:, ORDER], "Coupled does not run without the removed channels"),
        (lambda x: x.reshape(-1, 8, 4, 4), "Coupled does not run without the removed channels"),
    ],
    ids=["scaled by position", "rolled by one", "softmax", "reordered by an index", "viewed with a fixed width"],
)
def test_a_coupling_that_was_not_found_is_an_error(between: Callable[[Tensor], Tensor], message: str) -> None:
    """Whether the cut network answers otherwise or no longer runs, it is never passed on as pruned."""
    with pytest.raises(StageError, match=f"prune: {message}.* keep it whole with prune.ratio = 0"):
        cut(perturbed(Coupled(between)))


def test_a_network_without_such_a_coupling_passes_the_same_proof() -> None:
    """The errors above come from what is between the two layers, not from the network around it."""
    cuts = cut(perturbed(Coupled(lambda x: x)))

    assert cuts == (Cut(group="features", before=8, after=4),)


def test_the_output_layer_keeps_all_its_channels() -> None:
    """Even with weights next to nothing and a ratio that takes all it can get."""
    module = perturbed(flattened())
    with torch.no_grad():
        module.get_parameter("4.weight").mul_(1e-6)

    prune(module, (EXAMPLE,), criterion="l2", ratio=0.99, multiple=1, max_ratio=0.99)

    assert module(EXAMPLE).shape == (4, 3)
    assert module.get_parameter("0.weight").shape[0] == 1


def test_a_block_larger_than_every_group_removes_nothing() -> None:
    """No group can lose 16 of its 8 channels."""
    module = perturbed(flattened())

    cuts = cut(module, ratio=0.9, multiple=16)

    assert cuts == (Cut(group="0", before=8, after=8),)


def test_several_inputs_and_outputs_are_proved_one_by_one() -> None:
    """An image and a sound in, logits and features out: narrower in both branches, every output as it must be."""
    module, inputs = both_network(), both_samples()
    before = sum(parameter.numel() for parameter in module.parameters())

    cuts = {cut.group: cut for cut in prune(module, inputs, criterion="l2", ratio=0.3, multiple=2, max_ratio=0.75)}

    logits, features = module(*inputs)
    assert (logits.shape, features.shape) == ((96, 4), (96, 16))
    assert sum(parameter.numel() for parameter in module.parameters()) < before
    assert any(cut.after < cut.before for name, cut in cuts.items() if name.startswith("sight"))
    assert any(cut.after < cut.before for name, cut in cuts.items() if name.startswith("hearing"))


def test_a_wrong_second_output_is_found() -> None:
    """The first output is as it must be, the second reads the channels by their position: nothing is called done."""

    class Wrong(nn.Module):
        """Gives right logits, and channels weighted by their place."""

        def __init__(self) -> None:
            """Make the layers."""
            super().__init__()
            self.features, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 3, 1)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            """Map (batch, 1, height, width) to (batch, 3) and (batch, 1)."""
            features = F.relu(self.features(images))
            weights = torch.arange(1, features.shape[1] + 1).reshape(1, -1, 1, 1)
            return self.head(features).mean((2, 3)), self.head(features * weights).sum((1, 2, 3))[:, None]

    with pytest.raises(StageError, match="removing channels changed the outputs"):
        cut(perturbed(Wrong()))


def test_a_sequence_is_cut_like_an_image() -> None:
    """Convolutions over time, by the same proof."""
    module = perturbed(
        nn.Sequential(
            nn.Conv1d(2, 8, 5), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3, groups=8), nn.Conv1d(8, 8, 1),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3),
        )
    )  # fmt: skip
    sounds = torch.rand(4, 2, 20, generator=torch.Generator().manual_seed(3))

    cuts = prune(module, (sounds,), criterion="l2", ratio=0.5, multiple=2, max_ratio=0.75)

    assert [cut.before for cut in cuts] == [8, 8]
    assert sum(cut.after for cut in cuts) == 8
    assert module(sounds).shape == (4, 3)
