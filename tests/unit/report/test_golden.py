"""Golden samples: which ones, and what stands in them."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import parser

from edgekd.networks.session import answers, open_session
from edgekd.report.golden import MOST, write_golden
from edgekd.report.scoring import right_classes
from edgekd.tasks.digits import load_digits

MODEL = parser.parse_model(
    '<ir_version: 8, opset_import: ["": 18]> g (float[1, 1, 28, 28] pixels) => (float[1, 784] seen) '
    "{ seen = Flatten(pixels) }"
)


def test_a_thousand_classes_give_so_many_golden_samples_and_no_more(tmp_path: Path) -> None:
    """The first sample of each of the first classes, under the names of the file that answers."""
    onnx.save(MODEL, tmp_path / "model.onnx")
    task = load_digits()
    classes = np.arange(len(task.test)) // 2
    written = write_golden(tmp_path, task, classes, precision="int8")
    assert written.samples == MOST
    with np.load(tmp_path / written.file) as golden:
        expected = task.read(task.test, np.arange(0, 2 * MOST, 2))[0]
        np.testing.assert_array_equal(golden["pixels"], expected)
        np.testing.assert_array_equal(golden["seen"], expected.reshape(MOST, -1))


def test_without_labels_the_float_networks_classes_are_right() -> None:
    """As everywhere in the report: each sample's class is the one that the float network names."""
    task = load_digits()
    unlabelled = msgspec.structs.replace(task.test, labels=None)
    found = right_classes(MODEL, task, unlabelled)
    named = answers(open_session(MODEL), task.batches(unlabelled)).argmax(1)
    np.testing.assert_array_equal(found, named)
    np.testing.assert_array_equal(right_classes(MODEL, task, task.test), task.test.labels)
