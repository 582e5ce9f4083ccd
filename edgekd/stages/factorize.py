"""factorize: layers split by truncated SVD where the estimated cost falls, then recovery with the teacher."""

from functools import partial
from pathlib import Path

import msgspec

from edgekd.core.errors import StageError
from edgekd.lowrank.choice import choose
from edgekd.lowrank.forms import forms_of
from edgekd.lowrank.svd import truncated
from edgekd.networks.answer import examples
from edgekd.networks.counting import count_macs
from edgekd.networks.edits import Factorize, replace_module
from edgekd.networks.network import load_network
from edgekd.stages.layer_cost import microseconds
from edgekd.stages.recovery import recover
from edgekd.stages.result import ensure_better_than_chance, ensure_same_answers, save_result
from edgekd.stages.settings import FactorizeLayers
from edgekd.stages.stage import Env, Inputs, Record


def run(settings: FactorizeLayers, inputs: Inputs, out: Path, env: Env) -> Record:
    """Split, recover and save the student; without a layer to split it stays bit for bit as it was."""
    network, student = load_network(inputs["student"])
    forms = forms_of(student, examples(env.task.shapes, batch=1))
    cost_us = partial(microseconds, settings.prices_ns)
    layers = choose(student, forms, cost_us, energy=settings.energy, multiple=settings.rank_multiple)
    edits = tuple(Factorize(path=layer.path, rank=layer.rank) for layer in layers if layer.rank is not None)
    for edit in edits:
        replace_module(student, edit.path, truncated(student.get_submodule(edit.path), rank=edit.rank))
    if edits:
        recover("factorize", student, inputs[settings.source], settings, env)
    else:
        env.progress.say("factorize: no layer's estimated cost would fall; the network stays as it is")
    record = save_result(out, network.edited(*edits), student, env)
    return record | {"layers": msgspec.to_builtins(layers)}


def ensures(_settings: FactorizeLayers, inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: not more arithmetic than before; answers agree."""
    before, after = (count_macs(load_network(f)[1], *env.task.shapes) for f in (inputs["student"], out))
    if after > before:
        message = f"factorize: multiply-accumulates rose from {before} to {after}; expected no more than before."
        raise StageError(message)
    ensure_better_than_chance(out, env.task, "factorize")
    ensure_same_answers(out, env.task)
