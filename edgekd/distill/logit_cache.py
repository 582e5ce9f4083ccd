"""What a teacher said of every sample in every epoch: computed once, kept on disk, shared by stages and runs."""

import os
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd import __version__
from edgekd.core.digest import json_digest
from edgekd.core.disk import disk_errors
from edgekd.distill.packing import Packing, packing_for
from edgekd.distill.teacher import Teacher
from edgekd.train.batches import Batch, Batches
from edgekd.train.distributed import gathered

FORMAT: Final = 1


class LogitCache:
    """A teacher whose logits are looked up, and asked for only where nobody has asked before.

    One file for each epoch holds a row for each sample at its own place. Rows carry checksums: a run that is killed
    while it writes loses the row, and a damaged one is made again. The logits are always those that were packed,
    so that a first run and one that finds everything there get the same numbers.
    """

    def __init__(self, root: Path, teacher: Teacher, batches: Batches) -> None:
        """Keep rows in ``root/<key>``, where the key is over all that the logits depend on; see ``cache_key``."""
        self.folder: Final = root / cache_key(teacher, batches)
        self.computed = 0
        self.reused = 0
        self._teacher = teacher
        self._world = batches.world
        self._packing: Final[Packing] = packing_for(len(batches.task.labels))

    def logits(self, batch: Batch) -> Tensor:
        """Return the teacher's logits (n, classes) for *batch*, largest 0, on its device.

        Where a row is missing, the teacher sees the whole batch: it answers with the same bits as in a run that was
        not cut.
        """
        rows = self._read(batch)
        missing = ~self._packing.are_sound(rows)
        if missing.any():
            rows[missing] = self._packing.pack(self._teacher.answer(batch.inputs).logits.float().cpu())[missing]
        self._write(batch, rows, missing)
        self.computed += int(missing.sum())
        self.reused += int((~missing).sum())
        return self._packing.unpack(rows).to(batch.labels.device)

    def _path(self, epoch: int) -> Path:
        """Return the file of one epoch."""
        return self.folder / f"epoch-{epoch:05d}.rows"

    def _read(self, batch: Batch) -> NDArray[np.uint8]:
        """Return the rows that are there, zeros where there are none."""
        size = self._packing.row_bytes
        rows = np.zeros((len(batch.samples), size), dtype=np.uint8)
        path = self._path(batch.epoch)
        with disk_errors(path):
            if not path.is_file():
                return rows
            descriptor = os.open(path, os.O_RDONLY)
            try:
                for row, sample in zip(rows, batch.samples.tolist(), strict=True):
                    found = os.pread(descriptor, size, sample * size)
                    if len(found) == size:
                        row[:] = np.frombuffer(found, dtype=np.uint8)
            finally:
                os.close(descriptor)
        return rows

    def _write(self, batch: Batch, rows: NDArray[np.uint8], missing: NDArray[np.bool_]) -> None:
        """Keep the *missing* rows of all processes; the first one writes."""
        device = batch.labels.device  # nccl takes no tensors of the CPU
        samples = gathered(torch.from_numpy(batch.samples[missing]).to(device), self._world).tolist()
        new = gathered(torch.from_numpy(rows[missing]).to(device), self._world).cpu().numpy()
        if not samples or not self._world.is_writer:
            return
        path, size = self._path(batch.epoch), self._packing.row_bytes
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                for sample, row in zip(samples, new, strict=True):
                    os.pwrite(descriptor, row.tobytes(), sample * size)
            finally:
                os.close(descriptor)


def cache_key(teacher: Teacher, batches: Batches) -> str:
    """Return the digest of all that a teacher's logits depend on: teacher, data, augmentation and its seed.

    Batch size, order, optimizer, student and target are not among them.
    """
    return json_digest(
        {
            "edgekd": __version__,
            "format": FORMAT,
            "teacher": teacher.digest,
            "task": batches.task.digest,
            "augmentation": msgspec.to_builtins(batches.training.augmentation),
            "seed": batches.seed,
            "packing": msgspec.to_builtins(packing_for(len(batches.task.labels))),
        }
    )
