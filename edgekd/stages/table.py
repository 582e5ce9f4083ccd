"""The stages that the pipeline runs, by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgekd.stages import distill, export, factorize, prune, quantize, teach
from edgekd.stages.stage import Stage

STAGES: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        "teach": Stage(run=teach.run, ensures=teach.ensures),
        "distill": Stage(run=distill.run, ensures=distill.ensures),
        "prune": Stage(run=prune.run, ensures=prune.ensures),
        "factorize": Stage(run=factorize.run, ensures=factorize.ensures),
        "quantize": Stage(run=quantize.run, ensures=quantize.ensures),
        "export": Stage(run=export.run, ensures=export.ensures),
    }
)
