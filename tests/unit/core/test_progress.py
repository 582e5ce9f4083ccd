"""What people see of a long job."""

import io
import subprocess
import sys

import pytest

from edgekd.core.progress import BarProgress, PlainProgress, Progress, SilentProgress


class HandClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        """Start at 100 s."""
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s


def test_plain_lines_come_at_most_every_ten_seconds_with_the_time_left() -> None:
    """Steps a second apart give a begin, an end, and a line per 10 s with a right estimate."""
    stream, clock = io.StringIO(), HandClock()
    with PlainProgress(stream, clock).step("teach", 40) as step:
        for done in range(1, 36):
            clock.now_s += 1
            step.advance(done, "loss 0.5")
    assert stream.getvalue().splitlines() == [
        "teach: 0/40",
        "teach: 10/40, 30 s left, loss 0.5",
        "teach: 20/40, 20 s left, loss 0.5",
        "teach: 30/40, 10 s left, loss 0.5",
        "teach: done in 35 s",
    ]


def test_a_resumed_step_estimates_from_where_it_began() -> None:
    """A run that continues at 80 of 100 does not count those 80 as done in no time."""
    stream, clock = io.StringIO(), HandClock()
    with PlainProgress(stream, clock).step("teach", 100) as step:
        step.advance(80)
        clock.now_s += 10
        step.advance(82)
    assert stream.getvalue().splitlines()[1] == "teach: 82/100, 1 min 30 s left"


def test_a_step_that_fails_is_not_said_to_be_done() -> None:
    """An exception leaves the block without a "done"."""
    for make in (PlainProgress, BarProgress):
        stream = io.StringIO()
        with pytest.raises(KeyError), make(stream).step("teach", 2):
            raise KeyError
        assert "done" not in stream.getvalue()


def test_bars_say_each_line_and_each_finished_step() -> None:
    """Lines and finished steps stay readable, also with brackets that rich would take for markup."""
    stream = io.StringIO()
    progress = BarProgress(stream)
    with progress.step("teach", 2) as step, progress.step("batch", 2) as inner:
        progress.say("using [bold]4[/bold] images")
        step.advance(1, "loss [0.5]")
        inner.advance(2)
    assert "using [bold]4[/bold] images" in stream.getvalue()
    assert "batch: done in 0.0 s" in stream.getvalue()
    assert "teach: done in 0.0 s" in stream.getvalue()


def test_silence_says_nothing_and_takes_everything() -> None:
    """The silent progress fits where the others fit."""
    progress: Progress = SilentProgress()
    progress.say("a")
    with progress.step("teach", 1) as step:
        step.advance(1, "b")


def test_rich_is_loaded_only_for_bars() -> None:
    """Importing the module does not import rich."""
    script = "import sys, edgekd.core.progress; print('rich' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout == "False\n"
