"""Laws of the gate against stored samples: what the host does to its reference workloads, it may do to the network."""

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from slowed import equal_layers
from stored import HOST, REFERENCES, made_blocks, made_samples

from edgekd.bench.blocks import Block, Input, expect_same_inputs
from edgekd.bench.gate import GateSettings
from edgekd.bench.gate_report import markdown
from edgekd.bench.gate_samples import FORMAT, NETWORK, Samples, read_samples, write_samples
from edgekd.bench.gate_stored import Like, gate_against_samples, judge_samples, judged, record
from edgekd.bench.statistics import normalized_interval
from edgekd.core.errors import ConfigError

NAMES = ("base.json", "new.json")
EVEN = np.zeros((10, 4))


def test_two_equal_sessions_have_the_ratio_1_and_no_drift() -> None:
    """Without noise there is nothing left to be unsure of."""
    found = normalized_interval([EVEN] * 4, [EVEN] * 4, confidence=0.99)
    assert (found.ratio.low, found.ratio.median, found.ratio.high, found.drift) == (1, 1, 1, 0)


def test_references_that_drift_apart_widen_the_interval_as_student_says() -> None:
    """Changes of 2 % up and down: deviation 0.0283, t(1) at 90 % is 6.314, times the root of 1.5: 0.2187."""
    before, after = np.zeros((10, 2)), np.tile([0.02, -0.02], (10, 1))
    found = normalized_interval([before] * 4, [after] * 4, confidence=0.9)
    assert found.drift == pytest.approx(0.02 * math.sqrt(2))
    assert math.log(found.ratio.high) == pytest.approx(0.2187, rel=0.1)
    assert math.log(found.ratio.low) == pytest.approx(-0.2187, rel=0.1)


def test_the_interval_holds_a_workload_that_drifts_like_the_references() -> None:
    """Of 200 sessions in which network and references drift alike, by 5 %, a 90 % interval misses about 20 (sd 4.2)."""
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        network, references = random.normal(0, 0.05), random.normal(0, 0.05, 4)
        after = [network - references + random.normal(0, 0.01, (5, 4)) for _ in range(4)]
        before = [random.normal(0, 0.01, (5, 4)) for _ in range(4)]
        found = normalized_interval(before, after, confidence=0.9)
        missed += not found.ratio.low <= 1 <= found.ratio.high
    assert missed <= 33


@pytest.mark.parametrize(
    ("ratio", "answer"), [(0.9, "pass"), (1.0, "pass"), (1.03, "inconclusive"), (1.1, "regression")]
)
def test_on_a_host_that_is_as_it_was_the_answer_is_that_of_the_ratio(ratio: float, answer: str) -> None:
    """With 3 % allowed, though the host swings by a fifth."""
    assert judged(made_blocks(1.0), made_blocks(ratio, seed=2), GateSettings()).answer == answer


def test_a_host_that_became_slower_for_all_alike_changes_nothing() -> None:
    """Half the clock: every time doubles."""
    found = judged(made_blocks(1.0), made_blocks(2.0, drifts=(2, 2, 2, 2), seed=2), GateSettings())
    assert found.answer == "pass"
    assert found.ratio.median == pytest.approx(1, abs=0.01)
    assert found.candidate_ms == pytest.approx(2 * found.baseline_ms, rel=0.1)


@pytest.mark.parametrize("ratio", [1.0, 1.05, 1.1])
def test_a_host_that_is_loaded_otherwise_proves_nothing(ratio: float) -> None:
    """What streams memory became a tenth slower, what computes did not: who knows what the network is like."""
    found = judged(made_blocks(1.0), made_blocks(ratio, drifts=(1, 1.1, 1.1, 1), seed=2), GateSettings())
    assert found.answer == "inconclusive"


@pytest.mark.parametrize(("floor_ms", "answer"), [(0.05, "regression"), (0.3, "pass")])
def test_a_slowdown_below_the_floor_is_no_regression(floor_ms: float, answer: str) -> None:
    """10 % of 1 ms is 0.1 ms."""
    settings = GateSettings(floor_ms=floor_ms)
    assert judged(made_blocks(1.0), made_blocks(1.1, seed=2), settings).answer == answer


def test_a_regression_in_stored_samples_is_found_in_both_halves() -> None:
    """Where only every second block is slower, nothing is sure."""
    base, slow = made_blocks(1.0), made_blocks(1.2, seed=2)
    mixed = tuple(pair[number % 2] for number, pair in enumerate(zip(base, slow, strict=True)))
    whole = judge_samples(made_samples(base), made_samples(slow), GateSettings(), names=NAMES)
    half = judge_samples(made_samples(base), made_samples(mixed), GateSettings(), names=NAMES)
    assert (whole.answer, half.answer) == ("regression", "inconclusive")
    assert "found twice" in whole.reason
    assert [len(one.blocks) for one in whole.comparisons] == [20, 10, 10]


def test_the_summary_says_when_the_baseline_was_taken_and_how_far_the_host_drifted() -> None:
    """A reader must see that the two were not timed together."""
    verdict = judge_samples(made_samples(made_blocks(1)), made_samples(made_blocks(1.1)), GateSettings(), names=NAMES)
    text = markdown(verdict, Path("net.onnx"))
    assert "**REGRESSION** `net.onnx`" in text
    assert "Baseline of 2026-01-01" in text
    assert "`net.onnx`, sha256 000000000000." in text
    assert "workloads drifted by" in text


def test_samples_that_sum_other_numbers_of_inferences_are_not_compared() -> None:
    """On a busy host a row of 16 was interrupted more often than one of 8, and took 1.9 times as long for each."""
    before, after = made_samples(made_blocks(1.0, inferences=10)), made_samples(made_blocks(1.0, inferences=9))
    sentence = (
        r"new\.json: its samples sum other numbers of .* \(network 9, then 10\); save it again with --like base\.json"
    )
    with pytest.raises(ConfigError, match=sentence):
        judge_samples(before, after, GateSettings(), names=NAMES)


@pytest.mark.slow  # sixty fresh processes
def test_samples_that_are_taken_like_others_sum_what_those_do(tmp_path: Path) -> None:
    """Numbers that nobody would choose for this host, or this network, and so both can be judged."""
    network, settings = equal_layers(tmp_path / "net.onnx", 1, side=8), GateSettings(block_seconds=0.01)
    own = record(network, settings)
    odd = {name: number + 1 for name, number in own.blocks[0].inferences.items()}
    blocks = tuple(msgspec.structs.replace(block, inferences=odd) for block in own.blocks)
    before = msgspec.structs.replace(own, blocks=blocks)
    alike = record(network, settings, like=Like(samples=before, name="base.json"))
    assert {tuple(block.inferences.items()) for block in alike.blocks} == {tuple(odd.items())}
    assert judge_samples(before, alike, settings, names=NAMES).answer in {"pass", "inconclusive", "regression"}
    elsewhere = msgspec.structs.replace(before, host=HOST)
    with pytest.raises(ConfigError, match=r"base\.json: taken under other conditions"):
        record(network, settings, like=Like(samples=elsewhere, name="base.json"))


def test_samples_survive_the_file(tmp_path: Path) -> None:
    """To the last bit."""
    samples = made_samples(made_blocks(1.0))
    write_samples(tmp_path / "base.json", samples)
    assert read_samples(tmp_path / "base.json") == samples


Change = Callable[[Samples], Samples]


def changed(**fields: object) -> Change:
    """Return a change of some of the samples' fields."""
    return lambda samples: msgspec.structs.replace(samples, **fields)


def first_block(change: Callable[[dict[str, list[float]]], object]) -> Change:
    """Return a change of the first block's times."""

    def apply(samples: Samples) -> Samples:
        change(samples.blocks[0].samples_ms)
        return samples

    return apply


def one_of_many() -> tuple[Block, ...]:
    """Return blocks whose samples would sum a billion inferences."""
    many = [
        msgspec.structs.replace(block, inferences=dict.fromkeys(block.inferences, 10**9)) for block in made_blocks(1.0)
    ]
    return tuple(many)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (changed(format=FORMAT + 1), f"format {FORMAT + 1}, but this edgekd reads {FORMAT}"),
        (changed(blocks=made_blocks(1, blocks=3)), "holds 3 blocks"),
        (changed(threads=-1), "says -1 threads"),
        (changed(blocks=one_of_many()), "block 1 sums numbers of inferences that are not from 1 to 100000"),
        (changed(references={"dense": "0"}), "fewer than two reference workloads"),
        (first_block(lambda times: times.pop("dense")), "block 1 is not of"),
        (first_block(lambda times: times["dense"].pop()), "block 1 has not the same number of samples"),
        (first_block(lambda times: times["dense"].append(-1)), "block 1 has not the same number of samples"),
        (first_block(lambda times: times["dense"].__setitem__(0, 0.0)), "block 1 holds a number that is not positive"),
    ],
)
def test_a_file_that_cannot_be_judged_is_one_sentence(tmp_path: Path, change: Change, sentence: str) -> None:
    """It names the file, what is wrong, and how to make another."""
    path = tmp_path / "base.json"
    write_samples(path, change(made_samples(made_blocks(1.0))))
    with pytest.raises(ConfigError, match=rf"base\.json: .*{sentence}.*edgekd gate --baseline NETWORK\.onnx --save"):
        read_samples(path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "one"}', '{"format": 1}', "no JSON", '{"format": 1'])
def test_a_file_that_is_no_samples_is_one_sentence(tmp_path: Path, text: str) -> None:
    """Whatever it is."""
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"base\.json: no samples of edgekd gate"):
        read_samples(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (changed(host=msgspec.structs.replace(HOST, cpu="another")), "cpu 'a processor', now 'another'"),
        (changed(host=msgspec.structs.replace(HOST, onnxruntime="1.30.0")), "onnxruntime '1.32.0', now '1.30.0'"),
        (changed(threads=2), "threads '1', now '2'"),
        (
            lambda one: msgspec.structs.replace(
                one, conditions=msgspec.structs.replace(one.conditions, governors=("powersave",))
            ),
            "governors 'performance', now 'powersave'",
        ),
        (
            lambda one: msgspec.structs.replace(
                one, conditions=msgspec.structs.replace(one.conditions, instruction_set="abd")
            ),
            "instruction set 'abc', now 'abd'",
        ),
        (changed(references=dict.fromkeys(REFERENCES, "1")), "other reference workloads"),
        (changed(inputs={"input": Input(type="float32", shape=(1, 3, 9, 8))}), r"float32\[1,3,9,8\], but the baseline"),
        (changed(inputs={"image": Input(type="float32", shape=(1, 3, 8, 8))}), "takes 'image'"),
        (changed(inputs={"input": Input(type="uint8", shape=(1, 3, 8, 8))}), r"uint8\[1,3,8,8\]"),
    ],
)
def test_samples_of_other_conditions_are_not_compared(change: Change, named: str) -> None:
    """The sentence says what was and what is."""
    base = made_samples(made_blocks(1.0))
    with pytest.raises(ConfigError, match=named):
        judge_samples(base, change(base), GateSettings(), names=NAMES)


def test_the_order_of_inputs_does_not_matter() -> None:
    """They have names."""
    first, second = Input(type="float32", shape=(1,)), Input(type="int64", shape=(2,))
    expect_same_inputs({"a": first, "b": second}, {"b": second, "a": first}, names=NAMES)


def test_a_candidate_on_another_host_is_refused_after_its_first_block(tmp_path: Path) -> None:
    """Samples of a made-up processor beside a network that runs really."""
    network = equal_layers(tmp_path / "net.onnx", 1)
    baseline = msgspec.structs.replace(
        made_samples(made_blocks(1.0)), inputs={"input": Input(type="float32", shape=(1, 32, 24, 24))}
    )
    with pytest.raises(ConfigError, match=r"base\.json: taken under other conditions \(cpu 'a processor', now"):
        gate_against_samples(baseline, "base.json", network, GateSettings(block_seconds=0.01))


@pytest.mark.slow
def test_a_network_against_its_own_samples_is_no_regression_and_one_thrice_as_slow_no_pass(tmp_path: Path) -> None:
    """Timed really, whatever else this machine does."""
    settings = GateSettings(block_seconds=0.2, max_seconds=10)
    base, slow = equal_layers(tmp_path / "base.onnx", 6), equal_layers(tmp_path / "slow.onnx", 18)
    samples = record(base, settings)
    assert len(samples.blocks[0].samples_ms) == 9
    assert NETWORK in samples.blocks[0].samples_ms
    assert gate_against_samples(samples, "base.json", base, settings).answer != "regression"
    assert gate_against_samples(samples, "base.json", slow, settings).answer != "pass"
