"""distill: a mobile student trained with the teacher."""

from pathlib import Path

from edgekd.stages.origin import built
from edgekd.stages.recovery import recover
from edgekd.stages.result import ensure_better_than_chance, ensure_same_answers, save_result
from edgekd.stages.settings import Distill
from edgekd.stages.stage import Env, Inputs, Record

_STUDENT_SEED = 1
"""Added to the seed, so that the student does not start from the teacher's random numbers."""


def run(settings: Distill, inputs: Inputs, out: Path, env: Env) -> Record:
    """Train and save the student."""
    network, student = built(settings, env.task, seed=env.seed + _STUDENT_SEED)
    recover("distill", student, inputs["teacher"], settings, env)
    return save_result(out, network, student, env)


def ensures(_settings: Distill, _inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: better than chance, and the same answers from the saved network and its ONNX graph."""
    ensure_better_than_chance(out, env.task, "distill")
    ensure_same_answers(out, env.task)
