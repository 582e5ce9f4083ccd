"""The table of a calibrated device."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekd.core.errors import ConfigError
from edgekd.predict.gaussian import Scales
from edgekd.predict.kernel_amounts import amounts, family_of, features, in_network
from edgekd.predict.kernel_costs import Family
from edgekd.predict.layers import Layer
from edgekd.predict.table import (
    FORMAT,
    LeftOut,
    Overhead,
    Table,
    TimedKernel,
    TimedNetwork,
    kernels_of,
    read_table,
    steady,
    write_table,
)
from edgekd.predict.tables import table_file, tables_folder

LAYER = Layer(
    name="first", operator="Conv", kind="dense", in_channels=3, out_channels=16, kernel=(3, 3), read=300, written=1600
)


FAMILY_OF_ONE = {"rates": [1.0], "scales": {"lengths": [0.0], "spread": 0.0, "noise": -3.0}}
"""As an older edgekd might have learned it: another number of terms and features."""


def table() -> Table:
    """Return a table with one network of one kernel."""
    kernel = TimedKernel(layer=LAYER, samples_us=(9, 10, 11, 12, 5000))
    terms, axes = (rows(in_network([LAYER])).shape[1] for rows in (amounts, features))
    scales = Scales(lengths=(0.0,) * axes, spread=0.0, noise=-3.0)
    return Table(
        format=FORMAT,
        date="2026-11-26T00:00:00+00:00",
        target="board",
        where="ssh:board",
        fingerprint={"cpu": "a core", "machine": "aarch64", "runtime": "onnxruntime 1.32.0"},
        threads=2,
        runtime="onnxruntime 1.32.0",
        precisions=("fp32",),
        others_busy=0.0,
        families={family_of(LAYER): Family(rates=(1.0,) * terms, scales=scales)},
        overheads={"fp32": Overhead(node_us=-2.0, inference_us=5.0, evicted_us=82.0)},
        left_out=(LeftOut(seed=0, precision="fp32", measured_us=10.0, predicted_us=11.0),),
        networks=(TimedNetwork(seed=0, precision="fp32", samples_ms=(0.01,), kernels=(kernel,)),),
    )


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    """Through its file, in a folder that is made."""
    path = table_file(tmp_path / "tables", "board", 2)
    write_table(path, table())
    assert path.name == "board-2.json"
    assert read_table(path) == table()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "edgekd measurement"}, "is no table of a calibration"),
        ({"families": {"Conv, dense of few channels": FAMILY_OF_ONE}}, "or they are no times"),
        ({"format": 99}, "is a table of format 99, this edgekd reads 2"),
        ({"threads": "two"}, r"cannot be read as a table of a calibration \(Expected `int`, got `str`"),
        ({"networks": []}, "lacks networks, samples or overheads"),
        ({"precisions": ["fp32", "int8"]}, "lacks networks, samples or overheads"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    """One sentence that says what to do."""
    path = tmp_path / "table.json"
    path.write_bytes(msgspec.json.encode(msgspec.to_builtins(table()) | change))
    with pytest.raises(ConfigError, match=f"table.json: .*{reason}.*edgekd targets calibrate"):
        read_table(path)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{", b"\xff\xfe"])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    """However broken it is."""
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="table of a calibration"):
        read_table(path)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(ConfigError, match=r"none\.json"):
        read_table(tmp_path / "none.json")


def test_another_process_does_not_count() -> None:
    """A run that was interrupted is above the quantile, and half a microsecond is what a trace cuts off."""
    assert steady((9, 10, 11, 12, 5000)) == 10
    _, times = kernels_of(table().networks)
    assert times == pytest.approx([10.5])


def test_a_network_is_its_kernels_and_what_comes_with_them() -> None:
    """Two kernels of 10 us, 2 us less for each, 5 us for the inference, and 20/820 of the 82 us of cold caches."""
    assert table().overheads["fp32"].total_us(np.array([10.0, 10.0])) == pytest.approx(20 - 4 + 5 + 2)


def test_errors_are_logarithms_of_ratios() -> None:
    """11 foretold where 10 were measured."""
    assert table().errors("fp32") == pytest.approx([0.09531], abs=1e-5)


def test_tables_are_kept_with_the_users_state(tmp_path: Path) -> None:
    """Or where the environment says."""
    assert tables_folder({"HOME": "/home/a"}) == Path("/home/a/.local/state/edgekd/tables")
    assert tables_folder({"HOME": "/home/a", "EDGEKD_TABLES": str(tmp_path)}) == tmp_path
