"""What ``--data`` and the recipe's ``[data]`` table say: where the samples are, and how they become a task.

This file knows msgspec only, so that a wrong table is refused in milliseconds; ``load.py`` does the work.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from edgekd.core.strict import nearest

Text = Annotated[str, Meta(min_length=1)]
Side = Annotated[int, Meta(ge=1, le=16384)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
Seed = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Classes = Annotated[int, Meta(ge=0, le=1_000_000)]
ChannelOrder = Literal["auto", "gray", "rgb"]

LEAST_CLASSES: Final = 2


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of source: what stands after its colon, if anything, and which settings mean something to it."""

    rest: str = ""
    takes: frozenset[str] = frozenset()


_NORMALIZING: Final = frozenset({"mean", "std", "scale", "input_name", "output_name"})
_SPLITTING: Final = frozenset({"validation", "split_seed"})
_NAMING: Final = frozenset({"labels", "classes", "test"})
_DECODING: Final = frozenset({"size", "channel_order", "skip_unreadable"})
_ROWS: Final = _NORMALIZING | _SPLITTING | _NAMING

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "digits": Kind(),
        "folder": Kind(rest="DIR", takes=_ROWS | _DECODING),
        "npz": Kind(rest="FILE", takes=_ROWS),
        "cifar10": Kind(rest="DIR", takes=_NORMALIZING | _SPLITTING),
        "hf": Kind(rest="NAME_OR_DIR", takes=_ROWS | _DECODING | {"subset", "image_column", "label_column"}),
        "module": Kind(rest="package.module:object"),
    }
)
"""Every kind of source; ``load.LOADERS`` has the same names."""


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the samples come from and how they become a task: the recipe's ``[data]`` table.

    *source* is ``digits``, ``folder:DIR``, ``npz:FILE``, ``cifar10:DIR``, ``hf:NAME_OR_DIR``,
    ``module:package.module:object`` or ``module:path/to/file.py:object``.

    *size* is (height, width) of the stored images; without it all images must have one size. *channel_order* ``auto``
    stores gray where every image is gray. *validation* and *test* are the parts of each class that are split off,
    drawn from *split_seed*, where the source has no such split. *skip_unreadable* leaves out images that cannot be
    decoded, and says how many.

    *mean* and *std* hold one number per channel, in units of the scaled number; without them they are computed over
    the training rows. *scale* is 1/255 for uint8, 1/32768 for int16 and 1 for float32 where it is not given.

    *labels* names the classes in the order of the network's answer, *classes* counts them (0: as the data says);
    data without labels needs one of the two.

    For ``hf``: *subset* is the configuration's name, *image_column* and *label_column* are found by their types.
    """

    source: Text = "digits"
    size: tuple[Side, Side] | None = None
    channel_order: ChannelOrder = "auto"
    validation: Share = 0.1
    test: Share = 0.1
    split_seed: Seed = 0
    skip_unreadable: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[Positive, ...] | None = None
    scale: Positive | None = None
    labels: tuple[Text, ...] = ()
    classes: Classes = 0
    input_name: Text = "input"
    output_name: Text = "logits"
    subset: str = ""
    image_column: str = ""
    label_column: str = ""

    def __post_init__(self) -> None:
        """Refuse a source of no kind, settings that mean nothing to it, and numbers that contradict each other."""
        problem = _wrong_source(self.source) or _meaningless(self) or _contradiction(self)
        if problem:
            raise ValueError(problem)

    @property
    def kind(self) -> str:
        """Return what stands before the first colon of *source*."""
        return self.source.partition(":")[0]

    @property
    def rest(self) -> str:
        """Return what stands after the first colon of *source*: a path or a name."""
        return self.source.partition(":")[2]


def forms() -> str:
    """Return the forms that *source* can take, for messages and help."""
    return ", ".join(f"{name}:{kind.rest}" if kind.rest else name for name, kind in KINDS.items())


def _wrong_source(source: str) -> str:
    """Return what is wrong with *source*, or nothing."""
    name, colon, rest = source.partition(":")
    if name not in KINDS:
        near = nearest(name, KINDS)
        if near is None and ("/" in name or name.startswith(".")):
            return f"source: {source!r} names no kind; did you mean 'folder:{source}'?"
        end = f"did you mean {_form(near)}?" if near else f"expected one of {forms()}"
        return f"source: {name!r} is no kind of data; {end}"
    if bool(rest) != bool(KINDS[name].rest) or (colon and not rest):
        return f"source: {source!r} given; expected {_form(name)}"
    if name == "module" and not all(rest.rpartition(":")):
        return f"source: {source!r} given; expected 'module:package.module:object' or 'module:path/to/file.py:object'"
    return ""


def _form(name: str) -> str:
    """Return how a source of the kind *name* is written."""
    rest = KINDS[name].rest
    return repr(f"{name}:{rest}" if rest else name)


def _meaningless(data: Data) -> str:
    """Return which setting was changed that its kind of source does not look at, or nothing."""
    for field in msgspec.structs.fields(Data):
        unused = field.name != "source" and field.name not in KINDS[data.kind].takes
        if unused and getattr(data, field.name) != field.default:
            return f"{field.name}: means nothing for the source '{data.kind}'; leave it out"
    return ""


def _contradiction(data: Data) -> str:
    """Return which settings do not go together, or nothing."""
    if data.validation + data.test >= 1:
        return (
            f"validation = {data.validation} and test = {data.test} leave nothing for train; their sum must be below 1"
        )
    if data.mean is not None and data.std is not None and len(data.mean) != len(data.std):
        return f"mean has {len(data.mean)} channels, std has {len(data.std)}; give one number per channel in both"
    if data.mean == () or data.std == ():
        return "mean and std: empty; give one number per channel, or leave them out to have them computed"
    if len(set(data.labels)) != len(data.labels) or 0 < len(data.labels) < LEAST_CLASSES:
        return f"labels: {list(data.labels)}; expected at least {LEAST_CLASSES} different names"
    if data.classes == 1 or (data.labels and data.classes not in {0, len(data.labels)}):
        return f"classes = {data.classes} with {len(data.labels)} labels; expected 0 (as the data says), or 2 and more"
    return ""
