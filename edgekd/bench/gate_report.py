"""The gate's answer for people and for CI: Markdown, and JUnit XML."""

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from edgekd.bench.gate import Verdict
from edgekd.bench.gate_stored import StoredVerdict

if TYPE_CHECKING:
    from edgekd.bench.gate_instructions import Counted


def markdown(verdict: Verdict | StoredVerdict, candidate: Path) -> str:
    """Return a summary for a pull request; latencies are those of the host that it names."""
    rows = _of_stored(verdict) if isinstance(verdict, StoredVerdict) else _of_pairs(verdict)
    lines = [
        f"**{verdict.answer.upper()}** `{_printable(candidate.name)}`: {verdict.reason}.",
        *([f"To settle it: {verdict.advice}."] if verdict.advice else []),
        "",
        *rows,
        "",
        f"{verdict.host.cpu}, {verdict.settings.threads} thread(s), {verdict.seconds:.1f} s; not a device.",
    ]
    return "\n".join(lines) + "\n"


def markdown_of_counts(counted: "Counted", candidate: Path) -> str:
    """Return a summary for a pull request; counts are exact, and no latency follows from them."""
    return (
        f"**{counted.answer.upper()}** `{_printable(candidate.name)}`: {counted.reason}.\n\n"
        f"| instructions on an emulated {counted.core} | baseline | candidate | ratio | limit |\n"
        "|---|---|---|---|---|\n"
        f"| of one inference, one thread | {counted.baseline} | {counted.candidate} | {counted.ratio:.4f} | "
        f"{counted.limit:.4f} |\n"
    )


def junit(verdict: "Verdict | StoredVerdict | Counted", candidate: Path) -> str:
    """Return a test suite of one test: failed for a regression, skipped where nothing is sure."""
    answer, advice = verdict.answer, verdict.advice
    suite = ET.Element(
        "testsuite",
        name="edgekd gate",
        tests="1",
        failures=str(int(answer == "regression")),
        skipped=str(int(answer == "inconclusive")),
        errors="0",
        time=f"{verdict.seconds:.3f}",
    )
    case = ET.SubElement(
        suite, "testcase", classname="edgekd.gate", name=_printable(candidate.name), time=f"{verdict.seconds:.3f}"
    )
    if answer != "pass":
        kind = "failure" if answer == "regression" else "skipped"
        ET.SubElement(case, kind, message=f"{verdict.reason}. {advice}".strip())
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(name: str) -> str:
    """Return *name* with what no XML file may hold written as its escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)


def _of_pairs(verdict: Verdict) -> list[str]:
    """Return a table of pairs that were timed in turn."""
    return [
        "| run | ratio | 99.5 % interval | limit | baseline against itself | medians, ms | pairs |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {number}, {one.answer} | {one.ratio.median:.4f} | {one.ratio.low:.4f} to {one.ratio.high:.4f} | "
            f"{one.limit:.4f} | {one.control.median:.4f} | {one.baseline_ms:.4g}, {one.candidate_ms:.4g} | "
            f"{one.pairs} |"
            for number, one in enumerate(verdict.comparisons, start=1)
        ),
    ]


def _of_stored(verdict: StoredVerdict) -> list[str]:
    """Return a table of rounds beside those of the stored baseline."""
    network = f"`{_printable(verdict.baseline_network)}`, sha256 {verdict.baseline_sha256[:12]}"
    return [
        f"Baseline of {verdict.baseline_date}: {network}.",
        "",
        "| run | ratio | 99.5 % interval | limit | workloads drifted by | medians then and now, ms | rounds |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {number}, {one.answer} | {one.ratio.median:.4f} | {one.ratio.low:.4f} to {one.ratio.high:.4f} | "
            f"{one.limit:.4f} | {one.drift:.4f} | {one.baseline_ms:.4g}, {one.candidate_ms:.4g} | {one.pairs} |"
            for number, one in enumerate(verdict.comparisons, start=1)
        ),
    ]
