"""Where training runs, and with how many bits: float32 on a CPU, mixed precision on a GPU."""

from contextlib import AbstractContextManager
from typing import Final

import torch
from torch import Tensor

from edgekd.core.errors import ConfigError

DEVICES: Final = ("cpu", "cuda", "mps")


def find_device(name: str, *, rank: int = 0) -> torch.device:
    """Return the device *name*, of several GPUs the one of this *rank*; ConfigError where there is none."""
    if name not in DEVICES:
        message = f"--device {name}: unknown; expected one of {', '.join(DEVICES)}."
        raise ConfigError(message)
    is_there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[name]
    if not is_there:
        message = f"--device {name}: torch {torch.__version__} finds none here; use --device cpu."
        raise ConfigError(message)
    return torch.device(name, rank % torch.cuda.device_count()) if name == "cuda" else torch.device(name)


class Precision:
    """Automatic mixed precision on one device: bfloat16 where the GPU computes with it, else float16 with a loss scale.

    On a CPU all of it does nothing: every bit stays as float32 makes it.
    """

    def __init__(self, device: torch.device, *, dtype: torch.dtype | None = None) -> None:
        """Choose by *device*; *dtype* overrides the choice."""
        self._device = device
        self.dtype = dtype or _dtype_of(device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[None]:
        """Give the block in which the forward pass runs."""
        is_mixed = self.dtype != torch.float32
        return torch.autocast(self._device.type, dtype=self.dtype if is_mixed else None, enabled=is_mixed)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of *loss*, scaled where float16 needs it."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
        """Let *optimizer* step, the whole gradient cut to the length *clip_norm* first where that is above 0."""
        if clip_norm:
            self._scaler.unscale_(optimizer)
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        self._scaler.step(optimizer)
        self._scaler.update()

    def scale_state(self) -> tuple[float, ...]:
        """Return what must be saved: the loss scale and since how many steps it has held; nothing without one."""
        state = self._scaler.state_dict()
        return (float(state["scale"]), float(state["_growth_tracker"])) if state else ()

    def restore_scale(self, values: list[float]) -> None:
        """Take what ``scale_state`` gave."""
        if values and self._scaler.is_enabled():
            state = self._scaler.state_dict() | {"scale": values[0], "_growth_tracker": int(values[1])}
            self._scaler.load_state_dict(state)


def _dtype_of(device: torch.device) -> torch.dtype:
    """Return the narrowest type that *device* multiplies quickly."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32
