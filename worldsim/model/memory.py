"""Pixels carried from one step to the next: what the picture showed a moment ago, moved to where it is now.

A latent of 1,024 numbers cannot say again and again what every brick of a wall looks like, and a predicted one is an
average wherever the world model is unsure. What was drawn a step before is still there, though: the decoder is shown
the last frame and the action, says where each place of the new frame was in it, fetches the colours from there, and
draws only what was not seen (backward warping with a blend mask, as in video prediction, Finn et al. 2016; Liu et al.
2017, and in frame interpolation, Niklaus and Liu 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.model.contact import Room
from worldsim.model.convolutions import CELL, Conv, Residual, cells_of
from worldsim.model.motion import ACTION, Flow, places, sampled, sources

# B batch, C channels, H W size of a frame, h w latent cells, A numbers of an action

TRUSTED, DOUBTED = 0.8, 0.4
"""Freshness from which on a panorama is believed wholly, and up to which not at all: what was seen from 1.7 metres
away, and from 7."""


@dataclass(frozen=True)
class Shown:
    """What lanes showed last.

    ``canvas`` float ``(B, 3, 2 H, 2 W)`` holds the last frame in [-1, 1] at twice its size (see ``kept``), ``known
    (B,)`` is False where there was none; ``actions (B, 2 A)`` are the one that leads from it to the frame that is
    decoded and the one before, which tells what is still moving (see ``describe``). ``around (B, 4, H, W)`` is what a
    ``Panorama`` holds of the view that is decoded, None without one; ``reach (B,)`` is the tangent of half the
    horizontal view of each lane's lens, 0 where none is known (None: nowhere), and ``travel (B, 4)`` how far its camera
    went in the last step (see ``TRAVEL``). ``held (B, 1, h, w)`` is the least share that cells of it have in what is
    decoded, None without any. ``room`` tells of walls that stop one who walks, None where none does.
    """

    canvas: torch.Tensor
    known: torch.Tensor
    actions: torch.Tensor
    around: torch.Tensor | None = None
    reach: torch.Tensor | None = None
    travel: torch.Tensor | None = None
    held: torch.Tensor | None = None
    room: Room | None = None

    @property
    def frame(self) -> torch.Tensor:
        """The last frame, ``(B, 3, H, W)``."""
        return smaller(self.canvas)


@dataclass(frozen=True)
class Carried:
    """What the memory brings to a new frame: the ``canvas (B, 3, 2 H, 2 W)`` moved along ``flow (B, 2, h, w)``, its
    ``share (B, 1, H, W)`` of the new one, and the ``rest (B, 3, H, W)`` that is added: smooth, a colour per cell, so
    that light can change but what is carried cannot be blurred. Where a panorama stands in for what the canvas does not
    hold, the share is at least how far it is believed. ``travel (B, 4)`` is the camera's, None without a geometry;
    ``drawn (B, 3, H, W)`` is what the new frame is without the memory, ``frame (B, 3, H, W)`` the last frame moved: the
    canvas' picture, and ``held (B, 1, h, w)`` what was held of it, moved likewise; ``ahead (B,)`` are the metres that
    are left to the wall ahead, None where no ``room`` was told."""

    canvas: torch.Tensor
    flow: torch.Tensor
    share: torch.Tensor
    rest: torch.Tensor
    travel: torch.Tensor | None
    drawn: torch.Tensor
    frame: torch.Tensor
    held: torch.Tensor | None = None
    ahead: torch.Tensor | None = None


def smaller(canvas: torch.Tensor) -> torch.Tensor:
    """The picture ``(B, C, H, W)`` of a canvas of twice its size."""
    rows = canvas[..., ::2, :] + canvas[..., 1::2, :]  # a fifth of the time of pooling on a CPU
    return (rows[..., ::2] + rows[..., 1::2]).div_(4)


def larger(picture: torch.Tensor) -> torch.Tensor:
    """A smooth canvas of twice the size whose picture is exactly ``picture (B, C, H, W)``."""
    smooth = F.interpolate(picture, scale_factor=2, mode="bilinear", align_corners=False)
    return smooth.add_(_doubled(picture - smaller(smooth)))


def kept(shown: torch.Tensor, carried: Carried, known: torch.Tensor) -> torch.Tensor:
    """The canvas of what is ``shown (B, 3, H, W)``, which is its picture: to each pixel the detail is added that the
    carried canvas has within it, by the memory's share.

    A picture that is moved by parts of a pixel is interpolated, and one that is moved at every step loses its detail
    within ten; at twice the size the same detail is far from what interpolation dampens.
    """
    share = carried.share * known.float()[:, None, None, None]
    return torch.addcmul(_doubled(shown - share * carried.frame), _doubled(share), carried.canvas)


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class PixelMemory(nn.Module):
    """Looks at the frame before, fetches colours from it, and says how to blend them with what is drawn.

    ``width`` is that of the decoder's features at 1/4 of the size. What the last frame does not hold is fetched from
    what a panorama shows, where there is one. ``geometry`` and ``pictured`` are those of the ``Flow``.
    """

    def __init__(self, width: int, geometry: bool = False, pictured: bool = False) -> None:
        super().__init__()
        pixels = 3 * CELL**2
        self.frame_in = nn.Conv2d(pixels + 2, width, 3, padding=1)
        self.action_in = nn.Linear(2 * ACTION, width)
        self.flow = Flow(width, geometry, pictured)
        self.fetched_in = Conv(pixels, width, 3)
        self.blend = Residual(width)
        self.out = nn.Conv2d(width, CELL**2 + 3, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def look(self, shown: Shown) -> torch.Tensor:
        """Features ``(B, width, h, w)`` of what was shown, zeros where nothing was."""
        cells = cells_of(shown.frame)
        place = torch.stack(places(cells.shape[2], cells.shape[3], cells.device)).expand(len(cells), -1, -1, -1)
        dtype = self.frame_in.weight.dtype
        x = self.frame_in(torch.cat([cells, place], dim=1).to(dtype))
        x = x + self.action_in(shown.actions.to(dtype))[:, :, None, None]
        return x * shown.known.to(x.dtype)[:, None, None, None]

    def flow_of(self, x: torch.Tensor, shown: Shown) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """``Carried.flow``, ``travel`` and ``ahead`` of ``forward``, without what is carried."""
        flow, travel, ahead = self.flow(x, shown.actions, shown.reach, shown.travel, shown.room)
        return flow, travel, ahead

    def forward(self, x: torch.Tensor, shown: Shown, drawn: torch.Tensor) -> Carried:
        """What is brought to the frame of the decoder's features ``x (B, width, h, w)``, after what was ``shown``;
        ``drawn (B, 3, H, W)``, about [-1, 1], is that frame from the features alone."""
        flow, travel, ahead = self.flow_of(x, shown)
        grid = sources(flow, *shown.canvas.shape[2:])
        canvas = sampled(shown.canvas, grid, "bicubic")[:, 0]
        least = torch.zeros((), device=canvas.device)
        if shown.around is not None:
            across, down = grid[:, :1].unbind(-1)
            outside = (torch.maximum(across.abs(), down.abs()) > 1).float()
            colours, fresh = shown.around.split([3, 1], dim=1)
            believed = outside * _doubled((fresh > DOUBTED).float())  # 0 or 1: a mask takes many times as long on a CPU
            canvas = torch.lerp(canvas, _doubled(colours), believed)
            least = smaller(outside) * ((fresh - DOUBTED) / (TRUSTED - DOUBTED)).clamp(0, 1)
        frame = smaller(canvas)
        x = self.blend(x + self.fetched_in(cells_of(frame).to(x.dtype)))
        share, rest = self.out(F.silu(x)).float().split([CELL**2, 3], dim=1)
        rest = F.interpolate(rest, scale_factor=CELL, mode="bilinear", align_corners=False)
        share = torch.maximum(F.pixel_shuffle(share, CELL).sigmoid(), least)
        held = None
        if shown.held is not None:
            held = sampled(shown.held, sources(flow, *flow.shape[2:]), "bilinear")[:, 0]
            share = torch.maximum(share, F.interpolate(held, scale_factor=CELL, mode="bilinear", align_corners=False))
        return Carried(canvas, flow, share, rest, travel, drawn, frame, held, ahead)
