"""How much detail is left of what is carried: a picture that is walked towards is magnified, and what it held of each
place is spread over ever more pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from worldsim.constants import constant
from worldsim.model.motion import sampled, sources

# B batch, h w latent cells

MOST = 2.0
"""Pixels held for each pixel of a cell: a canvas keeps some of what a picture has lost that shrinks."""


def carried_detail(detail: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """``detail (B, 1, h, w)`` of a new frame, from that of the one before and the ``flow (B, 2, h, w)`` of ``sources``.

    Detail is the number of pixels, once drawn or seen, that a pixel of a cell is made of; 1 where nothing is carried.
    """
    h, w = flow.shape[2:]
    grid = sources(flow, h, w)
    across, down = (F.pad(grid[:, 0].movedim(-1, 1), (1, 1, 1, 1), mode="replicate") * 0.5).unbind(1)
    span = [w / 2, h / 2]
    to_right = [(part[:, 1:-1, 2:] - part[:, 1:-1, :-2]) * n for part, n in zip((across, down), span)]
    to_below = [(part[:, 2:, 1:-1] - part[:, :-2, 1:-1]) * n for part, n in zip((across, down), span)]
    inner = _rims(h, w, flow.device)
    area = (to_right[0] * to_below[1] - to_right[1] * to_below[0]).abs()[:, None] * inner
    area = F.avg_pool2d(area, 3, 1, 1, count_include_pad=False)
    outside = (grid[:, 0].abs().amax(-1) > 1)[:, None]
    moved = sampled(detail, grid, "bilinear")[:, 0]
    return torch.where(outside, 1.0, (moved * area).clamp(max=MOST))


@constant
def _rims(h: int, w: int, device: torch.device) -> torch.Tensor:
    """What one-sided differences at the rims are multiplied by: ``(h, w)``."""
    rows, columns = torch.ones(h, device=device), torch.ones(w, device=device)
    rows[[0, -1]] = columns[[0, -1]] = 2.0
    return rows[:, None] * columns
