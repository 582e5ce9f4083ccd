"""quantize: fake quantization placed for the target's runtime on the exported graph, tuned with the teacher."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
import torch
from onnx import ModelProto

from edgekd.core.errors import ParityError
from edgekd.export.integer_forms import with_integer_forms
from edgekd.networks.layout import GRAPH
from edgekd.networks.session import answers, open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.fake import Encodings
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.ptq import Prepared
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.samples import read
from edgekd.quantize.sensitivity import Sensitivity, sensitivities
from edgekd.quantize.simulation import SimulatedGraph, trained_model
from edgekd.stages.recovery import recover
from edgekd.stages.result import read_graph, write_graph
from edgekd.stages.settings import Quantize
from edgekd.stages.stage import Env, Inputs, Record
from edgekd.tasks.task import Split
from edgekd.train.batches import training_batches
from edgekd.train.evaluate import accuracy_of, logits_of

FLOAT_GRAPH: Final = "float.onnx"
ENCODINGS: Final = "encodings.json"
AGREEMENT: Final = 0.999
JUDGING: Final = 256
"""Validation samples on which layers are told apart."""


def run(settings: Quantize, inputs: Inputs, out: Path, env: Env) -> Record:
    """Calibrate, fine-tune and write the quantized graph (opset 18; ``export`` brings it to the target's)."""
    graph = with_integer_forms(read_graph(inputs["student"]))
    places = place(graph.graph, PLACEMENTS[settings.placement])
    simulation = SimulatedGraph(graph, places)
    rows = env.task.read(env.task.train, slice(0, settings.calibration_samples))
    batches = training_batches(env.task, settings, seed=env.seed, world=env.world)
    held_after = round(settings.hold_scales_after * batches.steps * settings.accumulate)
    encodings = calibrated(simulation, *(torch.from_numpy(array) for array in rows))
    simulation.quantize(
        encodings,
        rule=settings.scales,
        held_after=held_after,
    )
    after_calibration = accuracy_of(simulation, env.task, env.task.validation)
    env.progress.say("quantize: how much each layer costs alone, before tuning")
    costs = _sensitivities(graph, encodings, settings, env)
    recover("quantize", simulation, inputs[settings.source], settings, env)
    tuned, learned = trained_model(graph, simulation), simulation.encodings()
    write_graph(out, write_qdq(tuned, places, learned))
    (out / FLOAT_GRAPH).write_bytes(tuned.SerializeToString(deterministic=True))
    (out / ENCODINGS).write_bytes(msgspec.json.format(msgspec.json.encode(learned), indent=1))
    return {
        "validation_accuracy_after_calibration": after_calibration,
        "validation_accuracy": accuracy_of(simulation, env.task, env.task.validation),
        "quantized_activations": len(places.readers),
        "quantized_layers": len(places.weights),
        "sensitivity": msgspec.to_builtins(costs),
        "agreement": {name: _agreement(simulation, out, env, split) for name, split in _splits(env).items()},
    }


def ensures(settings: Quantize, _inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: the simulation, rebuilt from the files, and ONNX Runtime's reference arithmetic name the same class."""
    simulation = simulation_from(out, settings)
    found = _agreement(simulation, out, env, env.task.validation)["top1"]
    if found < AGREEMENT:
        message = (
            f"quantize: fake quantization and ONNX Runtime agree on {found:.2%} of the validation images; "
            f"expected {AGREEMENT:.1%}: the graph that was tuned is not the graph that ships."
        )
        raise ParityError(message)


def _sensitivities(graph: ModelProto, encodings: Encodings, settings: Quantize, env: Env) -> tuple[Sensitivity, ...]:
    """Return what each layer of the calibrated *graph* costs alone on validation images. It chooses nothing."""
    samples = read(env.task, env.task.validation, count=JUDGING)
    ready = Prepared(
        real=graph,
        rounded=graph,
        encodings=encodings,
        placement=PLACEMENTS[settings.placement],
        corrects_biases=False,
        calibration=samples,
        trials=(),
        layers=(),
    )
    return tuple(sensitivities(ready, samples))


def simulation_from(folder: Path, settings: Quantize) -> SimulatedGraph:
    """Return the fine-tuned simulation that the result *folder* holds."""
    graph = onnx.load(folder / FLOAT_GRAPH)
    simulation = SimulatedGraph(graph, place(graph.graph, PLACEMENTS[settings.placement]))
    simulation.quantize(msgspec.json.decode((folder / ENCODINGS).read_bytes(), type=Encodings))
    return simulation


def _splits(env: Env) -> dict[str, Split]:
    """Return the splits on which agreement is recorded; agreement is no choice, so test data may take part."""
    return {"validation": env.task.validation, "test": env.task.test}


def _agreement(simulation: SimulatedGraph, out: Path, env: Env, split: Split) -> dict[str, float]:
    """Return how simulation and ONNX Runtime's reference arithmetic agree on *split*."""
    expected = logits_of(simulation, env.task, split).numpy()
    found = answers(open_session(out / GRAPH, arithmetic="reference"), env.task.batches(split))
    return {
        "samples": len(split),
        "top1": float((expected.argmax(1) == found.argmax(1)).mean()),
        "largest_logit_difference": float(np.abs(expected - found).max()),
    }
