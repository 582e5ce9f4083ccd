"""The report as data."""

import msgspec
import pytest

from edgekd.pipeline import StageResult
from edgekd.plan import make_plan, read_recipe
from edgekd.report.content import Report, file_rows, shrink_of, stage_rows
from edgekd.stages.settings import Export


def test_the_shipped_file_is_compared_with_the_teachers(report: Report) -> None:
    """1,200 kB / 60 kB = 20; 12 M MACs / 1.2 M = 10; 98.5 % - 98.1 % = 0.4 points."""
    shrink = shrink_of(report.stages[0], report.stages[-1])
    assert (shrink.size_ratio, shrink.macs_ratio) == (20, 10)
    assert shrink.drop_points == pytest.approx(0.4)
    assert report.shrink == shrink


def test_every_stage_has_a_row_in_order(report: Report, results: tuple[StageResult, ...]) -> None:
    """What the run said of each is in its row."""
    assert [row.stage for row in report.stages] == [result.name for result in results]
    assert [row.seconds for row in report.stages] == [1, 11, 21, 31, 41]
    assert [row.was_reused for row in report.stages] == [True, False, False, False, False]
    assert [row.was_resumed for row in report.stages] == [False, True, False, False, False]


def test_a_stage_that_changes_no_structure_has_the_counts_of_its_input(report: Report) -> None:
    """Export counts nothing of its own: its row repeats factorize's."""
    factorize, export = report.stages[-2:]
    assert (export.parameters, export.macs) == (factorize.parameters, factorize.macs) == (28_000, 1_200_000)


def test_stages_need_no_prune_or_quantize(results: tuple[StageResult, ...], report: Report) -> None:
    """Rows are made of what ran."""
    ran = [result for result in results if result.name != "prune"]
    found = {row.stage: row.measured for row in report.stages}
    rows = stage_rows(ran, found, {result.name: "fp32" for result in ran})
    assert [row.stage for row in rows] == ["teach", "distill", "factorize", "export"]


def test_every_variant_has_a_row_with_its_versions(report: Report) -> None:
    """jetson-nano gets FP32 and FP16 at opset 13 and IR 7."""
    rows = [(row.name, row.precision, row.opset, row.ir_version) for row in report.files]
    assert rows == [("model.fp32.onnx", "fp32", 13, 7), ("model.fp16.onnx", "fp16", 13, 7)]


def test_a_bundle_of_one_file_has_one_row(report: Report) -> None:
    """No row without a file."""
    export = make_plan("jetson-nano", read_recipe(None, ["export.precision=fp32"])).settings_of(Export)
    assert isinstance(export, Export)
    assert len(file_rows(export, {"fp32": report.stages[0].measured})) == 1


def test_a_refused_precision_is_reported_with_its_reason(report: Report) -> None:
    """jetson-nano has no INT8, because of its compute capability."""
    assert [refusal.precision for refusal in report.refused] == ["int8"]
    assert "5.3" in report.refused[0].reason


def test_latency_on_the_device_is_unproven(report: Report) -> None:
    """Host latencies were measured, the device's was not."""
    outcomes = {judgement.budget: judgement.outcome for judgement in report.budgets}
    assert outcomes == {"size_kb": "PASS", "drop_points": "PASS", "latency_ms": "UNPROVEN"}


def test_the_engine_is_built_from_the_shipped_file(report: Report) -> None:
    """The line for the device names trtexec, model.onnx and FP16."""
    assert report.commands.build is not None
    assert all(word in report.commands.build for word in ("trtexec", "model.onnx", "--fp16"))


def test_the_report_survives_json(report: Report) -> None:
    """What ``report.json`` holds is the whole report."""
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_the_plan_in_the_report_makes_the_same_plan(report: Report) -> None:
    """Anybody can run it again."""
    assert make_plan(None, msgspec.toml.decode(report.plan)) == make_plan("jetson-nano", {}, seed=3)
