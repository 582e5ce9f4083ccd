"""A teacher's logits in few bytes, each row with a checksum, so that a half-written one is known for what it is."""

import zlib
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WHOLE_UP_TO: Final = 64
"""Classes up to which every logit is kept."""

KEPT: Final = 32
"""Logits kept of more classes than that: the largest."""

_CHECKSUM_BYTES: Final = 4
_LOWEST: Final = -60_000.0
"""Just inside float16."""


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """How the logits of *classes* classes are packed: all of them in float16, or the *kept* largest with their classes.

    Logits are stored relative to their largest, which changes no softmax. Of those that are not kept the sum of
    exponentials is stored, and ``unpack`` spreads it evenly: exact for their mass at temperature 1, close to it at
    others.
    """

    classes: int
    kept: int

    @property
    def row_bytes(self) -> int:
        """Return the size of one packed row with its checksum."""
        return _CHECKSUM_BYTES + (2 * self.classes if self.is_whole else 2 * (self.kept + 1) + 4 * self.kept)

    @property
    def is_whole(self) -> bool:
        """Tell whether every logit is kept."""
        return self.kept == self.classes

    def pack(self, logits: Tensor) -> NDArray[np.uint8]:
        """Return packed rows (n, row_bytes) of *logits* (n, classes)."""
        relative = (logits.double() - logits.double().amax(1, keepdim=True)).clamp(min=_LOWEST)
        if self.is_whole:
            body = relative.numpy().astype("<f2").view(np.uint8)
        else:
            largest, places = relative.topk(self.kept, dim=1)
            others = relative.scatter(1, places, -torch.inf).logsumexp(1, keepdim=True).clamp(min=_LOWEST)
            values = torch.cat([largest, others], 1).numpy().astype("<f2").view(np.uint8)
            body = np.concatenate([values, places.numpy().astype("<u4").view(np.uint8)], axis=1)
        sums = np.array([zlib.crc32(row.tobytes()) for row in body], dtype="<u4")
        return np.concatenate([sums[:, None].view(np.uint8), body], axis=1)

    def are_sound(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return for each of *rows* (n, row_bytes) whether it is as it was packed; rows of zeros are not."""
        sums = np.ascontiguousarray(rows[:, :_CHECKSUM_BYTES]).view("<u4")[:, 0]
        found = np.array([zlib.crc32(row[_CHECKSUM_BYTES:].tobytes()) for row in rows], dtype=np.uint32)
        return np.asarray(found == sums, dtype=np.bool_)

    def unpack(self, rows: NDArray[np.uint8]) -> Tensor:
        """Return logits (n, classes), float32, whose largest is 0, of sound *rows* (n, row_bytes)."""
        body = np.ascontiguousarray(rows[:, _CHECKSUM_BYTES:])
        if self.is_whole:
            return torch.from_numpy(body.view("<f2").astype(np.float32))
        numbers = torch.from_numpy(body[:, : 2 * (self.kept + 1)].copy().view("<f2").astype(np.float32))
        places = torch.from_numpy(body[:, 2 * (self.kept + 1) :].copy().view("<u4").astype(np.int64))
        each = numbers[:, -1:] - float(np.log(self.classes - self.kept))
        return each.expand(-1, self.classes).scatter(1, places, numbers[:, :-1])


def packing_for(classes: int) -> Packing:
    """Return the packing for so many classes."""
    return Packing(classes=classes, kept=classes if classes <= WHOLE_UP_TO else KEPT)
