"""Every stage's promise is checked after it ran: each test breaks one in a real result and sees it found."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.torch import load_file, save_file

from edgekd.core.errors import ParityError, StageError
from edgekd.core.progress import SilentProgress
from edgekd.plan import Plan, make_plan, read_recipe
from edgekd.stages.settings import Kind, Settings
from edgekd.stages.stage import Env
from edgekd.stages.table import STAGES
from edgekd.tasks.digits import load_digits

pytestmark = pytest.mark.slow

TARGET = "raspberry-pi-4"


class Made:
    """The results of one real run, copied so that a test may damage them."""

    def __init__(self, bundle: Path, store: Path, folder: Path) -> None:
        """Read the lineage of *bundle* and copy its results from *store* to *folder*."""
        lineage = json.loads((bundle / "manifest.json").read_text())["lineage"]
        self.plan: Plan = make_plan(None, read_recipe(bundle / "plan.toml", ()))
        self.inputs: Mapping[str, Mapping[Kind, Path]] = {
            entry["stage"]: {
                cast("Kind", kind): store / "objects" / key[:2] / key for kind, key in entry["inputs"].items()
            }
            for entry in lineage
        }
        self.out = {entry["stage"]: folder / entry["stage"] for entry in lineage}
        for entry in lineage:
            key = entry["key"]
            shutil.copytree(store / "objects" / key[:2] / key, self.out[entry["stage"]])
        self.env = Env(task=load_digits(), seed=0, progress=SilentProgress(), scratch=folder, cache=folder)

    def settings(self, stage: str) -> Settings:
        """Return the settings that *stage* ran with."""
        return next(settings for settings in self.plan.stages if settings.stage.name == stage)

    def check(self, stage: str, **changes: Any) -> None:  # noqa: ANN401 - fields of any settings
        """Check the promise of *stage* on its copied result."""
        settings = msgspec.structs.replace(self.settings(stage), **changes)
        STAGES[stage].ensures(settings, self.inputs[stage], self.out[stage], self.env)


@pytest.fixture
def made(bundle_of: Callable[[str], Path], shared_store: Path, tmp_path: Path) -> Made:
    """Return the results behind a tiny bundle."""
    return Made(bundle_of(TARGET), shared_store, tmp_path)


def change_tensors(folder: Path, factor: float) -> None:
    """Multiply every floating tensor of the saved network by *factor*."""
    tensors = load_file(folder / "weights.safetensors")
    save_file(
        {name: tensor * factor if tensor.is_floating_point() else tensor for name, tensor in tensors.items()},
        folder / "weights.safetensors",
    )


@pytest.mark.parametrize("stage", ["teach", "distill", "prune", "factorize", "quantize", "export"])
def test_a_sound_result_keeps_its_promise(made: Made, stage: str) -> None:
    """What the stages really leave passes their own checks."""
    made.check(stage)


@pytest.mark.parametrize("stage", ["teach", "distill", "prune", "factorize"])
def test_a_network_without_knowledge_is_refused(made: Made, stage: str) -> None:
    """Weights of zero know no more than chance, and the error names the stage's own settings."""
    change_tensors(made.out[stage], 0.0)
    with pytest.raises(StageError, match=f"{stage}.epochs"):
        made.check(stage)


@pytest.mark.parametrize("stage", ["teach", "distill", "prune", "factorize"])
def test_a_graph_that_answers_otherwise_is_refused(made: Made, stage: str) -> None:
    """A bias that differs between the saved network and its ONNX graph breaks parity."""
    model = onnx.load(made.out[stage] / "graph.onnx")
    bias = next(i for i in model.graph.initializer if list(i.dims) == [10])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.5), bias.name))
    onnx.save(model, made.out[stage] / "graph.onnx")
    with pytest.raises(ParityError, match="differ"):
        made.check(stage)


def test_channels_off_the_target_s_blocks_are_refused(made: Made) -> None:
    """A cut to a width that is no multiple of the asked one breaks the promise of prune."""
    with pytest.raises(StageError, match="blocks of 7"):
        made.check("prune", multiple=7)


def test_factorizing_into_more_arithmetic_is_refused(made: Made) -> None:
    """A split network that needs more multiply-accumulates than the whole one breaks the promise of factorize."""
    shutil.rmtree(made.out["factorize"])
    shutil.copytree(made.out["distill"], made.out["factorize"])
    with pytest.raises(StageError, match="rose"):
        made.check("factorize")


def test_a_simulation_that_is_not_the_file_is_refused(made: Made) -> None:
    """Grids other than those in the ONNX file make the two disagree on the class."""
    path = made.out["quantize"] / "encodings.json"
    encodings = json.loads(path.read_text())
    for grid in encodings["activations"].values():
        grid["scale"] /= 16
    path.write_text(json.dumps(encodings))
    with pytest.raises(ParityError, match="agree"):
        made.check("quantize")


def test_a_file_at_another_opset_is_refused(made: Made) -> None:
    """An opset that is not the target's breaks the promise of export."""
    with pytest.raises(StageError, match="opset"):
        made.check("export", opset=14)


def test_quantization_in_a_float_file_is_refused(made: Made) -> None:
    """The INT8 file under the name of the float one is found by its operators."""
    shutil.copy(made.out["export"] / "model.int8.onnx", made.out["export"] / "model.fp32.onnx")
    with pytest.raises(StageError, match="QuantizeLinear"):
        made.check("export")


def test_a_float_island_in_an_int8_file_is_refused(made: Made) -> None:
    """One convolution that reads float keeps its float kernel, and export says so."""
    path = made.out["export"] / "model.int8.onnx"
    model = onnx.load(path)
    producers = {output: node for node in model.graph.node for output in node.output}
    conv = next(node for node in model.graph.node if node.op_type == "Conv" and node.input[0] != "input_dq")
    dequantize = producers[conv.input[0]]
    conv.input[0] = producers[dequantize.input[0]].input[0]
    onnx.save(model, path)
    with pytest.raises(StageError, match="float"):
        made.check("export")


def test_a_file_that_answers_otherwise_is_refused(made: Made) -> None:
    """A shipped file whose logits moved is no longer the network it was made from."""
    path = made.out["export"] / "model.fp16.onnx"
    model = onnx.load(path)
    output = model.graph.output[0].name
    node = next(node for node in model.graph.node if output in node.output)
    node.output[0] = "unscaled"
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.5, dtype=np.float32), "one_and_a_half"))
    model.graph.node.append(helper.make_node("Mul", ["unscaled", "one_and_a_half"], [output]))
    onnx.save(model, path)
    with pytest.raises(ParityError, match="logits differ"):
        made.check("export")
