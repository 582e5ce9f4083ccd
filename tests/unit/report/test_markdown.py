"""The report for reading."""

from edgekd.report.content import Report
from edgekd.report.markdown import render


def table_after(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table after *heading*, without its two head lines."""
    lines = text.split(f"## {heading}\n", 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def test_every_stage_has_one_row_with_its_numbers(report: Report) -> None:
    """Accuracy, parameters, MACs, size, latency median and p95 with n, memory, time: rounded, with units."""
    rows = table_after(render(report), "Stages")
    assert [row[0] for row in rows] == ["teach", "distill", "prune", "factorize", "export"]
    assert rows[0] == [
        "teach", "FP32", "98.50 %", "400 k", "12.0 M", "1.20 MB", "1.10 ms", "2.00 ms", "21", "3.00 MiB",
        "1.0 s (from the store)",
    ]  # fmt: skip
    assert rows[1][-1] == "11 s (since it was resumed)"
    assert rows[4][1:6] == ["FP16", "98.10 %", "28.0 k", "1.20 M", "60.0 kB"]


def test_the_shipped_file_is_marked_among_the_files(report: Report) -> None:
    """model.onnx is the FP16 file."""
    rows = table_after(render(report), "Files")
    assert [row[0] for row in rows] == ["model.fp32.onnx", "model.fp16.onnx = model.onnx"]
    assert [row[1:5] for row in rows] == [["FP32", "13", "7", "120 kB"], ["FP16", "13", "7", "60.0 kB"]]


def test_budgets_are_shown_with_limit_measurement_and_verdict(report: Report) -> None:
    """What was not measured is a dash, never a number."""
    rows = table_after(render(report), "Budgets")
    assert [row[:4] for row in rows] == [
        ["size_kb", "1024", "60", "**PASS**"],
        ["drop_points", "0.7", "0.4", "**PASS**"],
        ["latency_ms", "33.3", "–", "**UNPROVEN**"],  # noqa: RUF001 - the dash of an empty cell
    ]


def test_the_report_says_why_int8_is_refused_and_how_to_build_the_engine(report: Report) -> None:
    """Reason and trtexec line, for the person with the device."""
    text = render(report)
    assert report.refused[0].reason in text
    assert report.commands.build is not None
    assert f"    {report.commands.build}\n" in text
    assert f"    {report.commands.check}\n    {report.commands.time}\n    {report.commands.check}\n" in text
    assert report.commands.reading in text


def test_the_report_says_what_was_cut_and_what_was_left_alone(report: Report) -> None:
    """Groups that lost channels, and each factorized or kept layer with its reason."""
    text = render(report)
    assert "stem 32 → 24" in text
    assert "blocks.0 64" not in text
    assert "| head | rank 4 | 9 us → 5 us |" in text
    assert "| stem | left alone | 3 us |" in text


def test_without_details_only_the_tables_are_shown(report: Report) -> None:
    """For the terminal: stages, files and budgets."""
    text = render(report, details=False)
    assert "## Budgets" in text
    assert "## On the device" not in text
    assert "## How it came about" not in text


def test_latencies_are_said_to_be_the_hosts(report: Report) -> None:
    """No reader takes them for the device's."""
    text = render(report)
    assert report.host.cpu in text
    assert "never of the device" in text


def test_nothing_of_the_template_is_left(report: Report) -> None:
    """No placeholder, no value that was not there, and a line break at the end."""
    text = render(report)
    assert not any(mark in text for mark in ("{{", "{%", "}}", "None"))
    assert text.endswith("\n")


def test_the_report_names_what_stays_in_float32(report: Report) -> None:
    """The two nodes that leave the range of float16, and why."""
    assert "In the FP16 file Exp_3, Sqrt_4 compute in float32" in render(report)
