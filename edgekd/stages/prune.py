"""prune: coupled channels cut out in the target's block size, then recovery with the teacher."""

from pathlib import Path

import msgspec
import torch

from edgekd.core.errors import StageError
from edgekd.networks.edits import resizes_between, structure_of
from edgekd.networks.network import load_network
from edgekd.prune.cutting import prune
from edgekd.stages.recovery import recover
from edgekd.stages.result import ensure_better_than_chance, ensure_same_answers, save_result
from edgekd.stages.settings import Prune
from edgekd.stages.stage import Env, Inputs, Record

PROOF_SAMPLES = 16
NOTEWORTHY = 0.02
"""A difference between the asked and the removed part of the channels that is said."""


def run(settings: Prune, inputs: Inputs, out: Path, env: Env) -> Record:
    """Cut, recover and save the student."""
    network, student = load_network(inputs["student"])
    whole = structure_of(student)
    rows = env.task.read(env.task.validation, slice(0, PROOF_SAMPLES))
    example = tuple(torch.from_numpy(array) for array in rows)
    cuts = prune(
        student,
        example,
        criterion=settings.criterion,
        ratio=settings.ratio,
        multiple=settings.multiple,
        max_ratio=settings.max_ratio,
    )
    before, after = sum(cut.before for cut in cuts), sum(cut.after for cut in cuts)
    removed = 1 - after / before if before else 0.0
    if abs(removed - settings.ratio) > NOTEWORTHY:
        env.progress.say(
            f"prune: {settings.ratio:.0%} of the channels asked, {removed:.0%} removed: that is what blocks of "
            f"{settings.multiple} and max_ratio = {settings.max_ratio} permit"
        )
    recover("prune", student, inputs[settings.source], settings, env)
    record = save_result(out, network.edited(*resizes_between(whole, student)), student, env)
    return record | {
        "groups": msgspec.to_builtins(cuts),
        "asked_ratio": settings.ratio,
        "removed_ratio": removed,
    }


def ensures(settings: Prune, inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: kept channels of every cut group are whole blocks, never wider than before; answers agree."""
    _, whole = load_network(inputs["student"])
    _, cut = load_network(out)
    for (path, before), (_, after) in zip(whole.named_parameters(), cut.named_parameters(), strict=True):
        for old, new in zip(before.shape, after.shape, strict=True):
            if new > old or (new != old and new % settings.multiple):
                message = (
                    f"prune: {path} went from {old} to {new} channels; "
                    f"expected fewer, in blocks of {settings.multiple}."
                )
                raise StageError(message)
    ensure_better_than_chance(out, env.task, "prune")
    ensure_same_answers(out, env.task)
