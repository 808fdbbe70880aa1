"""How much detail is left of what is carried: a picture that is walked towards is magnified, and what it held of each
place is spread over ever more pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

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
    across, down = grid[:, 0].unbind(-1)
    (across_down, across_right), (down_down, down_right) = (
        torch.gradient(part * cells, dim=(1, 2)) for part, cells in ((across, w / 2), (down, h / 2))
    )
    area = (across_right * down_down - down_right * across_down).abs()[:, None]
    area = F.avg_pool2d(area, 3, 1, 1, count_include_pad=False)
    outside = (grid[:, 0].abs().amax(-1) > 1)[:, None]
    moved = sampled(detail, grid, "bilinear")[:, 0]
    return torch.where(outside, 1.0, (moved * area).clamp(max=MOST))
