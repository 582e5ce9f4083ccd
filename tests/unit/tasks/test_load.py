"""What is not loaded, and what every source has in common."""

import subprocess
import sys
from collections.abc import Callable

from edgekd.tasks.digits import load_digits
from edgekd.tasks.task import Task


def test_the_digits_need_no_cache(load: Callable[..., Task]) -> None:
    """They are the same task as ever."""
    assert load("digits").digest == load_digits().digest


def test_loading_tasks_imports_no_torch_and_no_datasets() -> None:
    """Only a source of that kind pays for Hugging Face datasets."""
    program = (
        "import sys, edgekd.tasks.load; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'scipy', 'datasets', 'pickle'} & set(sys.modules)))"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "torch" not in finished.stdout
    assert "datasets" not in finished.stdout
    assert "onnx" not in finished.stdout
