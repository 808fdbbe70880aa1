"""How much detail is left of what is carried: a picture that is walked towards is magnified, and what it held of each
place is spread over ever more pixels; at each step it gives way a little to what the world model expects, a mean."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from worldsim.model.motion import sampled, sources

# B batch, h w latent cells

MOST = 2.0
"""Pixels held for each pixel of a cell: a canvas keeps some of what a picture has lost that shrinks."""
EXPECTED = 0.2
"""Detail of what the world model expects."""


def carried_detail(detail: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """``detail (B, 1, h, w)`` of what is carried to a new frame, from that of the frame before and the ``flow (B, 2, h,
    w)`` of ``sources``.

    Detail is the number of pixels, once drawn or seen, that a pixel of a cell is made of; 1 where nothing is carried.
    """
    h, w = flow.shape[2:]
    grid = sources(flow, h, w)
    across, down = grid[:, 0].unbind(-1)
    (across_down, across_right), (down_down, down_right) = (
        torch.gradient(part * cells, dim=(1, 2)) for part, cells in ((across, w / 2), (down, h / 2))
    )
    area = (across_right * down_down - down_right * across_down).abs()[:, None]
    area = F.avg_pool2d(area, 3, 1, 1, count_include_pad=False)
    outside = (grid[:, 0].abs().amax(-1) > 1)[:, None]
    moved = sampled(detail, grid, "bilinear")[:, 0]
    return torch.where(outside, 1.0, (moved * area).clamp(max=MOST))


def blended_detail(carried: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """``detail (B, 1, h, w)`` of a new frame of which the ``share (B, 1, H, W)`` is ``carried``, with that detail ``(B,
    1, h, w)``, and the rest expected."""
    cell = share.shape[2] // carried.shape[2]
    return torch.lerp(torch.full_like(carried, EXPECTED), carried, F.avg_pool2d(share, cell))
