"""Post-training quantization: ranges, equalization, rounding and biases, each kept where it measures better."""

from typing import Final

import msgspec
from onnx import ModelProto

from edgekd.core.errors import ConfigError
from edgekd.quantize.adaround import Rounded, round_adaptively
from edgekd.quantize.answering import Distance, distance, logits_on
from edgekd.quantize.bias_correction import correct_biases, with_biases
from edgekd.quantize.calibrate import encodings_for
from edgekd.quantize.equalize import equalized, pairs_of
from edgekd.quantize.fake import Encodings
from edgekd.quantize.placement import Placement, Places, place
from edgekd.quantize.recipe import PostTraining
from edgekd.quantize.samples import Samples
from edgekd.quantize.simulation import SimulatedGraph, trained_model

NOTHING: Final[frozenset[str]] = frozenset()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried: how far it brought the answers from the float ones, and whether it was kept."""

    step: str
    distance: Distance
    was_kept: bool


class Prepared(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A float graph with all that is known for rounding it.

    *real* is the graph, equalized where that helped; *rounded* the same with weights on their grids where AdaRound put
    them. *encodings* hold every place of the full *placement*. *corrects_biases* is what was found best.
    """

    real: ModelProto
    rounded: ModelProto
    encodings: Encodings
    placement: Placement
    corrects_biases: bool
    calibration: Samples
    trials: tuple[Trial, ...]
    layers: tuple[Rounded, ...]


class Tuned(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A graph ready to be written: *model* with its final float weights, its places and encodings, and *simulation*."""

    model: ModelProto
    places: Places
    encodings: Encodings
    simulation: SimulatedGraph


def prepared(
    model: ModelProto, placement: Placement, settings: PostTraining, *, calibration: Samples, judging: Samples
) -> Prepared:
    """Return *model* calibrated on *calibration*, with everything that *settings* ask for, or leave to measurement.

    What is on ``auto`` is kept where it brings the logits on *judging*, other samples, nearer to the float ones. Raises
    ConfigError where those or an activation are not finite.
    """
    plain = with_biases(model)
    wanted = logits_on(float_simulation(plain, placement), judging)
    if not wanted.isfinite().all():
        message = (
            "quantize: the float network answers with NaN or infinite numbers on a validation sample; "
            "correct its weights or the pre-processing."
        )
        raise ConfigError(message)
    best = _calibrated(plain, placement, settings, calibration)
    base = distance(logits_on(assembled(best).simulation, judging), wanted)
    trials = [Trial(step=f"ranges by {settings.method}", distance=base, was_kept=True)]
    for name, choice, change in (
        ("equalization", settings.equalize, _with_equalization),
        ("adaptive rounding", settings.adaround, _with_adaptive_rounding),
        ("bias correction", settings.bias_correction, _with_bias_correction),
    ):
        changed = None if choice == "no" else change(best, settings)
        if changed is None:
            continue
        found = distance(logits_on(assembled(changed).simulation, judging), wanted)
        keeps = choice == "yes" or found.divergence < base.divergence
        trials.append(Trial(step=name, distance=found, was_kept=keeps))
        if keeps:
            best, base = changed, found
    return msgspec.structs.replace(best, trials=tuple(trials))


def assembled(ready: Prepared, keep: frozenset[str] = NOTHING) -> Tuned:
    """Return the quantized graph of *ready* in which the layers *keep* stay in float, with their own weights."""
    model = _with_real_layers(ready, keep)
    places = place(model.graph, ready.placement, keep=keep)
    encodings = restricted(ready.encodings, places)
    simulation = SimulatedGraph(model, places)
    simulation.quantize(encodings)
    simulation.eval()
    if ready.corrects_biases:
        correct_biases(model, simulation, float_simulation(ready.real, ready.placement), ready.calibration)
    return Tuned(model=trained_model(model, simulation), places=places, encodings=encodings, simulation=simulation)


def float_simulation(model: ModelProto, placement: Placement) -> SimulatedGraph:
    """Return *model* as it is before it is rounded."""
    simulation = SimulatedGraph(model, place(model.graph, placement))
    simulation.eval()
    return simulation


def restricted(encodings: Encodings, places: Places) -> Encodings:
    """Return the part of *encodings* that *places*, fewer than those it was made for, have a use for."""
    return Encodings(
        activations={value: encodings.activations[value] for value in places.scale_of},
        weights={weight.name: encodings.weights[weight.name] for weight in places.weights.values()},
    )


def _calibrated(model: ModelProto, placement: Placement, settings: PostTraining, calibration: Samples) -> Prepared:
    """Return *model* with ranges and nothing else."""
    encodings = encodings_for(
        float_simulation(model, placement), calibration, method=settings.method, weights=settings.weights
    )
    return Prepared(
        real=model,
        rounded=model,
        encodings=encodings,
        placement=placement,
        corrects_biases=False,
        calibration=calibration,
        trials=(),
        layers=(),
    )


def _with_equalization(ready: Prepared, settings: PostTraining) -> Prepared | None:
    """Return *ready* equalized and calibrated anew; None where there is nothing to equalize."""
    if not pairs_of(ready.real.graph):
        return None
    return _calibrated(equalized(ready.real), ready.placement, settings, ready.calibration)


def _with_adaptive_rounding(ready: Prepared, settings: PostTraining) -> Prepared:
    """Return *ready* with its weights rounded so that the layers' outputs change least."""
    simulation = assembled(ready).simulation
    reference = float_simulation(ready.real, ready.placement)
    layers = round_adaptively(ready.real, simulation, reference, ready.calibration, seed=settings.seed)
    return msgspec.structs.replace(ready, rounded=trained_model(ready.real, simulation), layers=layers)


def _with_bias_correction(ready: Prepared, _settings: PostTraining) -> Prepared:
    """Return *ready* with biases that make up for the mean error of their layers."""
    return msgspec.structs.replace(ready, corrects_biases=True)


def _with_real_layers(ready: Prepared, keep: frozenset[str]) -> ModelProto:
    """Return the rounded graph in which the constants of the layers *keep* are the real ones."""
    read = {value for node in ready.real.graph.node if node.name in keep for value in node.input}
    mixed = ModelProto()
    mixed.CopyFrom(ready.rounded)
    real = {tensor.name: tensor for tensor in ready.real.graph.initializer}
    for tensor in mixed.graph.initializer:
        if tensor.name in read:
            tensor.CopyFrom(real[tensor.name])
    return mixed
