"""edgekd gate from the outside."""

import json
import subprocess
from pathlib import Path

import pytest
from commands import edgekd_command
from emulator import the_emulator
from slowed import equal_layers


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run edgekd gate with *words*."""
    return subprocess.run([*edgekd_command(), "gate", *map(str, words)], capture_output=True, text=True, check=False)


def test_a_slower_network_ends_with_1_and_a_report_for_ci(tmp_path: Path) -> None:
    """Half as many layers more, 5 % allowed."""
    base, slow = equal_layers(tmp_path / "base.onnx", 6), equal_layers(tmp_path / "slow.onnx", 9)
    junit, summary = tmp_path / "gate.xml", tmp_path / "gate.md"
    done = run(
        *("--baseline", base, "--candidate", slow, "--max-regression", "5%", "--floor", "1us"),
        *("--junit", junit, "--markdown", summary, "--json"),
    )
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["answer"] == "regression"
    assert len(verdict["comparisons"]) == 2
    assert "<failure" in junit.read_text()
    assert "REGRESSION" in summary.read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--candidate", "base.onnx", "--baseline", "none.onnx"), "none.onnx: no such file"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--max-regression", "five"), "--max-regression"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--floor", "0.2"), "unit"),
        (("--candidate", "text.onnx", "--baseline", "base.onnx"), "text.onnx"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--on", "emulator:z80"), "no such core"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--on", "desk"), "expected local or emulator"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    """No traceback."""
    monkeypatch.chdir(tmp_path)
    equal_layers(tmp_path / "base.onnx", 1)
    (tmp_path / "text.onnx").write_text("no network")
    done = run(*words)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_by_instructions_one_layer_more_in_fifty_is_found(tmp_path: Path) -> None:
    """2 % is four times what is allowed; a network beside itself takes the same instructions to a thousandth."""
    the_emulator()
    base = equal_layers(tmp_path / "base.onnx", 50, channels=4, side=8)
    more = equal_layers(tmp_path / "more.onnx", 51, channels=4, side=8)
    for candidate, code in ((base, 0), (more, 1)):
        done = run("--baseline", base, "--candidate", candidate, "--on", "emulator:cortex-a76", "--json")
        assert done.returncode == code, done.stderr
        ratio = json.loads(done.stdout)["ratio"]
        assert ratio == pytest.approx(1.0 if code == 0 else 1.02, abs=0.001 if code == 0 else 0.01)
