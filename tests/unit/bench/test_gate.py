"""Laws of the gate: sure answers only, and none that one look alone supports."""

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from slowed import equal_layers, sure

from edgekd.bench.blocks import Block
from edgekd.bench.gate import CANDIDATE, EXIT_CODES, Answer, GateSettings, Verdict, found_twice, gate, judged
from edgekd.bench.gate_report import junit, markdown
from edgekd.bench.host import this_host
from edgekd.bench.statistics import log_ratios, ratio_interval
from edgekd.core.errors import ConfigError


def made(ratio: float, *, control: float = 1.0, seed: int = 1) -> list[Block]:
    """Return blocks in which the candidate takes *ratio* times as long, under noise that all three files share."""
    random = np.random.default_rng(seed)
    blocks, noise, base_ms = 9, 0.05, 2.0
    found = []
    for _ in range(blocks):
        machine = base_ms * np.exp(random.normal(0, 0.3, 60))
        own = [np.exp(random.normal(0, noise, 60)) for _ in range(3)]
        samples = {
            "baseline": machine * own[0],
            CANDIDATE: machine * ratio * own[1],
            "control": machine * control * own[2],
        }
        found.append(
            Block(
                inferences=dict.fromkeys(samples, 1),
                samples_ms={name: list(values) for name, values in samples.items()},
            )
        )
    return found


def test_the_interval_of_a_constant_ratio_is_the_ratio() -> None:
    """However much the machine swings: pairs swing together."""
    slow = np.array([2.2, 4.4, 8.8])
    rows = log_ratios(list(slow), list(slow / 1.1))
    found = ratio_interval([rows] * 4, confidence=0.99)
    assert (found.low, found.median, found.high) == pytest.approx((1.1, 1.1, 1.1))


def test_what_a_process_does_to_all_its_pairs_counts_once() -> None:
    """Two processes of ratios 1.0 and 1.1 leave an interval from the one to the other, though pairs agree in each."""
    blocks = [np.full(100, np.log(1.0)), np.full(100, np.log(1.1))]
    found = ratio_interval(blocks, confidence=0.9)
    assert (found.low, found.high) == pytest.approx((1.0, 1.1))


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    """Of 200 draws of a known ratio a 90 % interval misses 20, give or take three standard deviations (4.2)."""
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        blocks = [np.log(1.05) + random.normal(0, 0.05, 40) for _ in range(8)]
        found = ratio_interval(blocks, confidence=0.9)
        missed += not found.low <= 1.05 <= found.high
    assert missed <= 33


@pytest.mark.parametrize(
    ("ratio", "answer"),
    [(0.9, "pass"), (1.0, "pass"), (1.03, "inconclusive"), (1.05, "regression"), (1.5, "regression")],
)
def test_an_answer_needs_the_whole_interval_on_one_side(ratio: float, answer: str) -> None:
    """With 3 % allowed; a slowdown of exactly the limit is never sure."""
    assert judged(made(ratio), GateSettings(max_regression=0.03)).answer == answer


@pytest.mark.parametrize(("floor_ms", "answer"), [(0.0, "regression"), (0.05, "regression"), (0.3, "pass")])
def test_a_slowdown_below_the_floor_is_no_regression(floor_ms: float, answer: str) -> None:
    """10 % of 2 ms is 0.2 ms: above a floor of 0.05 ms, below one of 0.3 ms."""
    assert judged(made(1.1), GateSettings(floor_ms=floor_ms)).answer == answer


def test_where_nothing_changed_a_floor_below_resolution_alarms_nobody() -> None:
    """Nothing at all is allowed, and a floor of a picosecond: of 40 draws none is called a regression."""
    settings = GateSettings(max_regression=0, floor_ms=1e-9)
    assert {judged(made(1.0, seed=seed), settings).answer for seed in range(40)} <= {"pass", "inconclusive"}


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        (["pass"], "pass"),
        (["inconclusive"], "inconclusive"),
        (["regression", "regression"], "regression"),
        (["regression", "pass"], "inconclusive"),
        (["regression", "inconclusive"], "inconclusive"),
    ],
)
def test_only_a_regression_is_looked_at_again_and_only_one_that_is_confirmed_counts(
    answers: list[Answer], answer: Answer
) -> None:
    """Every comparison that is listed is made, and no other."""
    ones = [msgspec.structs.replace(judged(made(1.0), GateSettings()), answer=one) for one in answers]
    left = iter(ones)
    assert found_twice(lambda _: next(left)) == (answer, tuple(ones))
    assert next(left, None) is None


def test_a_baseline_that_differs_from_itself_proves_nothing() -> None:
    """A control of 2 % makes even a slowdown of a half inconclusive."""
    assert judged(made(1.5, control=1.02), GateSettings()).answer == "inconclusive"


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a network and one with thrice as many layers."""
    folder = tmp_path_factory.mktemp("networks")
    return equal_layers(folder / "base.onnx", 6), equal_layers(folder / "slow.onnx", 18)


def test_a_network_beside_itself_is_no_regression(networks: tuple[Path, Path]) -> None:
    """Timed really, in fresh processes; whatever else this machine does."""
    verdict = gate(networks[0], networks[0], GateSettings(max_regression=0.2, block_seconds=0.2))
    assert verdict.answer != "regression"
    assert verdict.comparisons[0].pairs >= 32


def test_thrice_as_many_layers_are_found_twice(networks: tuple[Path, Path]) -> None:
    """A regression rests on two sequences that share no sample; a busy machine may be unsure, never wrong."""
    settings = GateSettings(max_regression=0.05, block_seconds=0.2, max_seconds=20)
    verdict = sure(
        lambda seed: gate(*networks, msgspec.structs.replace(settings, seed=seed)),
        lambda one: one.reason if one.answer == "inconclusive" else "",
    )
    assert verdict.answer == "regression", verdict.reason
    first, second = verdict.comparisons
    assert first.blocks != second.blocks
    assert min(first.ratio.low, second.ratio.low) > 1.05


@pytest.mark.slow
def test_a_floor_below_resolution_alarms_nobody_on_this_machine(networks: tuple[Path, Path]) -> None:
    """A network beside itself, nothing allowed: pass or inconclusive, whatever else this machine does."""
    verdict = gate(networks[0], networks[0], GateSettings(max_regression=0, floor_ms=1e-9, block_seconds=0.2))
    assert verdict.answer in {"pass", "inconclusive"}


def test_a_baseline_of_another_shape_is_refused(networks: tuple[Path, Path], tmp_path: Path) -> None:
    """The sentence says what each takes."""
    other = equal_layers(tmp_path / "other.onnx", 1, side=12)
    with pytest.raises(ConfigError, match=r"other\.onnx: takes 'input' float32\[1,32,12,12\], but .*24,24"):
        gate(networks[0], other, GateSettings(block_seconds=0.01))


def test_a_file_that_cannot_run_is_one_sentence(networks: tuple[Path, Path], tmp_path: Path) -> None:
    """It names the file and says what ONNX Runtime said."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(ConfigError, match=r"broken\.onnx: ONNX Runtime .* cannot run it"):
        gate(networks[0], broken, GateSettings())


def verdict_of(ratio: float) -> Verdict:
    """Return a verdict of made-up blocks."""
    one = judged(made(ratio), GateSettings())
    return Verdict(
        answer=one.answer,
        reason="it is so",
        advice="look again" if one.answer == "inconclusive" else "",
        seconds=1.5,
        settings=GateSettings(),
        comparisons=(one,),
        host=this_host(),
    )


@pytest.mark.parametrize(("ratio", "tag"), [(1.0, None), (1.1, "failure"), (1.03, "skipped")])
def test_junit_says_what_ci_understands(ratio: float, tag: str | None) -> None:
    """A regression fails, what is not sure is skipped, a pass is a test without remark."""
    suite = ET.fromstring(junit(verdict_of(ratio), Path("net.onnx")))  # noqa: S314 - our own text
    (case,) = suite
    assert [child.tag for child in case] == ([tag] if tag else [])
    assert (suite.get("failures"), suite.get("skipped")) == (str(int(tag == "failure")), str(int(tag == "skipped")))
    assert case.get("name") == "net.onnx"
    assert (suite.tag, case.tag, suite.get("tests"), suite.get("errors")) == ("testsuite", "testcase", "1", "0")
    assert (suite.get("time"), case.get("time"), case.get("classname")) == ("1.500", "1.500", "edgekd.gate")
    assert [child.get("message", "")[:8] for child in case] == (["it is so"] if tag else [])


def test_the_summary_names_host_limit_and_answer() -> None:
    """So that nobody takes it for a device's."""
    text = markdown(verdict_of(1.1), Path("net.onnx"))
    assert "**REGRESSION** `net.onnx`" in text
    assert "1.0300" in text
    assert "not a device" in text


def test_every_answer_has_its_own_exit_code() -> None:
    """None of them is that of bad input (2) or of a broken promise (3)."""
    assert EXIT_CODES == {"pass": 0, "regression": 1, "inconclusive": 4}


def test_junit_stays_xml_whatever_the_file_is_called() -> None:
    """XML 1.0 has no place for control characters, and UTF-8 none for half a pair."""
    text = junit(verdict_of(1.0), Path("a\x01\n\udcff<.onnx"))
    assert ET.fromstring(text.encode())[0].get("name") == r"a\x01\n\udcff<.onnx"  # noqa: S314 - our own text
