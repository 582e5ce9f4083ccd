"""Laws of what is looked at before a file is quantized, so that nobody waits for a refusal."""

from pathlib import Path

import pytest
from onnx import parser

from edgekd.core.errors import ConfigError
from edgekd.report.quantized import check_answers_of, check_out
from edgekd.tasks.digits import load_digits


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
