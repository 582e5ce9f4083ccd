"""Laws of the reference workloads: they never change, and every host runs them."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from edgekd.bench.reference import REFERENCES, write_references
from edgekd.core.digest import file_digest

FROZEN = {
    "dense": "526fb0fcba054548725fe02643337c0e555b79715277051f027997977da2de8f",
    "separable": "d1025c73f3e1b405ee48987eedce1a462ae8ba5889af0723bc165857a8737106",
    "integers": "a959ca98642f9dbb3faa3da0559ef699532f33cea706239900e6eb6931742d08",
    "weights": "9dcdd1a13738382d6d51d0201649e4ea1cd67a7c39026fc87251de95895c6955",
    "stream": "6417f4b08646029e031fa89bdd8cb84d60147aaed4de18d394ef17ed61c46a86",
    "moves": "2df145479b7696683d2b361f3041cdd7de330b0b47f6c61ce916c1c6efd176bf",
    "functions": "3ba812a65f50b5b271ca13c7ead12cf9f850a45e25f49dbdd3173ee4fa5cfcd6",
    "overhead": "cc01976794cc65ecdf82e5eff36b8fb54a894c1825ceb75acad590375e542ce8",
}


def test_their_files_never_change(tmp_path: Path) -> None:
    """Samples that people keep rest on these very bytes: whoever changes them gives them another name."""
    assert {name: file_digest(path) for name, path in write_references(tmp_path).items()} == FROZEN


@pytest.mark.parametrize("name", REFERENCES)
def test_each_runs_and_computes_numbers(tmp_path: Path, name: str) -> None:
    """Infinities and denormals take other times than numbers do."""
    session = ort.InferenceSession(write_references(tmp_path)[name], providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (output,) = session.run(None, {given.name: np.random.default_rng(0).standard_normal(given.shape, np.float32)})
    assert np.isfinite(output).all()
    assert np.abs(output[output != 0]).min(initial=1) > np.finfo(np.float32).tiny
