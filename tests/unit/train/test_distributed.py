"""Two processes against one: what they compute together is what one computes alone."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import ranks
import torch
from safetensors.torch import load_file
from torch import Tensor

from edgekd.train.distributed import World, data_parallel, first_alone, from_writer, gathered

Found = Callable[[str], tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which two processes left the results of all scenarios."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    paths = os.pathsep.join([str(Path(ranks.__file__).parent), str(Path(__file__).parents[3])])
    workers = [
        subprocess.Popen(
            [sys.executable, ranks.__file__, str(folder)],
            env=os.environ | place | {"RANK": str(rank), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [worker.communicate(timeout=200)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
    return folder


@pytest.fixture
def found(folder: Path) -> Found:
    """Give a scenario's tensors in the first and in the second process."""

    def read(name: str) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        first, second = (load_file(folder / f"{name}-{rank}.safetensors") for rank in range(2))
        return first, second

    return read


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("norm", ranks.NORMS)
def test_a_norm_sees_the_whole_batch(found: Found, tmp_path: Path, norm: str) -> None:
    """Answers, gradients of rows and weights, and statistics of two halves are nn.BatchNorm's of the whole."""
    alone = ranks.normed(World(), tmp_path)
    first, second = found("normed")

    for name in (name for name in alone if name.startswith(f"{norm}/")):
        is_of_rows = name.endswith(("/answer", "/gradient"))
        together = torch.cat([first[name], second[name]]) if is_of_rows else first[name]
        torch.testing.assert_close(together, alone[name], rtol=1e-10, atol=1e-10)
        assert is_of_rows or torch.equal(first[name], second[name])


def test_a_norm_takes_narrow_numbers_and_keeps_its_statistics_wide(found: Found, tmp_path: Path) -> None:
    """Bfloat16 in and out, as nn.BatchNorm does it, but the variance of numbers around 11 is a float32's."""
    alone = ranks.narrow(World(), tmp_path)
    first, second = found("narrow")

    torch.testing.assert_close(torch.cat([first["answer"], second["answer"]]), alone["answer"], rtol=0.02, atol=0.02)
    torch.testing.assert_close(first["variance"], alone["variance"], rtol=1e-4, atol=0)


def test_a_norm_in_evaluation_waits_for_nobody(found: Found) -> None:
    """Processes may have unequal rows there: each one's are normalized by themselves."""
    for rank, process in enumerate(found("evaluated_norm")):
        rows = ranks.images().float()[: 1 + rank]
        expected = torch.nn.functional.batch_norm(rows, None, None, training=True)
        torch.testing.assert_close(process["answer"], expected)


def test_rows_are_gathered_in_the_order_of_ranks(found: Found) -> None:
    """One row of zeros and two of ones; three of the second alone; the mean of 0 and 1; and what the first says."""
    for process in found("rows"):
        assert process["unequal"].tolist() == [[0, 0], [1, 1], [1, 1]]
        assert process["lonely"].tolist() == [7, 7, 7]
        assert process["mean"] == 0.5
        assert process["word"] == 5


def test_the_first_process_goes_first(found: Found) -> None:
    """The second finds what it left."""
    first, second = found("in_order")

    assert not first["was there"]
    assert second["was there"]


@pytest.mark.parametrize("split", ["many", "one"])
def test_evaluation_counts_every_sample_once(found: Found, tmp_path: Path, split: str) -> None:
    """261 and 260 samples, or 1 and 0: both processes get the logits of all, in their order."""
    alone = ranks.evaluated(World(), tmp_path)
    first, second = found("evaluated")

    assert torch.equal(first[split], second[split])
    torch.testing.assert_close(first[split], alone[split], rtol=1e-5, atol=1e-5)
    assert first["accuracy"] == second["accuracy"] == alone["accuracy"]


def test_two_processes_follow_the_losses_of_one(found: Found, tmp_path: Path) -> None:
    """With half of each batch, for 50 steps of a network with norms: statistics and weights too, both bit-equal."""
    alone = ranks.trained(World(), tmp_path)
    first, second = found("trained")

    torch.testing.assert_close(first["losses"], alone["losses"], rtol=1e-6, atol=0)
    assert len(alone["losses"]) == ranks.STEPS
    assert alone["losses"][-5:].mean() < alone["losses"][:5].mean() * 0.8
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-5)


def test_parts_clipping_averages_and_patience_agree_too(found: Found, tmp_path: Path) -> None:
    """Gradients are shared after the last part, and the best epoch is the same one in both."""
    alone = ranks.accumulated(World(), tmp_path)
    first, second = found("accumulated")

    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_head_that_no_loss_sees_is_trained_alike(found: Found, tmp_path: Path) -> None:
    """The L1 term reaches it without the loss: in two processes as in one."""
    alone = ranks.idle(World(), tmp_path)
    first, _ = found("idle")

    for name, tensor in alone.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-5)


def test_only_the_first_process_writes(folder: Path, found: Found) -> None:
    """Each was given a checkpoint of its own."""
    found("trained")

    assert (folder / "whole-0").is_file()
    assert not (folder / "whole-1").exists()


def test_alone_nothing_is_wrapped_or_waited_for() -> None:
    """One process needs no torch.distributed: the module itself, its own value, its own rows."""
    module, rows = torch.nn.Linear(1, 1), torch.ones(2, 1)

    with data_parallel(module, World(), has_idle_parameters=False) as parallel, first_alone(World()):
        assert parallel is module
    assert gathered(rows, World()) is rows
    assert from_writer("word", World()) == "word"
