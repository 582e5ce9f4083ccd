"""The vision transformer against DeiT-Tiny's figures, and its attention against torch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.vit import SelfAttention, vit

Check = Callable[[nn.Module, tuple[int, ...]], None]


def small() -> nn.Module:
    """Return a transformer of two blocks over sixteen patches and the class token."""
    return vit(classes=5, image_size=8, patch=2, dim=12, depth=2, heads=3).eval()


def test_parameters_are_deit_tinys() -> None:
    """5,717,416 for 1000 classes. A block has four projections, two layers of 4x the width, and two norms."""
    block = 4 * (192 * 192 + 192) + (192 * 768 + 768) + (768 * 192 + 192) + 2 * 2 * 192
    start = (3 * 16 * 16 * 192 + 192) + 192 + 197 * 192

    assert count_parameters(vit()) == start + 12 * block + 2 * 192 + (192 * 1000 + 1000) == 5_717_416


def test_macs_are_deit_tinys() -> None:
    """1.25 G with the two products of attention; the paper rounds to 1.3, others count norms or the softmax too."""
    block = 197 * 192 * (4 * 192 + 2 * 768) + 2 * 197 * 197 * 192
    by_hand = 196 * 768 * 192 + 12 * block + 192 * 1000

    assert count_macs(vit(), (3, 224, 224)) == by_hand
    assert round(by_hand / 1e9, 1) == 1.3


def test_a_hook_on_a_path_sees_the_attention_maps() -> None:
    """(batch, heads, tokens, tokens), each row a distribution; tokens are sixteen patches and the class token."""
    module, seen = small(), list[Tensor]()
    module.get_submodule("blocks.1.attention.maps").register_forward_hook(lambda *call: seen.append(call[2]))

    module(torch.rand(2, 3, 8, 8))

    assert [maps.shape for maps in seen] == [(2, 3, 17, 17)]
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 3, 17))


def test_attention_is_that_of_torchs_own_layer() -> None:
    """The same projections in nn.MultiheadAttention give the same tokens and the same maps."""
    ours, theirs = SelfAttention(12, heads=3), nn.MultiheadAttention(12, 3, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    assert theirs.in_proj_weight is not None
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    tokens, maps = torch.rand(2, 7, 12), list[Tensor]()
    ours.maps.register_forward_hook(lambda *call: maps.append(call[2]))

    expected, expected_maps = theirs(tokens, tokens, tokens, average_attn_weights=False)

    torch.testing.assert_close(ours(tokens), expected)
    torch.testing.assert_close(maps[0], expected_maps)


def test_the_class_token_comes_first() -> None:
    """Without positions and with patches of zeros, token 0 is the class token and the others are zero."""
    module, seen = small(), list[Tensor]()
    class_token = module.get_parameter("class_token")
    nn.init.zeros_(module.get_parameter("positions"))
    nn.init.zeros_(module.get_parameter("patches.bias"))
    module.get_submodule("blocks").register_forward_pre_hook(lambda *call: seen.append(call[1][0]))

    module(torch.zeros(2, 3, 8, 8))

    assert torch.equal(seen[0][:, :1], class_token.expand(2, 1, 12))
    assert torch.equal(seen[0][:, 1:], torch.zeros(2, 16, 12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 33, "patch": 4}, r"image_size: 33 given; expected a multiple of patch \(4\)"),
        ({"image_size": 2, "patch": 4}, r"image_size: 2 given"),
        ({"image_size": 8, "patch": 0}, r"image_size: 8 given; expected a multiple of patch \(0\)"),
        ({"dim": 10, "heads": 3}, r"dim: 10 given; expected a multiple of heads \(3\)"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(arguments: dict[str, int], message: str) -> None:
    """Pixels at the border or features of a head would be lost."""
    with pytest.raises(ConfigError, match=message):
        vit(**arguments)


def test_odd_images_give_one_logit_for_each_class() -> None:
    """Grey images of 15x15 in patches of five."""
    module = vit(classes=7, channels=1, image_size=15, patch=5, dim=8, depth=1, heads=2).eval()

    assert module(torch.zeros(2, 1, 15, 15)).shape == (2, 7)


@pytest.mark.slow
def test_onnx_runtime_answers_as_torch_does(ships: Check) -> None:
    """Attention, norms and the class token run there with equal outputs and a free batch."""
    ships(vit(classes=10, image_size=32, patch=8, dim=48, depth=2, heads=3), (3, 32, 32))
