"""Every term of the loss, named in a recipe, trains the stage that it is named for."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import FAST, edgekd, sets

pytestmark = pytest.mark.slow

NETWORK = f"{Path(__file__).parents[1] / 'support' / 'networks' / 'small.py'}:small"
QUICK = (*FAST, "teach.epochs=6", "teach.lr=0.05")
HINTS = "feature_weight=1"


def taps(stage: str, mine: str, theirs: str) -> tuple[str, ...]:
    """Return the settings that compare a module of the student with one of the teacher."""
    return f'{stage}.student_features=["{mine}"]', f'{stage}.teacher_features=["{theirs}"]'


def settings_of(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return what each stage of a bundle ran with."""
    lineage = json.loads((bundle / "manifest.json").read_text())["lineage"]
    return {entry["stage"]: entry["settings"] for entry in lineage}


def accuracies(bundle: Path) -> dict[str, float]:
    """Return the test accuracy after each stage."""
    rows = json.loads((bundle / "report.json").read_text())["stages"]
    return {row["stage"]: row["measured"]["accuracy"] for row in rows}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose store holds the trained teacher after the first run."""
    return tmp_path_factory.mktemp("guidance")


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("standardized", ("distill.standardize=true", "distill.temperature=2", "distill.kl_weight=10")),
        ("dkd", ("distill.kl_weight=0", "distill.dkd_weight=1")),
        ("dist", ("distill.kl_weight=0", "distill.dist_weight=1", "distill.temperature=1")),
        ("hints", (f"distill.{HINTS}", *taps("distill", "body", "body"))),
        ("attention", ("distill.attention_weight=100", *taps("distill", "stem", "stem"))),
    ],
)
def test_a_student_learns_with_each_term(taught: Path, photos: Path, name: str, term: tuple[str, ...]) -> None:
    """With standardized logits, DKD, DIST, hints or attention transfer the student comes to tell the patterns apart."""
    networks = ["--teacher", NETWORK, "--teacher-arg", "width=16", "--model", NETWORK]
    run = ["--target", "jetson-nano", "--data", f"folder:{photos}", *networks]
    done = edgekd(
        "compress", *run, *sets(*QUICK, "prune.ratio=0", "distill.epochs=8", *term), "--out", name, cwd=taught
    )
    assert done.code == 0, done.said
    asked = [setting.removeprefix("distill.").partition("=") for setting in term if "features" not in setting]
    assert {field: json.loads(value) for field, _, value in asked}.items() <= settings_of(taught / name)[
        "distill"
    ].items()
    assert accuracies(taught / name)["distill"] > 0.6


def test_recovery_learns_with_terms_of_its_own(taught: Path, photos: Path) -> None:
    """Attention transfer after pruning, hints from the graph's values in quantization, from the uncompressed one."""
    networks = ["--model", NETWORK, "--model-arg", "width=16"]
    prune = ("prune.attention_weight=100", *taps("prune", "stem", "stem"))
    quantize = (f"quantize.{HINTS}", *taps("quantize", "points.Relu_1_output", "body"))
    done = edgekd(
        *["compress", "--target", "raspberry-pi-4", "--data", f"folder:{photos}", *networks],
        *sets(*QUICK, *prune, *quantize, "prune.dist_weight=1"),
        *["--out", "recovered"],
        cwd=taught,
    )
    assert done.code == 0, done.said
    found = settings_of(taught / "recovered")
    assert (found["prune"]["attention_weight"], found["prune"]["dist_weight"]) == (100, 1)
    assert found["quantize"]["student_features"] == ["points.Relu_1_output"]
    assert edgekd("verify", taught / "recovered").code == 0


def test_a_tap_that_quantize_does_not_have_names_those_near_it(taught: Path, photos: Path) -> None:
    """A value of the graph is a tap of ``quantize``; a wrong one ends with exit code 2, and what was made stays."""
    networks = ["--model", NETWORK, "--model-arg", "width=16"]
    quantize = (f"quantize.{HINTS}", *taps("quantize", "points.Relu_1_outptu", "body"))
    target = ["--target", "raspberry-pi-4", "--data", f"folder:{photos}"]
    done = edgekd("compress", *target, *networks, *sets(*QUICK, *quantize), "--out", "refused", cwd=taught)
    assert done.code == 2, done.said
    assert "Traceback" not in done.said
    assert "points.Relu_1_output" in done.said.splitlines()[-1]
    assert not (taught / "refused").exists()


def test_a_transformer_learns_from_the_attention_maps_of_another(taught: Path, photos: Path) -> None:
    """Two heads follow four of a teacher that is twice as wide; the file is FP32."""
    shape = ("image_size=8", "patch=4", "depth=1")
    mine = [part for argument in (*shape, "dim=8", "heads=2") for part in ("--model-arg", argument)]
    theirs = [part for argument in (*shape, "dim=16", "heads=4") for part in ("--teacher-arg", argument)]
    maps = "blocks.0.attention.maps"
    term = ("distill.maps_weight=10", f'distill.student_maps=["{maps}"]', f'distill.teacher_maps=["{maps}"]')
    gentle = (
        "teach.optimizer=adamw",
        "teach.lr=0.01",
        "distill.optimizer=adamw",
        "distill.lr=0.01",
        "distill.epochs=8",
    )
    done = edgekd(
        *["compress", "--target", "raspberry-pi-4", "--data", f"folder:{photos}"],
        *["--teacher", "vit", *theirs, "--model", "vit", *mine],
        *sets(*QUICK, *gentle, *term, "prune.ratio=0", "export.precision=fp32", "teach.epochs=8"),
        *["--out", "vit"],
        cwd=taught,
    )
    assert done.code == 0, done.said
    assert accuracies(taught / "vit")["distill"] > 0.6
    assert edgekd("verify", taught / "vit").code == 0
