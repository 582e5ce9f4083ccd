"""Which process this is, by torchrun's variables."""

from itertools import zip_longest

import pytest

from edgekd.cli.process import Process, this_process
from edgekd.core.errors import ConfigError

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")


def with_variables(monkeypatch: pytest.MonkeyPatch, *values: str | None) -> None:
    """Set, or remove, torchrun's variables; those after the given ones are removed."""
    for name, value in zip_longest(NAMES, values):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def test_a_process_without_torchrun_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing set: the first of one."""
    with_variables(monkeypatch, None, None, None)
    process = this_process()
    assert process == Process(rank=0, local_rank=0, size=1)
    assert process.is_first
    assert not process.is_one_of_several


def test_torchrun_s_numbers_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth of eight, the second on its machine: it neither writes nor talks."""
    with_variables(monkeypatch, "4", "1", "8", "2")
    process = this_process()
    assert process == Process(rank=4, local_rank=1, size=8, attempt=2)
    assert not process.is_first
    assert process.is_one_of_several


@pytest.mark.parametrize(
    "values", [("one", "0", "2"), ("0", None, "2"), (None, "0", "2"), ("0", "0", ""), ("0", "0", "2", "x")]
)
def test_variables_that_are_no_numbers_are_refused(
    monkeypatch: pytest.MonkeyPatch, values: tuple[str | None, ...]
) -> None:
    """Half of torchrun's variables, or words in them, end in one sentence that names them."""
    with_variables(monkeypatch, *values)
    with pytest.raises(ConfigError, match=r"WORLD_SIZE.*torchrun"):
        this_process()
