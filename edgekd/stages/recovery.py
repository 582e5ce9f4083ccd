"""Training a network with the teacher's soft targets: distillation, and the recovery after every cut."""

from torch import Tensor, nn

from edgekd.distill.losses import distillation_loss
from edgekd.stages.settings import Recovery
from edgekd.stages.stage import Env
from edgekd.train.batches import training_batches
from edgekd.train.fit import Loss, Run, fit


def soft_target_objective(student: nn.Module, teacher: nn.Module, settings: Recovery) -> Loss:
    """Return the loss of *student* against *teacher* on the same augmented images."""
    frozen(teacher)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return distillation_loss(
            student(images), teacher(images), labels, temperature=settings.temperature, alpha=settings.alpha
        )

    return loss


def recover(name: str, student: nn.Module, teacher: nn.Module, settings: Recovery, env: Env) -> None:
    """Train *student* in place with *teacher*; continues where a killed run of the same stage stopped."""
    batches = training_batches(env.task, settings, seed=env.seed)
    fit(student, soft_target_objective(student, teacher, settings), batches, run_of(name, env))


def run_of(name: str, env: Env) -> Run:
    """Return where the training of stage *name* reports and saves."""
    return Run(name=name, progress=env.progress, checkpoint=env.scratch / "training.safetensors")


def frozen(teacher: nn.Module) -> nn.Module:
    """Return *teacher* set to evaluation, its parameters without gradients."""
    for parameter in teacher.eval().parameters():
        parameter.requires_grad = False
    return teacher
