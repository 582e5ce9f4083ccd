"""The report as Markdown."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edgekd.core import units
from edgekd.report.content import Report

_UNITS = ("count", "duration", "memory", "milliseconds", "percent", "points", "size")


def render(report: Report, *, details: bool = True) -> str:
    """Return *report* for reading; without *details* only its tables."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, written for its own author
    )
    environment.globals.update({name: getattr(units, name) for name in _UNITS})
    template = environment.get_template("report.md.j2")
    return template.render(report=report, shipped=report.stages[-1], details=details)
