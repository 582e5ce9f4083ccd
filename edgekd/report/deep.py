"""What `edgekd verify --deep` adds: the INT8 file of a bundle computed in every way there is here."""

from pathlib import Path

import onnx

from edgekd.bench.cores import CORES
from edgekd.bench.emulator import emulator_if_set_up
from edgekd.core.errors import ConfigError
from edgekd.report.verify import golden_samples, read_manifest
from edgekd.stages.parity import Ladder, climb, demand_parity


def verify_deeply(bundle: Path, emulator: Path) -> Ladder:
    """Return the ladder of the bundle's INT8 file over its golden inputs, on all cores if *emulator* was set up.

    Raises ConfigError where there is no INT8 file, or one without fixed ranges, ParityError where an integer rung
    leaves the network.
    """
    manifest = read_manifest(bundle)
    if "int8" not in manifest.precisions:
        message = f"{bundle}: holds {', '.join(manifest.precisions)} and no INT8 file; --deep has nothing to look at."
        raise ConfigError(message)
    path = bundle / manifest.precisions["int8"]
    if any(node.op_type == "DynamicQuantizeLinear" for node in onnx.load(path).graph.node):
        message = (
            f"{path}: finds its ranges in every inference, so that there is no network with fixed ones to compare; "
            "verify it without --deep."
        )
        raise ConfigError(message)
    inputs, _ = golden_samples(bundle, manifest)
    ladder = climb(path, inputs, emulator=emulator_if_set_up(emulator), cores=tuple(CORES.values()))
    demand_parity(ladder, path)
    return ladder
