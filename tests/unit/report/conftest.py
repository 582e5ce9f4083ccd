"""A small bundle made by hand, and a report."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.bench.latency import Latency
from edgekd.core.digest import file_digest
from edgekd.pipeline import StageResult
from edgekd.plan import make_plan
from edgekd.report.content import Report, file_rows, make_report, shrink_of, stage_rows
from edgekd.stages.measure import Measured
from edgekd.stages.settings import Export
from edgekd.targets import load_target
from edgekd.tasks.digits import load_digits
from edgekd.verdict import judge

MODELS = ("model.onnx", "model.fp32.onnx")
WEIGHTS = np.array([[1.0, 2.0], [3.0, -4.0]], dtype=np.float32)
Editor = Callable[[str, object], None]
MeasuredMaker = Callable[..., Measured]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Give a bundle whose model multiplies (1, 2) by a 2x2 matrix, with two golden inputs."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in MODELS:
        (folder / name).write_bytes(_model())
    images = np.array([[1.0, 0.0], [0.5, -1.0]], dtype=np.float32)
    np.savez(folder / "golden.npz", allow_pickle=False, input=images, logits=images @ WEIGHTS)
    (folder / "manifest.json").write_bytes(msgspec.json.encode(_manifest(folder)))
    return folder


@pytest.fixture
def edit_manifest(bundle: Path) -> Editor:
    """Give a function that changes one field (``golden/file``) of the bundle's manifest, or removes it (None)."""

    def edit(field: str, value: object) -> None:
        path = bundle / "manifest.json"
        data = msgspec.json.decode(path.read_bytes())
        *steps, last = field.split("/")
        table = data
        for step in steps:
            table = table[step]
        if value is None:
            del table[last]
        else:
            table[last] = value
        path.write_bytes(msgspec.json.encode(data))

    return edit


@pytest.fixture(scope="session")
def measured() -> MeasuredMaker:
    """Give a maker of measurements of one file: so many right of 1000, so many bytes."""

    def make(*, right: int, size_bytes: int) -> Measured:
        latency = Latency(threads=1, warmup_runs=1, samples_ms=tuple(0.1 * n for n in range(1, 22)))
        return Measured(
            size_bytes=size_bytes,
            accuracy=right / 1000,
            accuracy_interval=(right / 1000 - 0.01, right / 1000 + 0.01),
            test_samples=1000,
            arithmetic="reference",
            peak_memory_bytes=3 * 2**20,
            latency=latency,
        )

    return make


@pytest.fixture(scope="session")
def results() -> tuple[StageResult, ...]:
    """Give the results of a run for jetson-nano as the pipeline hands them on."""
    groups = [{"group": "stem", "before": 32, "after": 24}, {"group": "blocks.0", "before": 64, "after": 64}]
    layers = [{"path": "head", "rank": 4, "reason": "9 us → 5 us"}, {"path": "stem", "rank": None, "reason": "3 us"}]
    records: dict[str, dict[str, Any]] = {
        "teach": {"parameters": 400_000, "macs": 12_000_000},
        "distill": {"parameters": 50_000, "macs": 2_000_000},
        "prune": {"parameters": 30_000, "macs": 1_500_000, "asked_ratio": 0.3, "removed_ratio": 0.25, "groups": groups},
        "factorize": {"parameters": 28_000, "macs": 1_200_000, "layers": layers},
        "export": {"files": {"fp32": {"in_float32": []}, "fp16": {"in_float32": ["Exp_3", "Sqrt_4"]}}},
    }
    return tuple(_result(name, record, position) for position, (name, record) in enumerate(records.items()))


@pytest.fixture(scope="session")
def report(results: tuple[StageResult, ...], measured: MeasuredMaker) -> Report:
    """Give the report of that run: 98.5 % and 1,200 kB became 98.1 % and 60 kB."""
    plan, target = make_plan("jetson-nano", {}, seed=3), load_target("jetson-nano")
    export = plan.settings_of(Export)
    assert isinstance(export, Export)
    sizes = {"teach": 1_200_000, "distill": 220_000, "prune": 130_000, "factorize": 120_000, "export": 60_000}
    right = {"teach": 985, "distill": 983, "prune": 982, "factorize": 981, "export": 981}
    found = {name: measured(right=right[name], size_bytes=sizes[name]) for name in sizes}
    found |= {"fp32": found["factorize"], "fp16": found["export"]}
    rows = stage_rows(results, found, {name: "fp16" if name == "export" else "fp32" for name in sizes})
    drop = shrink_of(rows[0], rows[-1]).drop_points
    return make_report(
        plan,
        load_digits(),
        target,
        export,
        results=results,
        stages=rows,
        files=file_rows(export, found),
        budgets=judge(plan.budgets, size_bytes=60_000, drop_points=drop, device=target.title),
        ladder=None,
        coverage=None,
    )


def _result(name: str, record: Mapping[str, Any], position: int) -> StageResult:
    """Return a stage's result; the first was in the store, the second was cut and went on."""
    return StageResult(
        name=name,
        key=str(position),
        folder=Path(name),
        record=record,
        inputs={},
        seconds=10.0 * position + 1,
        was_reused=position == 0,
        was_resumed=position == 1,
    )


def _model() -> bytes:
    """Return a model that multiplies its input (1, 2) by the weights."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weights"], ["logits"], name="product")],
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return bytes(model.SerializeToString())


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the files in *folder*."""
    shape = {"dtype": "float32", "shape": [1, 2]}
    return {
        "format": 2,
        "target": "my-board",
        "task": "pairs",
        "seed": 0,
        "precision": "fp32",
        "precisions": {"fp32": "model.fp32.onnx"},
        "opset": 13,
        "ir_version": 7,
        "inputs": [{"name": "input"} | shape],
        "outputs": [{"name": "logits"} | shape],
        "labels": ["left", "right"],
        "preprocessing": {
            "input": {"scale": 1.0, "mean": [0.0], "std": [1.0], "layout": "NC", "channel_order": "none"}
        },
        "golden": {"file": "golden.npz", "samples": 2, "tolerance": 1e-4},
        "files": {
            path.name: {"sha256": file_digest(path), "size_bytes": path.stat().st_size} for path in folder.iterdir()
        },
        "lineage": [],
        "versions": {},
    }
