"""Laws of what is looked at before a file is quantized, so that nobody waits for a refusal."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import parser

from edgekd.core.errors import ConfigError, StageError
from edgekd.quantize.coverage import Coverage, FloatNode
from edgekd.quantize.recipe import PostTraining
from edgekd.report.before_quantizing import check_answers_of, check_out, check_places, check_samples
from edgekd.report.quantized import check_coverage
from edgekd.report.scoring import classes_of
from edgekd.tasks.digits import load_digits
from edgekd.tasks.task import Split, Task

HEADER = '<ir_version: 8, opset_import: ["": 18]>'


@pytest.mark.parametrize(
    ("shape", "sentence"), [("{0, 78}", r"net\.onnx: cannot be run on a sample of"), ("{0, 784}", "10")]
)
def test_a_network_that_cannot_answer_for_the_data_is_refused(shape: str, sentence: str) -> None:
    """784 pixels are no 78, which ONNX's checker does not see; and 784 numbers are no logits of ten classes."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 1, 28, 28] x) => (float[n, m] y) '
        f"<int64[2] shape = {shape}> {{ y = Reshape(x, shape) }}"
    )
    with pytest.raises(ConfigError, match=sentence):
        check_answers_of(model, load_digits(), Path("net.onnx"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where not even root may write")
def test_a_folder_that_cannot_be_written_is_refused() -> None:
    """/proc takes no files, whoever asks."""
    with pytest.raises(ConfigError, match="name another folder"):
        check_out(Path("/proc/int8"))


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    """Nothing stays of the attempt."""
    check_out(tmp_path / "int8")
    assert not list(tmp_path.iterdir())


def test_a_network_that_multiplies_nothing_is_refused() -> None:
    """Pooling and an activation have nothing to round: the float file is what there is to ship."""
    model = parser.parse_model(
        f"{HEADER} g (float[n, 1, 28, 28] x) => (float[n, 1, 1, 1] y) {{ a = Relu(x)  y = GlobalAveragePool(a) }}"
    )
    with pytest.raises(ConfigError, match=r"^net\.onnx: holds no convolution .*ship the float file") as refused:
        check_places(model, "onnxruntime-arm64", Path("net.onnx"))
    assert refused.value.exit_code == 2


def test_a_file_whose_every_layer_stayed_in_float_is_refused() -> None:
    """By a budget, or since the runtime has no kernel: the sentence names the first layer, why, and what to do."""
    node = FloatNode(name="Conv_0", operator="Conv", macs=7, reason="its operands x are real")
    nothing = Coverage(integer_macs=0, total_macs=7, share=0.0, float_nodes=(node,))
    with pytest.raises(StageError, match=r"Conv_0: its operands x are real.*--form weights") as refused:
        check_coverage(nothing, Path("net.onnx"))
    assert refused.value.exit_code == 3
    check_coverage(msgspec.structs.replace(nothing, integer_macs=1), Path("net.onnx"))


def test_a_network_without_finite_answers_names_no_class() -> None:
    """1 / 0 is no logit, in whatever form the network is judged."""
    model = parser.parse_model(
        f"{HEADER} g (float[n, 1, 28, 28] x) => (float[n, 784] y) <float z = {{0}}> "
        "{ a = Flatten(x)  b = Abs(a)  c = Mul(b, z)  y = Reciprocal(c) }"
    )
    task = load_digits()
    with pytest.raises(ConfigError, match="NaN or infinite numbers on"):
        classes_of(model, task, task.test)


class Counted:
    """Rows that know how many of them were read at once at most, and how many in all."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        """Start to count."""
        self.rows, self.most, self.all = rows, 0, 0
        self.shape, self.dtype = rows.shape, rows.dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: slice) -> NDArray[np.float32]:
        """Return some rows and count them."""
        found = self.rows[index]
        self.most, self.all = max(self.most, len(found)), self.all + len(found)
        return found


def with_rows(rows: NDArray[np.float32]) -> tuple[Task, Counted]:
    """Return the task of digits with other training rows, and these."""
    counted = Counted(rows)
    task = load_digits()
    return msgspec.structs.replace(task, train=Split(inputs=(counted,), labels=None)), counted


def test_samples_are_looked_at_a_batch_at_a_time() -> None:
    """Of a thousand equal images only the last differs, so all are read, never more than 64 at once."""
    rows = np.tile(np.arange(784, dtype=np.float32).reshape(1, 1, 28, 28), (1000, 1, 1, 1))
    rows[-1] += 1
    task, counted = with_rows(rows)
    check_samples(task, PostTraining(samples=1000))
    assert counted.most <= 64
    task, _ = with_rows(rows[:-1])
    with pytest.raises(ConfigError, match="are all the same"):
        check_samples(task, PostTraining(samples=1000))


def test_images_of_one_number_each_are_refused_and_various_ones_read_no_further() -> None:
    """1000 grey images of different greys have no pixels; of images that differ the first batch says enough."""
    greys = np.repeat(np.arange(1000, dtype=np.float32), 784).reshape(1000, 1, 28, 28)
    task, _ = with_rows(greys)
    with pytest.raises(ConfigError, match="are all of one number each"):
        check_samples(task, PostTraining(samples=1000))
    various = np.random.default_rng(0).standard_normal((1000, 1, 28, 28)).astype(np.float32)
    task, counted = with_rows(various)
    check_samples(task, PostTraining(samples=1000))
    assert counted.all <= 65
