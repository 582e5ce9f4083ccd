"""edgekd bench from the outside, on this machine."""

import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from benching import bench, require_refusal
from bundled import ROWS, TOLERANCE, bundle, small_network
from onnx import TensorProto, helper
from slowed import equal_layers

from edgekd.bench import device_errors
from edgekd.core.errors import ConfigError, EdgekdError, StageError


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Give a network of two layers."""
    return equal_layers(tmp_path / "net.onnx", 2)


def test_the_summary_is_that_of_the_raw_samples(network: Path, tmp_path: Path) -> None:
    """Median, percentiles, minimum and n, calculated a second way; every sample has the time it began."""
    done = bench(network, "--runs", 60, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    samples = sorted(found["run"]["samples_ms"])
    assert found["summary"]["n"] == len(samples) == 60
    assert found["summary"]["median_ms"] == pytest.approx((samples[29] + samples[30]) / 2)
    assert found["summary"]["minimum_ms"] == samples[0]
    assert found["summary"]["p90_ms"] == pytest.approx(np.percentile(samples, 90))
    assert np.all(np.diff(found["run"]["started_ms"]) >= 0)
    assert found["run"]["providers"][0] == "CPUExecutionProvider"
    assert found["run"]["version"] == ort.__version__
    assert len(found["run"]["warmup_ms"]) >= 50
    assert found["size_bytes"] == network.stat().st_size


def test_threads_stay_on_the_cores_that_the_result_names(network: Path, tmp_path: Path) -> None:
    """As many as there are threads, or those asked for, or any; measurements on other cores are not comparable."""
    allowed = sorted(os.sched_getaffinity(0))
    found = [
        json.loads(bench(network, "--runs", 30, *words, "--json", folder=tmp_path).stdout)
        for words in ((), ("--cores", allowed[0]), ("--cores", "any"))
    ]
    assert [len(found[0]["run"]["cores"]), found[1]["run"]["cores"], found[2]["run"]["cores"]] == [1, allowed[:1], None]
    assert set(found[0]["run"]["cores"]) <= set(allowed)
    assert [one["fingerprint"]["affinity"] for one in found[1:]] == [str(allowed[0]), "any"]


def test_golden_samples_of_the_bundle_are_answered_before_the_time_counts(tmp_path: Path) -> None:
    """Each batch answers all of them, within the tolerance of the manifest; throughput counts the batch."""
    model = bundle(tmp_path / "bundle")
    done = bench(model, "--batch", "1,4", "--runs", 30, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for one, batch in zip(json.loads(done.stdout), (1, 4), strict=True):
        golden = one["run"]["golden"]
        assert (golden["samples"], golden["tolerance"]) == (ROWS, TOLERANCE)
        assert golden["largest_difference"] <= 1e-5
        assert one["run"]["inputs"] == {"x": [batch, 3, 8, 8]}
        assert one["summary"]["samples_per_s"] == pytest.approx(1e3 * batch / one["summary"]["median_ms"])
    assert sorted(path.name for path in model.parent.iterdir()) == ["golden.npz", "manifest.json", "model.onnx"]


def test_another_file_of_the_bundle_gets_the_inputs_and_is_not_judged(tmp_path: Path) -> None:
    """The golden outputs are those of the file that ships."""
    model = bundle(tmp_path / "bundle", wrong_by=1.0)
    other = model.with_name("model.fp32.onnx")
    other.write_bytes(model.read_bytes() + b"\x32\x01\x20")  # the same network with another documentation string
    golden = json.loads(bench(other, "--runs", 30, "--json", folder=tmp_path).stdout)["run"]["golden"]
    assert golden["tolerance"] is None
    assert golden["largest_difference"] == pytest.approx(1, abs=1e-4)


def test_other_answers_show_no_time(tmp_path: Path) -> None:
    """Exit code 11, nothing remembered; --golden none measures without."""
    model = bundle(tmp_path / "bundle", wrong_by=1.0)
    require_refusal(bench(model, folder=tmp_path), 11, "they differ by 1, at most 0.0001 was expected")
    assert not (tmp_path / "history").exists()
    assert bench(model, "--golden", "none", folder=tmp_path).returncode == 0


def test_your_own_golden_file_is_judged_by_your_tolerance(tmp_path: Path) -> None:
    """What is off by a half passes with 0.6 and not with 0.4; a file of another network is bad input."""
    model = small_network(tmp_path / "net.onnx")
    inputs = np.random.default_rng(4).normal(size=(2, 3, 8, 8)).astype(np.float32)
    (outputs,) = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": inputs})
    np.savez(tmp_path / "own.npz", x=inputs, y=outputs - np.float32(0.5))
    np.savez(tmp_path / "other.npz", z=inputs)
    own = (model, "--runs", 30, "--golden", tmp_path / "own.npz")
    assert bench(*own, "--tolerance", 0.6, folder=tmp_path).returncode == 0
    require_refusal(bench(*own, "--tolerance", 0.4, folder=tmp_path), 11, "they differ by 0.5")
    other = bench(model, "--golden", tmp_path / "other.npz", folder=tmp_path)
    require_refusal(other, 2, "the golden file has no input 'x'")


def test_a_provider_that_leaves_the_work_to_another_shows_no_time(network: Path, tmp_path: Path) -> None:
    """AzureExecutionProvider comes first in its session and every node runs on the CPU: exit code 9, or a criticism."""
    words = (network, "--runs", 30, "--provider", "AzureExecutionProvider")
    require_refusal(bench(*words, folder=tmp_path), 9, "ran with CPUExecutionProvider")
    done = bench(*words, "--allow-elsewhere", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "beware: Conv" in done.stdout
    assert "ran with CPUExecutionProvider" in done.stdout


def test_a_provider_that_is_not_there_shows_no_time(network: Path, tmp_path: Path) -> None:
    """ONNX Runtime takes the CPU silently; edgekd does not."""
    done = bench(network, "--provider", "XnnpackExecutionProvider", folder=tmp_path)
    require_refusal(done, 9, "ran with CPUExecutionProvider, asked was XnnpackExecutionProvider")


@pytest.mark.slow  # three seconds of a run
def test_a_network_without_inputs_is_measured(tmp_path: Path) -> None:
    """It has nothing that could be a batch, and nothing else is wrong with it."""
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    weight = helper.make_tensor("x", TensorProto.FLOAT, [2], [1.0, 2.0])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "constant", [], [value], [weight])
    opset = helper.make_opsetid("", 13)
    (tmp_path / "net.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    )
    words = (tmp_path / "net.onnx", "--runs", 30)
    assert bench(*words, folder=tmp_path).returncode == 0
    require_refusal(bench(*words, "--batch", 4, folder=tmp_path), 2, "has no input that could be a batch")


def test_a_long_run_reads_the_clocks_once_a_second_and_shows_its_drift(network: Path, tmp_path: Path) -> None:
    """Three seconds have two readings between inferences, and a median of their only minute."""
    done = bench(network, "--sustained", 0.05, "--json", folder=tmp_path)
    found = json.loads(done.stdout)
    started = [reading["started_ms"] for reading in found["run"]["readings"]]
    assert 2 <= len(started) <= 3
    assert np.all(np.diff(started) >= 1000)
    assert found["run"]["started_ms"][-1] > 2500
    samples = found["run"]["samples_ms"]
    third = len(samples) // 3
    drift = np.median(samples[-third:]) / np.median(samples[:third]) - 1
    assert found["summary"]["drift"] == pytest.approx(drift)
    assert found["by_minute_ms"] == [pytest.approx(np.median(samples))]


def test_history_is_compared_only_where_the_fingerprints_are_equal(network: Path, tmp_path: Path) -> None:
    """One thread before is shown with its median; two threads before are said to be another thing."""
    for threads in (1, 2):
        assert bench(network, "--threads", threads, "--runs", 40, folder=tmp_path).returncode == 0
    said = bench(network, "--threads", 1, "--runs", 40, "--history", folder=tmp_path).stdout
    assert "n = 40" in said.split("before, ")[1]
    assert "not comparable: they differ in threads '2' and '1'" in said


def test_history_alone_lists_all_that_was_measured_and_measures_nothing(network: Path, tmp_path: Path) -> None:
    """Empty it says so; then a line for each measurement, the oldest first; without --history a model is asked for."""
    assert "nothing was measured yet" in bench("--history", folder=tmp_path).stdout
    for threads in (1, 2):
        assert bench(network, "--threads", threads, "--runs", 40, folder=tmp_path).returncode == 0
    first, second = bench("--history", folder=tmp_path).stdout.splitlines()
    assert "threads: 1" in first
    assert "threads: 2" in second
    assert [one["threads"] for one in json.loads(bench("--history", "--json", folder=tmp_path).stdout)] == [1, 2]
    assert len(list((tmp_path / "history").glob("*.json"))) == 2
    require_refusal(bench(folder=tmp_path), 2, "no model given")
    require_refusal(bench("--history", "--target", "x86-64", folder=tmp_path), 2, "--target: no model given")
    require_refusal(bench("--history", "--threads", 2, folder=tmp_path), 2, "--threads: no model given")


@pytest.mark.slow
def test_peak_memory_is_the_networks_and_not_that_of_the_samples(network: Path, tmp_path: Path) -> None:
    """A hundred thousand runs, whose times alone take megabytes, need no more than forty."""
    peaks = [
        json.loads(bench(network, "--runs", runs, "--json", folder=tmp_path).stdout)["run"]["peak_memory_bytes"]
        for runs in (40, 100_000)
    ]
    assert abs(peaks[1] - peaks[0]) < 2 * 2**20


def test_a_measurement_without_times_is_refused(network: Path, tmp_path: Path) -> None:
    """No samples, or one that took no time: exit code 12, and nothing is measured."""
    assert bench(network, "--runs", 40, folder=tmp_path).returncode == 0
    (stored,) = (tmp_path / "history").glob("*.json")
    whole = json.loads(stored.read_text())
    for samples in ([], [0.0] * len(whole["run"]["samples_ms"]), whole["run"]["samples_ms"][1:]):
        stored.write_text(json.dumps(whole | {"run": whole["run"] | {"samples_ms": samples}}))
        require_refusal(bench("--history", folder=tmp_path), 12, "it lacks samples, or they are no times")


def test_a_history_that_cannot_be_kept_is_told_before_anything_is_measured(network: Path, tmp_path: Path) -> None:
    """A file where the folder should be: exit code 2, and no ten minutes are lost."""
    (tmp_path / "history").write_text("")
    require_refusal(bench(network, "--sustained", 10, folder=tmp_path), 2, "give another folder as EDGEKD_HISTORY")
    words = ("--pytest-benchmark", tmp_path / "none" / "b.json", "--sustained", 10)
    (tmp_path / "history").unlink()
    require_refusal(bench(network, *words, folder=tmp_path), 2, "none: no such folder")


def test_a_stored_measurement_is_compared_or_refused(network: Path, tmp_path: Path) -> None:
    """Alike: the ratio of the medians. Another thread count: exit code 12, and the new measurement is kept."""
    assert bench(network, "--runs", 40, folder=tmp_path).returncode == 0
    (stored,) = (tmp_path / "history").glob("*.json")
    done = bench(network, "--runs", 40, "--compare", stored, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"times the median of {stored}" in done.stdout
    other = bench(network, "--runs", 40, "--threads", 2, "--compare", stored, "--json", folder=tmp_path)
    assert other.returncode == 12
    assert json.loads(other.stdout)["comparison"]["ratio"] is None
    assert "cannot be compared with this measurement: they differ in threads '1' and '2'" in other.stderr
    assert len(list((tmp_path / "history").glob("*.json"))) == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "a.json: not a measurement of edgekd"),
        ('{"format": 2}', "a.json: format 2, 3 was expected"),
        ('{"format": 3}', "a.json: not a measurement of edgekd"),
    ],
)
def test_a_malformed_history_is_named_and_kept_and_nothing_measured(
    network: Path, tmp_path: Path, text: str, sentence: str
) -> None:
    """Exit code 12 and the file's name, before any time is spent; the file is as it was."""
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "a.json").write_text(text)
    require_refusal(bench(network, "--history", folder=tmp_path), 12, sentence)
    require_refusal(bench(network, "--compare", folder / "a.json", folder=tmp_path), 12, sentence)
    assert [path.read_text() for path in folder.iterdir()] == [text]


def test_a_temporary_folder_of_any_name_will_do(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with a blank, a quote and a command in its name; nothing stays in it."""
    folder = tmp_path / "a 'b $(touch stolen)"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    assert bench(network, "--runs", 20, folder=tmp_path).returncode == 0
    assert list(folder.iterdir()) == []
    assert not Path("stolen").exists()


def test_a_profile_gives_each_operators_part_of_an_inference(network: Path, tmp_path: Path) -> None:
    """Two convolutions in an inference; nothing is left beside the file."""
    before = sorted(tmp_path.iterdir())
    done = bench(network, "--runs", 40, "--profile", "--json", folder=tmp_path)
    found = json.loads(done.stdout)
    (row,) = [row for row in found["run"]["profile"] if row["operator"] == "Conv"]
    assert row["calls"] == 2
    assert 0 < row["ms"] < 100 * found["summary"]["median_ms"]
    assert sorted(path for path in tmp_path.iterdir() if path.name != "history") == before


def test_raw_samples_as_csv(network: Path, tmp_path: Path) -> None:
    """A head line and a row for each sample."""
    lines = bench(network, "--runs", 40, "--csv", folder=tmp_path).stdout.splitlines()
    assert lines[0] == "model,where,threads,batch,started_ms,latency_ms"
    assert len(lines) == 41


def test_pytest_benchmark_gets_a_file(tmp_path: Path) -> None:
    """One benchmark for each batch, in seconds, with the raw samples."""
    path = tmp_path / "benchmark.json"
    model = small_network(tmp_path / "net.onnx")
    words = (model, "--runs", 40, "--batch", "1,2", "--pytest-benchmark", path, "--json")
    found = json.loads(bench(*words, folder=tmp_path).stdout)
    document = json.loads(path.read_text())
    assert [one["stats"]["rounds"] for one in document["benchmarks"]] == [40, 40]
    assert document["benchmarks"][1]["stats"]["median"] == pytest.approx(found[1]["summary"]["median_ms"] / 1e3)


def test_a_target_that_this_machine_is_not_is_said(network: Path, tmp_path: Path) -> None:
    """The protocol is the target's, its name is not in the result, and a sentence says so."""
    words = (network, "--target", "raspberry-pi-5", "--cool-down", 0, "--threads", 1, "--runs", 30)
    if os.uname().machine == "aarch64":
        pytest.skip("this machine could be that board")
    found = json.loads(bench(*words, "--json", folder=tmp_path).stdout)
    assert found["target"] is None
    assert found["not_target"] == "its processor is x86_64, and the target's aarch64"
    assert "the figures say nothing about raspberry-pi-5" in bench(*words, folder=tmp_path).stdout


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs a machine of the class x86-64")
def test_a_target_whose_file_does_not_say_how_it_is_recognised_is_never_claimed(network: Path, tmp_path: Path) -> None:
    """A host of the class x86-64 is called so; without device.identity in the file it is not, and why is said."""
    text = (Path(__file__).parents[2] / "targets/x86-64.toml").read_text().replace('"x86-64"', '"mine"')
    named, unnamed = tmp_path / "named.toml", tmp_path / "unnamed.toml"
    named.write_text(text)
    without = text.replace('[device.identity]\nsystem = "Linux"\n', "").replace(
        'facts = ["device.identity"]', "facts = []"
    )
    entry = without.index("[[sources]]\nfacts = []")
    unnamed.write_text(without[:entry] + without[without.index("[[sources]]", entry + 1) :])
    words = ("--cool-down", 0, "--runs", 30, "--json")
    claimed, refused = (
        json.loads(bench(network, "--target", target, *words, folder=tmp_path).stdout) for target in (named, unnamed)
    )
    assert (claimed["target"], claimed["not_target"]) == ("mine", None)
    assert refused["target"] is None
    assert "does not say how its device is recognised; add [device.identity]" in refused["not_target"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("none.onnx",), 2, "none.onnx: no such file"),
        (("net.onnx", "--on", "desk"), 2, "expected local, ssh:HOST, adb, adb:SERIAL, emulator or emulator:CORE"),
        (("net.onnx", "--on", "ssh:"), 2, "expected local, ssh:HOST"),
        (("net.onnx", "--on", "ssh:-oProxyCommand=touch stolen"), 2, "no name of a host"),
        (("net.onnx", "--on", "ssh:board;touch stolen"), 2, "no name of a host"),
        (("net.onnx", "--on", "emulator:cortex-a99"), 2, "core 'cortex-a99': there is no such profile"),
        (("text.onnx",), 2, "text.onnx: not an ONNX file"),
        (("cut.onnx",), 2, "cut.onnx: not an ONNX file"),
        (("cut.onnx", "--on", "ssh:nobody.invalid"), 2, "cut.onnx: not an ONNX file"),
        (("untyped.onnx",), 2, "untyped.onnx: input 'input' is no tensor, or has no type"),
        (("split.onnx",), 2, "split.onnx: its tensors lie in 'weights.bin', which is not there"),
        (("net.onnx", "--target", "raspbery-pi-5"), 2, "raspberry-pi-5"),
        (("net.onnx", "--batch", "4"), 2, "input 'input' is fixed at a batch of 1, asked was 4"),
        (("net.onnx", "--batch", "1,x"), 2, "--batch: '1,x' given"),
        (("net.onnx", "--on", "emulator", "--sustained", "1"), 2, "--sustained: an emulator counts"),
        (("net.onnx", "--cores", "99"), 2, "the system gives"),
        (("net.onnx", "--cores", "fast"), 2, "--cores: 'fast' given"),
        (("net.onnx", "--cores", "7-4"), 2, "--cores: '7-4' given; expected each core once"),
        (("net.onnx", "--cores", "0,0"), 2, "--cores: '0,0' given; expected each core once"),
        (("net.onnx", "--sustained", "inf"), 2, "--sustained: inf given; expected a finite number"),
        (("net.onnx", "--target", "x86-64", "--cool-down", "nan"), 2, "--cool-down: nan given"),
        (("net.onnx", "--cool-down", "1"), 2, "--cool-down: the rest is part of a target's protocol; give --target"),
        (("net.onnx", "--on", "emulator", "--cores", "0"), 2, "--cores: an emulator counts"),
        (("net\udcff.onnx",), 2, "this name is not UTF-8"),
        (("net.onnx", "--golden", "text.onnx"), 2, "--golden: text.onnx is no .npz file"),
        (("net.onnx", "--golden", "objects.npz"), 2, "--golden: objects.npz cannot be read (Object arrays"),
        (("net.onnx", "--golden", "inputs.npz"), 2, "the golden file has no output"),
        (("net.onnx", "--golden", "rows.npz"), 2, "the golden file's arrays have 1 and 2 rows"),
        (("net.onnx", "--golden", "none.npz"), 2, "--golden: 'none.npz' is no file"),
        (("net.onnx", "--compare", "none.json"), 12, "none.json: No such file or directory"),
        (("net.onnx", "--provider", "Foo"), 2, "knows no provider 'Foo'; known are"),
        (("net.onnx", "--provider", "TensorrtExecutionProvider"), 8, "no trtexec there"),
    ],
)
def test_bad_input_is_one_sentence(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """No traceback, no shell, nothing remembered."""
    monkeypatch.chdir(network.parent)
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "cut.onnx").write_bytes(network.read_bytes()[: network.stat().st_size // 2])
    untyped = onnx.load(network)
    untyped.graph.input[0].ClearField("type")
    onnx.save(untyped, tmp_path / "untyped.onnx")
    onnx.save(onnx.load(network), tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin")
    (tmp_path / "weights.bin").unlink()
    sample = np.zeros((1, 32, 24, 24), np.float32)
    np.savez(tmp_path / "inputs.npz", input=sample)
    np.savez(tmp_path / "rows.npz", input=sample, output=np.zeros((2, 1), np.float32))
    np.savez(tmp_path / "objects.npz", input=np.array([{}], dtype=object))
    require_refusal(bench(*words, folder=tmp_path), code, sentence)
    assert not (tmp_path / "stolen").exists()
    assert not (tmp_path / "history").exists()


def test_every_exit_code_is_one_errors_own_and_in_the_help(tmp_path: Path) -> None:
    """No two share one, none is that of another part of edgekd (0 to 4), and ``--help`` lists all."""
    errors = [one for one in vars(device_errors).values() if isinstance(one, type) and issubclass(one, EdgekdError)]
    own = [one.exit_code for one in errors if one is not EdgekdError]
    assert len(own) == len(set(own)) == 8
    assert not set(own) & {0, 1, ConfigError.exit_code, StageError.exit_code, 4}
    said = bench("--help", folder=tmp_path).stdout.partition("Exit codes:")[2].partition("Arguments:")[0]
    assert set(own) | {2} == set(map(int, re.findall(r"\b\d+\b", said)))
