"""What a process of a distributed run does in the tests: run as ``ranks.py FOLDER`` with torchrun's variables set.

Each scenario is a function of the process's place, so that a test can call the same one alone and compare.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from samples import STILL, image_task, random_task
from torch import Tensor, nn

from edgekd.core.progress import SilentProgress
from edgekd.networks.answer import outputs_of
from edgekd.networks.resnet import resnet
from edgekd.train.batches import Batch, training_batches
from edgekd.train.distributed import World, averaged, data_parallel, first_alone, from_writer, gathered, join, leave
from edgekd.train.evaluate import accuracy_of, logits_of
from edgekd.train.fit import Run, fit
from edgekd.train.supervised import Supervised, label_loss
from edgekd.train.training import Training

NORMS: Final[Mapping[str, Callable[[], nn.Module]]] = MappingProxyType(
    {
        "plain": lambda: nn.BatchNorm2d(3),
        "without weights": lambda: nn.BatchNorm2d(3, affine=False),
        "cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
        "without statistics": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    }
)
STEPS: Final = 50


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """Return what *make* makes, the same in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def images() -> Tensor:
    """Return a batch of 6 for a norm of three channels, far from 0 so that the centring counts."""
    return torch.rand(6, 3, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 10


def normed(world: World, folder: Path) -> dict[str, Tensor]:
    """Return outputs, gradients and statistics of every norm for this process's rows of ``images``, in double."""
    del folder
    weights = torch.linspace(-1, 2, 6 * 3 * 2 * 4, dtype=torch.float64).reshape(6, 3, 2, 4)
    found: dict[str, Tensor] = {}
    for name, make in NORMS.items():
        # The convolution changes nothing: it is there because a module without parameters cannot be made parallel.
        first, norm = nn.Conv2d(3, 3, 1, bias=False), make()
        module = nn.Sequential(first, norm).double()
        nn.init.dirac_(first.weight)
        rows = images().chunk(world.size)[world.rank].requires_grad_()
        with data_parallel(module, world, has_idle_parameters=False) as parallel:
            parallel(rows)
            answer = parallel(rows)  # the second time, for the statistics to have a past
            (answer * weights.chunk(world.size)[world.rank]).sum().backward()
        assert rows.grad is not None
        found |= {f"{name}/answer": answer.detach(), f"{name}/gradient": rows.grad}
        found |= {f"{name}/{key}": tensor.double() for key, tensor in norm.named_buffers()}
        for key, parameter in norm.named_parameters():
            assert parameter.grad is not None
            found[f"{name}/{key} gradient"] = parameter.grad * world.size
    return found


def narrow(world: World, folder: Path) -> dict[str, Tensor]:
    """Return what a norm gives in bfloat16, and its statistics."""
    del folder
    norm = nn.BatchNorm2d(3)
    rows = images().to(torch.bfloat16).chunk(world.size)[world.rank]
    with data_parallel(norm, world, has_idle_parameters=False) as parallel:
        answer = parallel(rows)
    assert answer.dtype == torch.bfloat16
    assert norm.running_var is not None
    return {"answer": answer.detach().float(), "variance": norm.running_var}


def evaluated_norm(world: World, folder: Path) -> dict[str, Tensor]:
    """Return what a norm without statistics gives in evaluation for one row, in the last process for two."""
    del folder
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    with data_parallel(norm, world, has_idle_parameters=False) as parallel, torch.no_grad():
        parallel.eval()
        return {"answer": norm(images().float()[: 1 + world.rank])}


def rows(world: World, folder: Path) -> dict[str, Tensor]:
    """Return what is gathered of 1, 2, ... rows that hold their process's number, and of rows in one process only."""
    del folder
    mine = torch.full((world.rank + 1, 2), float(world.rank))
    lonely = torch.full((3 * (world.rank == world.size - 1),), 7)
    return {
        "unequal": gathered(mine, world),
        "lonely": gathered(lonely, world),
        "mean": averaged(torch.tensor(float(world.rank)), world),
        "word": torch.tensor(from_writer(world.rank + 5, world)),
    }


def in_order(world: World, folder: Path) -> dict[str, Tensor]:
    """Return whether the file that the first process writes was there when this one came."""
    file = folder / "written"
    with first_alone(world):
        was_there = file.exists()
        file.touch()
    return {"was there": torch.tensor(was_there)}


def evaluated(world: World, folder: Path) -> dict[str, Tensor]:
    """Return the logits of 521 samples, and of one, where most processes have none."""
    del folder
    module = seeded(lambda: resnet(classes=10, width=8))
    many, one = random_task(521, 1, 8, 8), random_task(2, 1, 8, 8)
    few = image_task(np.asarray(one.train.inputs[0])[:1].repeat(2, 0), np.array([0, 1]))
    single = few.train.__class__(inputs=(few.train.inputs[0][:1],), labels=few.train.targets[:1])
    return {
        "many": logits_of(module, many, many.test, world=world),
        "one": logits_of(module, few, single, world=world),
        "accuracy": torch.tensor(accuracy_of(module, many, many.test, world=world)),
    }


def trained(world: World, folder: Path) -> dict[str, Tensor]:
    """Return the losses of 50 steps of a residual network in double precision, and its tensors after them.

    In float32 so small a network may amplify the last bit to a thousandth in these steps: a channel that is all but
    constant is rounding noise after its norm, and the ReLU behind that decides by its sign.
    """
    return _trained(world, folder, lambda: Wide(resnet(classes=10, width=8)), name="whole")


def accumulated(world: World, folder: Path) -> dict[str, Tensor]:
    """Return the same for a network without norms, in two parts for each step, clipped, in fewer steps."""
    make = lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))  # noqa: E731
    return _trained(world, folder, make, name="parts", accumulate=2, clip_norm=0.5, averaging="ema", patience=9)


class Wide(nn.Module):
    """A network that computes in double precision."""

    def __init__(self, network: nn.Module) -> None:
        """Widen *network*."""
        super().__init__()
        self.network = network.double()

    def forward(self, images: Tensor) -> Tensor:
        """Return its answer."""
        return torch.as_tensor(self.network(images.double()))


class TwoHeads(nn.Module):
    """A network with an answer that no loss sees."""

    def __init__(self) -> None:
        """Build both heads."""
        super().__init__()
        self.used, self.idle = nn.Linear(64, 10), nn.Linear(64, 4)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return both answers."""
        return self.used(pixels.flatten(1)), self.idle(pixels.flatten(1))


class FirstOnly(nn.Module):
    """The loss of the first answer."""

    def __init__(self, network: nn.Module) -> None:
        """Train *network*."""
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of *batch*."""
        return label_loss(outputs_of(self.network, batch.inputs)[0], batch)


def idle(world: World, folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a network with an idle head after some steps with L1 on all of it."""
    module = seeded(TwoHeads)
    training = Training(epochs=2, lr=0.01, batch_size=16, l1=1e-3, **STILL)
    run = Run(name="idle", progress=SilentProgress(), checkpoint=folder / f"idle-{world.rank}")
    task = image_task(digit_like(), np.arange(128) % 10)
    fit(FirstOnly(module), training_batches(task, training, seed=0, world=world), run)
    return dict(module.state_dict())


def digit_like() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return 128 images of 8x8 pixels, those of a class alike, so that there is something to learn."""
    random = np.random.default_rng(3)
    classes = random.integers(0, 3, (10, 1, 8, 8))
    return (classes[np.arange(128) % 10] + random.integers(0, 2, (128, 1, 8, 8))).astype(np.uint8)


def _trained(
    world: World, folder: Path, make: Callable[[], nn.Module], *, name: str, **settings: float | str
) -> dict[str, Tensor]:
    """Return the losses and the final tensors of a training with everything about samples switched on."""
    module, losses = seeded(make), []
    task = image_task(digit_like(), np.arange(128) % 10)
    training = Training(epochs=13, lr=0.05, batch_size=32, crop=1, flip=True, mixup=0.2, **settings)  # type: ignore[arg-type]
    run = Run(
        name=name,
        progress=SilentProgress(),
        checkpoint=folder / f"{name}-{world.rank}",
        observe=lambda _step, loss: losses.append(loss),
        judge=lambda: accuracy_of(module, task, task.validation, world=world),
    )
    fit(Supervised(module), training_batches(task, training, seed=0, world=world), run)
    return {"losses": torch.tensor(losses[:STEPS], dtype=torch.float64)} | dict(module.state_dict())


SCENARIOS: Final[Mapping[str, Callable[[World, Path], dict[str, Tensor]]]] = MappingProxyType(
    {
        "normed": normed,
        "narrow": narrow,
        "evaluated_norm": evaluated_norm,
        "rows": rows,
        "in_order": in_order,
        "evaluated": evaluated,
        "trained": trained,
        "accumulated": accumulated,
        "idle": idle,
    }
)


def main(folder: Path) -> None:
    """Run every scenario and leave its tensors in ``<scenario>-<rank>.safetensors``."""
    world = join(torch.device("cpu"))
    for name, scenario in SCENARIOS.items():
        tensors = {key: tensor.detach().contiguous() for key, tensor in scenario(world, folder).items()}
        save_file(tensors, folder / f"{name}-{world.rank}.safetensors")
    leave(world)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
