"""One store for many runs: stages are shared, damage is found, two runs at once do not hurt each other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import TINY, compress_words, edgekd, model_bytes, started

SHARED = ("teach", "distill", "prune")


@pytest.mark.slow
def test_a_second_target_reuses_every_stage_whose_numbers_agree(bundle_of: Callable[[str], Path]) -> None:
    """Teach, distill and prune depend on nothing in which the devices differ: one run makes, the other finds."""
    bundles = [bundle_of("jetson-nano"), bundle_of("raspberry-pi-5")]
    keys = [
        {entry["stage"]: entry["key"] for entry in json.loads((bundle / "manifest.json").read_text())["lineage"]}
        for bundle in bundles
    ]
    rows = [
        {row["stage"]: row["was_reused"] for row in json.loads((bundle / "report.json").read_text())["stages"]}
        for bundle in bundles
    ]
    for stage in SHARED:
        assert keys[0][stage] == keys[1][stage]
        assert [row[stage] for row in rows].count(False) <= 1
    assert keys[0]["factorize"] != keys[1]["factorize"]


@pytest.mark.slow
def test_a_damaged_result_is_said_and_made_again(
    tmp_path: Path, shared_store: Path, bundle_of: Callable[[str], Path]
) -> None:
    """A stored file that changed by one byte is never used: the stage runs again and gives the same bundle."""
    expected = model_bytes(bundle_of("jetson-nano"))
    store = tmp_path / "store"
    shutil.copytree(shared_store / "objects", store / "objects")  # beside them another worker may be at work
    lineage = json.loads((bundle_of("jetson-nano") / "manifest.json").read_text())["lineage"]
    key = next(entry["key"] for entry in lineage if entry["stage"] == "export")
    damaged = store / "objects" / key[:2] / key / "model.fp16.onnx"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    done = edgekd(*compress_words("jetson-nano", out=tmp_path / "out", store=store))
    assert done.code == 0, done.said
    assert "export: the stored result is damaged" in done.said
    assert model_bytes(tmp_path / "out") == expected


@pytest.mark.slow
def test_two_runs_at_once_share_the_work_of_one_store(
    tmp_path: Path, shared_store: Path, bundle_of: Callable[[str], Path]
) -> None:
    """Of two equal runs started together, each stage is made by one and found by the other; both end well."""
    bundle_of("jetson-nano")
    settings = (*TINY, "prune.lr=0.04")
    names = ("first", "second")
    words = [
        compress_words("jetson-nano", out=tmp_path / name, store=shared_store, settings=settings) for name in names
    ]
    logs = [tmp_path / f"{name}.log" for name in names]
    with started(*words[0], said=logs[0]) as first, started(*words[1], said=logs[1]) as second:
        first.join(200)
        second.join(200)
        codes = (first.exitcode, second.exitcode)
    said = [log.read_text() for log in logs]
    assert codes == (0, 0), said
    assert model_bytes(tmp_path / "first") == model_bytes(tmp_path / "second")
    for stage in ("prune", "factorize", "export"):
        assert sum(f"{stage}: found in the store" in text for text in said) == 1, stage
