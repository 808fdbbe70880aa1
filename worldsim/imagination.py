"""What nobody has seen is imagined before it is shown: pictures are completed on the panoramas of the lanes.

Where a turn brings into view what no frame has shown, the world model expects a mean of all that might be there, a
haze. A starter that has learned to complete pictures (``Starter.complete``) draws one world out of the many: it is
shown what the panorama holds of a view, told the scene, and what it draws is laid on the panorama where that held
nothing. From then on it has been seen, and stays what it is. It is drawn for a view that is turned on ahead of the
camera, so that things are drawn whole, and that the next turns find it there.

One who walks towards something sees it magnified, and sees nothing new: after a few steps a wall is a smear; and what
the world model expects, a mean, wears pictures away. So where little detail is left the picture is drawn again, from
noise and what is left of it. Its coarse colours stay (as in ILVR, Choi et al. 2021, but once, of what has been drawn),
so that a floor is of the colour that it had; unless it has hardly any, and is a haze.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from worldsim.model.codec import Codec
from worldsim.model.memory import smaller
from worldsim.model.panorama import Panorama
from worldsim.model.starter import Starter, known, seen_of
from worldsim.screen import Screen
from worldsim.worlds import WorldSpec

# B lanes, M of them whose view is completed, C h w latent, H W frame

Bounded = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Latents ``(M, C, h, w)`` to those in the range of training, and which of them are finite, ``(M,)``."""

Redrawn = tuple[torch.Tensor, torch.Tensor]
"""Numbers ``(M,)`` of lanes, and the pictures ``(M, 3, H, W)`` in [-1, 1] that they show now."""

AHEAD = 28.0
"""Degrees by which the view that is completed is turned on, in the direction of the turn; half a narrower view."""
LEAST = 1 / 64
"""Share of the cells of a view that nobody has seen, from which on it is completed."""
STRAY = 1 / 16
"""The same after a completion that was turned on too far for it: the present view is completed too."""
WORN, MUCH = 0.25, 0.25
"""Detail of a cell below which it is worn, and share of worn cells from which on a picture is drawn again."""
FAINT = 0.5
"""Detail of a cell up to which what is drawn again replaces what was there."""
COARSE = 8
"""Pixels of a side of what coarse colours are the means of."""
PLAIN, COLOURED = 10 / 127.5, 25 / 127.5
"""Standard deviations of the coarse colours of a picture, in [-1, 1], up to which none of them stay when it is drawn
again, and from which on all do."""


@dataclass(frozen=True)
class Drawing:
    """What drawing is told of lanes: which of them ``may (B,)`` be drawn for, the ``scene`` of each, the indices of
    their ``worlds (B,)``, their ``seeds (B,)`` and ``steps (B,)``. What is drawn is a function of these and of what was
    seen."""

    may: torch.Tensor
    scene: Callable[[int], str]
    worlds: torch.Tensor
    seeds: torch.Tensor
    steps: torch.Tensor

    def told(self, rows: torch.Tensor) -> tuple[list[str], torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of lanes ``rows``, as ``Starter.complete`` takes it."""
        return [self.scene(row) for row in rows.tolist()], self.worlds[rows], self.seeds[rows], self.steps[rows]

    def twice(self, rows: torch.Tensor) -> tuple[torch.Tensor, Drawing]:
        """Lanes ``rows`` and, after them, the same ones once more, for another drawing in the same step."""
        lanes = len(self.steps)
        may, worlds, seeds = (torch.cat([of, of]) for of in (self.may, self.worlds, self.seeds))
        steps = torch.cat([self.steps, ~self.steps])  # negative numbers are no other step's
        again = Drawing(may, lambda lane: self.scene(lane % lanes), worlds, seeds, steps)
        return torch.cat([rows, rows + lanes]), again


class Imagination:
    """Completes what lanes see with ``starter``, for the codec whose latents it draws; both lie where the lanes do.
    ``bounded`` brings latents into the range of training and says which are finite: nothing is laid down of others."""

    def __init__(self, starter: Starter, codec: Codec, dtype: torch.dtype, bounded: Bounded) -> None:
        self.starter, self.codec, self.dtype, self.bounded = starter, codec, dtype, bounded

    def knows(self, world: WorldSpec) -> bool:
        """Whether what turns uncover in ``world`` is imagined."""
        return world.lens is not None and world.name in self.starter.config.completes

    def complete(self, panorama: Panorama, around: torch.Tensor, yaw: torch.Tensor, drawing: Drawing) -> torch.Tensor:
        """What is known of the present views, ``(B, 4, H, W)`` as of ``Panorama.view``, when what ``around`` lacks has
        been imagined in the lanes that may be. ``yaw (B,)`` are the degrees of the turns that led here, left positive.
        """
        half = torch.rad2deg(torch.atan(panorama.reach))
        ahead = torch.minimum(torch.full_like(half, AHEAD), half) * yaw.sign()
        for share, turned_on in ((LEAST, ahead), (STRAY, torch.zeros_like(ahead))):
            rows = torch.nonzero((self._missing(around) >= share) & drawing.may)[:, 0]
            if not len(rows):
                break
            part = panorama.some(rows)
            heading = part.heading
            part.heading = (heading + turned_on[rows]) % 360
            view = part.view()
            picture, finite = self.completed(view, rows, drawing)
            part.show(picture, where=(1 - known(view)) * finite)
            part.heading = heading
            panorama.put(rows, part)
            around = panorama.view()
        return around

    def redraw(self, screen: Screen, drawing: Drawing) -> Redrawn | None:
        """Draws detail where lanes that may be walk, or push, and are left with little of it: the numbers of those
        lanes and the pictures ``(M, 3, H, W)`` that they show now, None without any."""
        worn = (screen.detail < WORN).float().mean((1, 2, 3)) >= MUCH
        rows = torch.nonzero(worn & screen.walks & drawing.may)[:, 0]
        if not len(rows):
            return None
        worn_out = smaller(screen.canvas[rows])
        frames = worn_out.permute(0, 2, 3, 1)[:, None]
        drawn = self.starter.redraw(self.codec.encode_normalised(frames), *drawing.told(rows), self.dtype)
        picture, finite = self._picture(drawn)
        picture = in_colours_of(worn_out, picture)
        return rows, screen.replace(rows, picture, (screen.detail[rows] < FAINT) & (finite > 0))

    def completed(self, view: torch.Tensor, rows: torch.Tensor, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole pictures ``(M, 3, H, W)`` in [-1, 1] of ``view (M, 4, H, W)`` of lanes ``rows``, whose last channel
        says what of it is known, and ``(M, 1, 1, 1)``: 1 where they are finite."""
        return self._picture(self.starter.complete(seen_of(view, self.codec), *drawing.told(rows), self.dtype))

    def _missing(self, view: torch.Tensor) -> torch.Tensor:
        """Share of cells of views that nobody has seen, ``(B,)``."""
        return (F.avg_pool2d(known(view), self.codec.config.stride) < 0.5).float().mean((1, 2, 3))

    def _picture(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(M, 3, H, W)`` in [-1, 1], and ``(M, 1, 1, 1)``: 1 where it is finite."""
        latents, finite = self.bounded(latents)
        picture = self.codec.decode_normalised(latents, 1)[:, 0].permute(0, 3, 1, 2)
        return picture, finite[:, None, None, None].float()


def in_colours_of(before: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Pictures ``drawn (M, 3, H, W)`` in [-1, 1] with the coarse colours of those ``before``, or less of them where
    these are plain."""
    colours = _coarse(before)
    deviation = colours.var((2, 3), correction=0).mean(1).sqrt()
    kept = ((deviation - PLAIN) / (COLOURED - PLAIN)).clamp(0, 1)[:, None, None, None]
    return (drawn + kept * (colours - _coarse(drawn))).clamp(-1, 1)


def _coarse(pictures: torch.Tensor) -> torch.Tensor:
    means = F.avg_pool2d(pictures, COARSE)
    return F.interpolate(means, size=pictures.shape[2:], mode="bilinear", align_corners=False)
