"""Sums of two activations, by hand and over all pairs of levels against ONNX Runtime's kernels for x86 and ARM."""

import platform
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest
import torch
from emulator import the_emulator
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import run_emulated
from edgekd.networks.session import open_session
from edgekd.quantize.fake import Grid
from edgekd.quantize.kernels import integer_sum

Sum = tuple[Grid, Grid, Grid]
Levels = NDArray[np.int8]

EVERY: Final = np.arange(-128, 128, dtype=np.int8)
TAIL: Final = 3
"""Pairs beyond a multiple of the kernels' eight lanes."""


def single(number: float) -> float:
    """Return *number* as the float32 that a file holds."""
    return float(np.float32(number))


def some_sums() -> tuple[Sum, ...]:
    """Return random grids; steps whose halves are ties; ratios at both ends of what fixed point takes, and beyond."""
    random = np.random.default_rng(1)
    steps = [(a, b, (a + b) * c) for a, b, c in random.uniform([0.01, 0.01, 0.6], [0.05, 0.05, 1], (16, 3))]
    steps += [(1, 1, 2), (0.5, 1, 1), (3, 1, 4), (0.3, 0.3, 0.3)]
    steps += [(1, 2.0**-13.5, 1), (1, 2.0**-14, 1), (1, 2.0**-14.5, 1), (255, 255, 1), (256, 1, 1), (300, 1, 1)]
    zeros = random.integers(-128, 60, (len(steps), 3))
    zeros[16:20] = 0
    return tuple(
        (
            Grid(scale=single(a), zero_point=int(x)),
            Grid(scale=single(b), zero_point=int(y)),
            Grid(scale=single(c), zero_point=int(z)),
        )
        for (a, b, c), (x, y, z) in zip(steps, zeros, strict=True)
    )


def pairs() -> tuple[Levels, Levels]:
    """Return all 65,536 pairs of signed levels and a few of them again, (1, n) each."""
    first, second = np.repeat(EVERY, 256), np.tile(EVERY, 256)
    return tuple(np.append(one, one[1000 : 1000 + TAIL])[None] for one in (first, second))  # type: ignore[return-value]


def network(sums: tuple[Sum, ...], *, unsigned: bool) -> ModelProto:
    """Return a network that adds its two inputs of levels on each of *sums*, and gives levels."""
    nodes, constants = [], []
    kind, shift = (TensorProto.UINT8, 128) if unsigned else (TensorProto.INT8, 0)
    for number, grids in enumerate(sums):
        for name, grid in zip("abc", grids, strict=True):
            constants += [
                numpy_helper.from_array(np.array(grid.scale, np.float32), f"{name}{number}s"),
                numpy_helper.from_array(
                    np.array(grid.zero_point + shift, helper.tensor_dtype_to_np_dtype(kind)), f"{name}{number}z"
                ),
            ]
        nodes += [
            helper.make_node("DequantizeLinear", [x, f"{x}{number}s", f"{x}{number}z"], [f"{x}{number}"]) for x in "ab"
        ]
        nodes += [
            helper.make_node("Add", [f"a{number}", f"b{number}"], [f"sum{number}"]),
            helper.make_node("QuantizeLinear", [f"sum{number}", f"c{number}s", f"c{number}z"], [f"y{number}"]),
        ]
    shape = pairs()[0].shape
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, kind, shape) for name in "ab"],
        [helper.make_tensor_value_info(f"y{number}", kind, shape) for number in range(len(sums))],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def written(levels: Levels, *, unsigned: bool) -> NDArray[np.int8 | np.uint8]:
    """Return signed levels as a file of that kind has them."""
    return (levels.astype(int) + 128).astype(np.uint8) if unsigned else levels


def simulated(grids: Sum, *, fixed_point: bool, unsigned: bool) -> Levels:
    """Return the levels that the simulation gives, signed."""
    first, second, result = grids
    terms = [
        ((torch.from_numpy(levels).float() - grid.zero_point) * torch.tensor(grid.scale), grid)
        for levels, grid in zip(pairs(), (first, second), strict=True)
    ]
    real = integer_sum(*terms, result=result, fixed_point=fixed_point, unsigned=unsigned)
    levels: Levels = (torch.round(real / torch.tensor(result.scale)) + result.zero_point).to(torch.int8).numpy()
    return levels


@pytest.mark.parametrize(("fixed_point", "expected"), [(False, [0, 2, 0, -2]), (True, [1, 2, -1, -2])])
def test_ties_go_to_even_on_x86_and_away_from_zero_on_arm(*, fixed_point: bool, expected: list[int]) -> None:
    """0.5, 1.5, -0.5 and -1.5 steps of the result."""
    grid = Grid(scale=1.0, zero_point=0)
    terms = ((torch.tensor([1.0, 2.0, -1.0, -2.0]), grid), (torch.tensor([0.0, 1.0, 0.0, -1.0]), grid))
    found = integer_sum(*terms, result=Grid(scale=2.0, zero_point=0), fixed_point=fixed_point)
    assert (found / 2).tolist() == expected


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernel for x86 runs on x86")
@pytest.mark.parametrize("unsigned", [False, True])
def test_every_sum_is_that_of_the_kernel_for_x86(*, unsigned: bool) -> None:
    """Random grids, ties and extreme ratios, all pairs of levels: the same integer each time."""
    feeds = {name: written(levels, unsigned=unsigned) for name, levels in zip("ab", pairs(), strict=True)}
    answers = open_session(network(some_sums(), unsigned=unsigned), arithmetic="arm64-kernels").run(None, feeds)
    for grids, answer in zip(some_sums(), answers, strict=True):
        expected = simulated(grids, fixed_point=False, unsigned=unsigned)
        np.testing.assert_array_equal(written(expected, unsigned=unsigned), answer, err_msg=str(grids))


@pytest.mark.slow
@pytest.mark.parametrize(("core", "unsigned"), [("cortex-a53", True), ("cortex-a76", False)])
def test_every_sum_is_that_of_the_kernel_for_arm(tmp_path: Path, core: str, *, unsigned: bool) -> None:
    """The same on emulated cores, with the few pairs that do not fill the lanes of a vector."""
    path = tmp_path / "sums.onnx"
    onnx.save(network(some_sums(), unsigned=unsigned), path)
    feeds = tuple(written(levels, unsigned=unsigned) for levels in pairs())
    answers = run_emulated(the_emulator(), CORES[core], path, [feeds]).outputs
    for grids, answer in zip(some_sums(), answers, strict=True):
        expected = simulated(grids, fixed_point=True, unsigned=unsigned)
        np.testing.assert_array_equal(written(expected, unsigned=unsigned), answer, err_msg=str(grids))
