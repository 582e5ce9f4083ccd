"""Laws of the ways a device can fail: each has its own exit code, and the command says it."""

import re

from edgekd.bench import device_errors
from edgekd.cli import bench, gate
from edgekd.core.errors import ConfigError, EdgekdError, ParityError, StageError


def test_every_exit_code_is_one_errors_own_and_in_the_help() -> None:
    """No two share one, none is that of another part of edgekd (0 to 4), and ``edgekd bench --help`` lists all."""
    errors = [one for one in vars(device_errors).values() if isinstance(one, type) and issubclass(one, EdgekdError)]
    own = [one.exit_code for one in errors if one is not EdgekdError]
    assert len(own) == len(set(own)) == 8
    assert not set(own) & {0, 1, ConfigError.exit_code, StageError.exit_code, ParityError.exit_code, 4}
    assert "4 not sure" in (gate.command.__doc__ or "")
    listed = (bench.command.__doc__ or "").partition("Exit codes:")[2]
    assert set(own) | {2} == set(map(int, re.findall(r"\b\d+\b", listed)))
