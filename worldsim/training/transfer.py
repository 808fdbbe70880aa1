"""From the host to the device that trains."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def send(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``x`` on ``device``. Towards a GPU through pinned memory: a plain copy would wait until its queue is empty."""
    if device.type != "cuda" or x.is_cuda:
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def beside(device: torch.device) -> AbstractContextManager[Any]:
    """Work of another thread on ``device`` that waits for its own results only: a stream of its own on a GPU."""
    return torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()
