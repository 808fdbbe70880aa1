"""What nobody has seen is imagined before it is shown: pictures are completed on the panoramas of the lanes.

Where a turn brings into view what no frame has shown, the world model expects a mean of all that might be there, a
haze. A starter that has learned to complete pictures (``Starter.complete``) draws one world out of the many: it is
shown what the panorama holds of a view, told the scene, and what it draws is laid on the panorama where that held
nothing. From then on it has been seen, and stays what it is. It is drawn for a view that is turned on ahead of the
camera, so that things are drawn whole, and that the next turns find it there.

One who walks towards something sees it magnified, and sees nothing new: after a few steps a wall is a smear. So where
little detail is left the picture is drawn again, from noise and what is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from worldsim.model.codec import Codec
from worldsim.model.memory import DOUBTED, smaller
from worldsim.model.panorama import Panorama
from worldsim.model.starter import Starter
from worldsim.screen import Screen
from worldsim.worlds import WorldSpec

# B lanes, M of them whose view is completed, C h w latent, H W frame

AHEAD = 28.0
"""Degrees by which the view that is completed is turned on, in the direction of the turn."""
LEAST = 4
"""Cells of a view that nobody has seen, from which on it is completed."""


WORN, MUCH = 0.25, 0.25
"""Detail of a cell below which it is worn, and share of worn cells from which on a picture is drawn again."""
FAINT = 0.5
"""Detail of a cell up to which what is drawn again replaces what was there."""


@dataclass(frozen=True)
class Lanes:
    """What drawing is told of lanes: which of them ``may (B,)`` be drawn for, their ``scenes``, the indices of their
    ``worlds (B,)``, their ``seeds (B,)`` and ``steps (B,)``, of which it is a function."""

    may: torch.Tensor
    scenes: Sequence[str]
    worlds: torch.Tensor
    seeds: torch.Tensor
    steps: torch.Tensor

    def told(self, rows: torch.Tensor) -> tuple[list[str], torch.Tensor, torch.Tensor, torch.Tensor]:
        return [self.scenes[row] for row in rows.tolist()], self.worlds[rows], self.seeds[rows], self.steps[rows]


class Imagination:
    """Completes what lanes see with ``starter``, for the codec whose latents it draws; both lie where the lanes do."""

    def __init__(self, starter: Starter, codec: Codec, dtype: torch.dtype) -> None:
        self.starter, self.codec, self.dtype = starter, codec, dtype

    def knows(self, world: WorldSpec) -> bool:
        """Whether what turns uncover in ``world`` is imagined."""
        return world.lens is not None and world.name in self.starter.config.completes

    def complete(self, panorama: Panorama, around: torch.Tensor, yaw: torch.Tensor, lanes: Lanes) -> torch.Tensor:
        """What is known of the present views, ``(B, 4, H, W)`` as of ``Panorama.view``, when what ``around`` lacks has
        been imagined in the lanes that may be. ``yaw (B,)`` are the degrees of the turns that led here, left positive.
        """
        missing = (_cells(known(around), self.codec.config.stride) < 0.5).sum((1, 2, 3)) >= LEAST
        rows = torch.nonzero(missing & lanes.may)[:, 0]
        if not len(rows):
            return around
        part = panorama.some(rows)
        heading = part.heading
        part.heading = (heading + AHEAD * yaw[rows].sign()) % 360
        view = part.view()
        drawn = self.starter.complete(seen_of(view, self.codec), *lanes.told(rows), self.dtype)
        part.show(self._picture(drawn), where=1 - known(view))
        part.heading = heading
        panorama.put(rows, part)
        return panorama.view()

    def redraw(self, screen: Screen, lanes: Lanes) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Draws detail where lanes that may be are left with little of it: the numbers of those lanes and the pictures
        ``(M, 3, H, W)`` that they show now, None without any."""
        worn = (screen.detail < WORN).float().mean((1, 2, 3)) >= MUCH
        rows = torch.nonzero(worn & lanes.may)[:, 0]
        if not len(rows):
            return None
        frames = smaller(screen.canvas[rows]).permute(0, 2, 3, 1)[:, None]
        drawn = self.starter.redraw(self.codec.encode_normalised(frames), *lanes.told(rows), self.dtype)
        return rows, screen.replace(rows, self._picture(drawn), screen.detail[rows] < FAINT)

    def _picture(self, latents: torch.Tensor) -> torch.Tensor:
        """``(M, 3, H, W)`` in [-1, 1]."""
        return self.codec.decode_normalised(latents.nan_to_num(), 1)[:, 0].permute(0, 3, 1, 2)


def known(view: torch.Tensor) -> torch.Tensor:
    """Which pixels of a ``Panorama.view (B, 4, H, W)`` count as seen: ``(B, 1, H, W)``, 1 or 0."""
    return (view[:, 3:] > DOUBTED).float()


def seen_of(view: torch.Tensor, codec: Codec) -> torch.Tensor:
    """What ``Starter.complete`` is shown of views ``(B, 4, H, W)``: the latents ``(B, C, h, w)`` of their known pixels
    beside grey, and the known share of each cell."""
    there = known(view)
    latent = codec.encode_normalised((view[:, :3] * there).permute(0, 2, 3, 1)[:, None])
    share = _cells(there, codec.config.stride)
    return torch.cat([latent.float() * (share > 0), share], dim=1)


def _cells(x: torch.Tensor, size: int) -> torch.Tensor:
    return F.avg_pool2d(x, size)
