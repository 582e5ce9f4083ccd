"""Telling a person how far a long job is, on the stream that they gave."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from edgekd.core.units import duration

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_INTERVAL_S: Final = 10.0


class Step(Protocol):
    """One long job that is under way."""

    def advance(self, done: int, note: str = "") -> None:
        """Say that *done* of the total are done (counted from the beginning, not since the last call)."""


class Progress(Protocol):
    """Where a stage reports to; what it says never changes what the stage does."""

    def say(self, line: str) -> None:
        """Show one line that stays."""

    def step(self, name: str, total: int) -> AbstractContextManager[Step]:
        """Begin a job of *total* parts; it ends with the block."""


class SilentProgress:
    """Says nothing."""

    def say(self, line: str) -> None:
        """Drop the line."""

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:  # noqa: ARG002 - the protocol's arguments
        """Give a step that says nothing."""
        yield _SilentStep()


class PlainProgress:
    """Plain lines for logs and CI: one when a step begins, one when it ends, at most one per 10 s between."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to *stream*; *clock* gives seconds."""
        self._stream = stream
        self._clock = clock

    def say(self, line: str) -> None:
        """Write *line* at once."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:
        """Write when *name* begins, how far it is, and how long it took."""
        began = self._clock()
        self.say(f"{name}: 0/{total}")
        yield _PlainStep(self, name, total, self._clock)
        self.say(f"{name}: done in {duration(self._clock() - began)}")


class BarProgress:
    """Bars that fill on a terminal, each with the time left."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on *stream*, a terminal."""
        self._bars = _bars(stream)

    def say(self, line: str) -> None:
        """Write *line* above the bars."""
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:
        """Show a bar until the block ends, then one line with the time it took."""
        began = time.monotonic()
        if not self._bars.tasks:
            self._bars.start()
        task = self._bars.add_task(name, total=total, note="")
        try:
            yield _BarStep(self._bars, task)
        finally:
            self._bars.remove_task(task)
            if not self._bars.tasks:
                self._bars.stop()
        self.say(f"{name}: done in {duration(time.monotonic() - began)}")


class _SilentStep:
    """A step that nobody hears of."""

    def advance(self, done: int, note: str = "") -> None:
        """Drop it."""


class _PlainStep:
    """A step that writes a line when the last one is 10 s old."""

    def __init__(self, progress: PlainProgress, name: str, total: int, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._name = name
        self._total = total
        self._clock = clock
        self._said_s = clock()
        self._first: tuple[int, float] | None = None

    def advance(self, done: int, note: str = "") -> None:
        """Write how far the step is and, from the second call on, how long it will take.

        The first call is where counting starts: a resumed run begins in the middle.
        """
        now_s = self._clock()
        first_done, first_s = self._first = self._first or (done, now_s)
        if now_s - self._said_s < PLAIN_INTERVAL_S:
            return
        self._said_s = now_s
        parts = [f"{self._name}: {done}/{self._total}"]
        if done > first_done:
            left_s = (self._total - done) * (now_s - first_s) / (done - first_done)
            parts.append(f"{duration(left_s)} left")
        self._progress.say(", ".join([*parts, note] if note else parts))


class _BarStep:
    """A step that moves a bar."""

    def __init__(self, bars: "RichProgress", task: "TaskID") -> None:
        self._bars = bars
        self._task = task

    def advance(self, done: int, note: str = "") -> None:
        """Move the bar to *done*."""
        self._bars.update(self._task, completed=done, note=note)


def _bars(stream: TextIO) -> "RichProgress":
    """Return rich's bars for *stream*; rich is imported here, because nothing else needs it."""
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=Console(file=stream),
        transient=True,
    )
