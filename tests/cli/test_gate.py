"""edgekd gate from the outside."""

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from commands import edgekd_command
from emulator import the_emulator
from slowed import equal_layers, sure
from stored import made_blocks, made_samples

from edgekd.bench.gate_samples import write_samples


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run edgekd gate with *words*."""
    return subprocess.run([*edgekd_command(), "gate", *map(str, words)], capture_output=True, text=True, check=False)


def test_a_slower_network_ends_with_1_and_a_report_for_ci(tmp_path: Path) -> None:
    """Thrice as many layers, 5 % allowed; a busy machine may be unsure (4) before it is sure, and never passes."""
    base, slow = equal_layers(tmp_path / "base.onnx", 6), equal_layers(tmp_path / "slow.onnx", 18)
    junit, summary = tmp_path / "gate.xml", tmp_path / "gate.md"
    words = ("--baseline", base, "--candidate", slow, "--max-regression", "5%", "--floor", "1us", "--max-seconds", 20)
    done = sure(
        lambda seed: run(*words, "--junit", junit, "--markdown", summary, "--json", "--seed", seed),
        lambda one: str(json.loads(one.stdout)["reason"]) if one.returncode == 4 else "",
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
        (("--candidate", "text.onnx", "--baseline", "base.onnx", "--on", "emulator"), "text.onnx: not an ONNX file"),
        (("--candidate", "empty.onnx", "--baseline", "base.onnx", "--on", "emulator"), "empty.onnx: not an ONNX file"),
        (("--candidate", "untyped.onnx", "--baseline", "base.onnx", "--on", "emulator"), "input 'input' is no tensor"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--on", "emulator:z80"), "no such core"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--on", "desk"), "expected local or emulator"),
        (("--candidate", "other.onnx", "--baseline", "base.onnx"), "float32[1,32,12,12], but the baseline"),
        (("--baseline", "base.onnx"), "--candidate: not given"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--max-regression", ""), "--max-regression: '' given"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--floor", "1e308s"), "--floor: '1e308s' given"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--junit", "none/a.xml"), "none/a.xml: expected"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--markdown", "."), ".: expected a file's name"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--on", "emulator", "--floor", "1ms"), "leave them"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--on", "emulator", "--threads", "2"), "leave them"),
        (("--baseline", "base.onnx", "--save", "base.json", "--junit", "a.xml"), "leave out --candidate, --junit"),
        (("--candidate", "stored.json", "--baseline", "stored.json", "--threads", "9"), "asked were 9"),
        (("--baseline", "base.onnx", "--save", "base.txt"), "base.txt: samples are known by the ending .json"),
        (("--baseline", "base.onnx", "--save", "none/base.json"), "none: no such folder"),
        (("--baseline", "none.onnx", "--save", "base.json"), "none.onnx: no such file"),
        (
            ("--baseline", "base.onnx", "--save", "new.json", "--like", "base.onnx"),
            "base.onnx: no samples of edgekd gate",
        ),
        (("--baseline", "base.onnx", "--save", "new.json", "--like", "none.json"), "none.json: cannot be read"),
        (("--baseline", "base.onnx", "--candidate", "base.onnx", "--like", "none.json"), "--like: it says how --save"),
        (("--baseline", "stored.json", "--save", "base.json"), "samples are taken of a network"),
        (("--candidate", "base.onnx", "--baseline", "base.onnx", "--save", "base.json"), "leave out --candidate"),
        (("--candidate", "stored.json", "--baseline", "base.onnx"), "nothing to stand beside"),
        (("--candidate", "base.onnx", "--baseline", "list.json"), "list.json: no samples of edgekd gate"),
        (("--candidate", "base.onnx", "--baseline", "stored.json"), "takes 'input' float32[1,32,24,24]"),
        (("--candidate", "base.onnx", "--baseline", "stored.json", "--on", "emulator"), "instructions are counted"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    """No traceback."""
    monkeypatch.chdir(tmp_path)
    equal_layers(tmp_path / "base.onnx", 1)
    equal_layers(tmp_path / "other.onnx", 1, side=12)
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "empty.onnx").write_bytes(b"")
    untyped = onnx.load(tmp_path / "base.onnx")
    untyped.graph.input[0].type.tensor_type.elem_type = 0
    onnx.save(untyped, tmp_path / "untyped.onnx")
    (tmp_path / "list.json").write_text("[]")
    write_samples(tmp_path / "stored.json", made_samples(made_blocks(1.0)))
    done = run(*words)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("ratio", "code"), [(1.0, 0), (1.2, 1), (1.03, 4)])
def test_stored_samples_are_judged_without_any_runtime(tmp_path: Path, ratio: float, code: int) -> None:
    """Neither torch nor ONNX Runtime nor onnx is loaded where nothing runs, and the reports for CI are written."""
    write_samples(tmp_path / "base.json", made_samples(made_blocks(1.0)))
    write_samples(tmp_path / "new.json", made_samples(made_blocks(ratio, seed=2)))
    words = [
        "gate",
        "--baseline",
        "base.json",
        "--candidate",
        "new.json",
        "--junit",
        "gate.xml",
        "--markdown",
        "gate.md",
    ]
    script = (
        "import sys\nfrom edgekd.cli.main import main\n"
        f"sys.argv = {['edgekd', *words]!r}\n"
        "try:\n    main()\nfinally:\n"
        "    print('loaded', sorted({'torch', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "loaded []" in done.stdout
    assert ('skipped="1"' in (tmp_path / "gate.xml").read_text()) == (code == 4)
    assert (
        (tmp_path / "gate.md").read_text().startswith(f"**{ {0: 'PASS', 1: 'REGRESSION', 4: 'INCONCLUSIVE'}[code] }**")
    )


def test_help_says_that_the_limit_itself_is_allowed() -> None:
    """Who wants to find 5 % must allow less."""
    said = " ".join(run("--help").stdout.replace("│", " ").split())
    assert "to find a slowdown of 5%, allow 3%" in said


@pytest.mark.slow
def test_samples_that_were_saved_are_a_baseline(tmp_path: Path) -> None:
    """Saved, then judged against the same file: no regression; one thrice as slow is no pass."""
    base, slow = equal_layers(tmp_path / "base.onnx", 6), equal_layers(tmp_path / "slow.onnx", 18)
    stored = tmp_path / "base.json"
    script = (
        "import sys\nfrom edgekd.bench import gate_stored\nfrom edgekd.cli.main import main\n"
        "gate_stored.LOOKS = gate_stored.LOOKS[:1]  # as few blocks as are judged at all: a fifth of the time\n"
        f"sys.argv = {['edgekd', 'gate', '--baseline', str(base), '--save', str(stored)]!r}\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--baseline" in done.stdout
    brief = ("--baseline", stored, "--max-seconds", 5)
    assert run(*brief, "--candidate", base).returncode in {0, 4}
    assert run(*brief, "--candidate", slow).returncode in {1, 4}
    refused = run("--baseline", stored, "--candidate", base, "--threads", 2)
    assert (refused.returncode, "threads '1', now '2'" in refused.stderr) == (2, True)


def test_by_instructions_other_inputs_are_refused(tmp_path: Path) -> None:
    """Before anything is emulated."""
    the_emulator()
    base, other = equal_layers(tmp_path / "base.onnx", 1), equal_layers(tmp_path / "other.onnx", 1, side=12)
    done = run("--baseline", base, "--candidate", other, "--on", "emulator")
    assert done.returncode == 2
    assert "only networks with the same inputs are compared" in done.stderr


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
