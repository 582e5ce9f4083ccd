"""Samples of a network over reference workloads, made up, so that their ratios are known."""

from collections.abc import Sequence

import numpy as np

from edgekd.bench.blocks import Block, Input
from edgekd.bench.conditions import Conditions
from edgekd.bench.gate_samples import FORMAT, NETWORK, Samples
from edgekd.bench.host import Host

REFERENCES = ("dense", "stream", "weights", "overhead")
HOST = Host(
    cpu="a processor",
    logical_cores=4,
    has_vnni=False,
    machine="x86_64",
    system="Linux 6.1",
    python="3.11.7",
    onnxruntime="1.32.0",
)


def made_blocks(
    ratio: float,
    *,
    blocks: int = 20,
    drifts: Sequence[float] = (1, 1, 1, 1),
    noise: float = 0.01,
    seed: int = 1,
    inferences: int = 1,
) -> tuple[Block, ...]:
    """Return blocks of a network of *ratio* ms beside references of 1 ms times *drifts*, on a host that swings.

    A sample of the network is the mean of so many *inferences*.
    """
    random = np.random.default_rng(seed)
    means = dict(zip((NETWORK, *REFERENCES), (ratio, *drifts), strict=True))
    found = []
    for _ in range(blocks):
        host = np.exp(random.normal(0, 0.2, 20))
        samples = {name: (mean * host * np.exp(random.normal(0, noise, 20))).tolist() for name, mean in means.items()}
        found.append(Block(inferences=dict.fromkeys(samples, 1) | {NETWORK: inferences}, samples_ms=samples))
    return tuple(found)


def made_samples(blocks: Sequence[Block], *, threads: int = 1, host: Host = HOST) -> Samples:
    """Return *blocks* as the samples of a network with one input."""
    return Samples(
        format=FORMAT,
        date="2026-01-01T00:00:00+00:00",
        network="net.onnx",
        network_sha256="0" * 64,
        inputs={"input": Input(type="float32", shape=(1, 3, 8, 8))},
        references={name: name.ljust(64, "0") for name in REFERENCES},
        threads=threads,
        host=host,
        conditions=Conditions(instruction_set="abc", governors=("performance",), power_mode=""),
        blocks=tuple(blocks),
    )
