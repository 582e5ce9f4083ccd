"""A network that somebody else wrote, on images of theirs: by its file, with their weights."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import FAST, edgekd, sets
from patterns import MEAN, NAMES, NORMALIZED, STD, patterns
from safetensors.torch import save_file
from torch import nn

pytestmark = pytest.mark.slow

NETWORK = Path(__file__).parents[1] / "support" / "networks" / "small.py"
BIASED = torch.tensor(((patterns(180)[0] / 255 - MEAN) / STD).astype(np.float32))


def trained(width: int) -> dict[str, torch.Tensor]:
    """Return the tensors of the network in ``NETWORK``, trained here, in a loop of our own."""
    namespace: dict[str, type[nn.Module]] = {}
    exec(compile(NETWORK.read_text(), str(NETWORK), "exec"), namespace)  # noqa: S102 - our own file, as a user's loop would
    torch.manual_seed(0)
    network = namespace["Small"](width=width)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    labels = torch.from_numpy(patterns(180)[1])
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(BIASED), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_trained_network_of_the_user_s_is_compressed_itself(tmp_path: Path, photos: Path, suffix: str) -> None:
    """File, argument, weights and folder are enough: nothing is trained in place of it, and the notes say so."""
    weights = tmp_path / f"weights.{suffix}"
    tensors = trained(width=16)
    save_file(tensors, weights) if suffix == "safetensors" else torch.save({"state_dict": tensors}, weights)
    run = ["--data", f"folder:{photos}", "--model", f"{NETWORK}:small", "--model-arg", "width=16"]
    done = edgekd(
        "compress", "--target", "jetson-nano", *run, "--weights", weights, *sets(*FAST, *NORMALIZED), cwd=tmp_path
    )
    assert done.code == 0, done.said
    assert "distill: left out" in done.said
    bundle = tmp_path / "edgekd-out" / "jetson-nano"
    manifest, report = (json.loads((bundle / f"{name}.json").read_text()) for name in ("manifest", "report"))
    assert manifest["labels"] == list(NAMES)
    assert [row["stage"] for row in manifest["lineage"]] == ["teach", "prune", "factorize", "export"]
    assert manifest["lineage"][0]["settings"]["arguments"] == {"width": 16}
    assert manifest["preprocessing"]["input"]["std"] == [STD]
    assert any("distill" in note for note in report["notes"])
    assert report["stages"][0]["measured"]["accuracy"] == 1.0
    assert report["stages"][-1]["measured"]["accuracy"] > 0.8
    assert edgekd("verify", bundle).code == 0


class Payload:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        """Leave it at *trace*."""
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        """Say what pickle must call."""
        return Path.touch, (self.trace,)


def test_a_pickled_network_is_refused_and_nothing_in_it_runs(tmp_path: Path, photos: Path) -> None:
    """A file that would have to be unpickled ends with exit code 2 and the way out; what is in it is not called."""
    trace = tmp_path / "executed"
    torch.save({"model": Payload(trace)}, tmp_path / "whole.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Payload(trace)))
    for name in ("whole.pt", "bare.pt"):
        run = ["--data", f"folder:{photos}", "--model", f"{NETWORK}:small", "--weights", str(tmp_path / name)]
        done = edgekd("compress", "--target", "jetson-nano", *run, cwd=tmp_path)
        assert done.code == 2, done.said
        assert "Traceback" not in done.said
        assert "state_dict" in done.said.splitlines()[-1]
    assert not trace.exists()
    assert not (tmp_path / "edgekd-out" / "jetson-nano").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", f"{NETWORK}:smal"], ["smal", "did you mean 'small'"]),
        (["--model", f"{NETWORK}:broken"], ["RuntimeError", "no width"]),
        (["--model", f"{NETWORK}:frozen"], ["no parameter that can be trained"]),
        (["--model", f"{NETWORK}:small", "--model-arg", "widht=8"], ["widht"]),
        (["--model", f"{NETWORK}:small", "--model-arg", "classes=4"], ["(4,)", "(3,)"]),
        (["--model", f"{NETWORK}:small", "--model-arg", "channels=3"], ["cannot take the task's input"]),
        (
            [
                *["--teacher", f"{NETWORK}:small", "--model", f"{NETWORK}:small"],
                *sets(
                    "distill.feature_weight=1",
                    'distill.student_features=["bodi"]',
                    'distill.teacher_features=["body"]',
                ),
            ],
            ["bodi", "did you mean 'body'"],
        ),
    ],
)
def test_a_network_that_does_not_fit_is_named_before_any_training(
    tmp_path: Path, photos: Path, arguments: list[str], words: list[str]
) -> None:
    """A factory, an argument, an answer or a tapped module that is not there: one sentence, exit code 2."""
    done = edgekd("compress", "--target", "jetson-nano", "--data", f"folder:{photos}", *arguments, cwd=tmp_path)
    assert done.code == 2, done.said
    assert "Traceback" not in done.said
    assert "[1/" not in done.said
    assert all(word in done.said.splitlines()[-1] for word in words), done.said
    assert not (tmp_path / "edgekd-out" / "jetson-nano").exists()
