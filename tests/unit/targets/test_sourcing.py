"""Every fact has one source, and every source a fact."""

from datetime import date

import pytest

from edgekd.core.errors import ConfigError
from edgekd.targets import Source
from edgekd.targets.sourcing import require_sources

TABLES = {
    "name": "x",
    "title": "X",
    "device": {"soc": "S", "gpu": {"name": "G"}},
    "channels": {"multiple": 8},
}


def _source(*facts: str) -> Source:
    """Return a source of *facts*."""
    return Source(facts=facts, kind="choice", text="because", read=date(2026, 1, 31))


@pytest.mark.parametrize(
    "sources",
    [
        (_source("device", "channels"),),
        (_source("device.gpu.name"), _source("device.soc", "channels.multiple")),
        (_source("device.gpu", "device.soc"), _source("channels")),
    ],
)
def test_a_fact_is_covered_by_its_name_or_a_table_around_it(sources: tuple[Source, ...]) -> None:
    """Naming a table covers all that it holds; name and title need no source."""
    require_sources(TABLES, sources, where="x.toml")


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ((_source("device"),), "channels.multiple: has no source; add a [[sources]] entry"),
        (
            (_source("device", "channels"), _source("device.soc")),
            "device.soc: has more than one source (sources[0] and sources[1])",
        ),
        (
            (_source("device", "chanels"),),
            "sources[0].facts: 'chanels' is no fact of this file; did you mean 'channels'?",
        ),
        (
            (_source("device", "channels"), _source("device.gpu.nam")),
            "sources[1].facts: 'device.gpu.nam' is no fact of this file; did you mean 'device.gpu.name'?",
        ),
    ],
)
def test_a_fact_without_exactly_one_source_is_refused(sources: tuple[Source, ...], sentence: str) -> None:
    """No source, two sources, and a source of nothing are each one sentence."""
    with pytest.raises(ConfigError) as error:
        require_sources(TABLES, sources, where="x.toml")
    assert str(error.value).startswith(f"x.toml: {sentence}")
