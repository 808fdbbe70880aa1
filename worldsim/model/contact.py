"""What a body can do: walls stop one who walks, and nobody gains speed but where the keys push.

The network that moves the picture knows how near each cell is, but not that nobody walks through a wall: a mean over
what might happen goes on for ever, and magnifies the wall to a smear. So a plane is fitted to what is seen ahead. The
nearness of a vertical plane is linear in the place in the picture, which gives its normal and its distance in metres.
A step that would end nearer to it than a body is wide loses what leads into it and keeps what leads along, as one
slides along a wall in a game. What is near fills the picture, and tells badly how near it is, so one who walks straight
on also reckons: a wall comes nearer by what was walked.

A travel is predicted from the last one, and a prediction that gains a little at each step runs away where no picture
holds it back. So it is kept within what friction leaves of the last and what the keys that are held add.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worldsim.actions import KEY_BIT

# B lanes, h w latent cells

AHEAD = 8
"""Columns of cells, of 16, in the middle of the picture, and half as many rows, to which the plane is fitted."""
RECKONED = 0.7
"""Weight of what was reckoned against what is seen, for one who walks straight at a wall."""
FACING = 0.5
"""Cosine of the angle between what is walked and the wall's normal from which on it is walked at."""
SEEN_TOO_FAR = 0.12
"""Metres by which what fills the picture is seen too far away by the packaged weights, on recorded steps against walls:
0.63 from a camera in a body of 0.5 (the median of 14)."""

LEFT, PUSHED = 0.9, 0.5
"""Share of a travel that is left after a step at most, and metres that a held key adds in one at most: in Doom friction
leaves 0.67, and a run gains 0.34."""


@dataclass(frozen=True)
class Room:
    """``ahead (B,)``: metres from the camera to the wall ahead when the last frame was seen, NaN where nobody knows.
    ``body (B,)``: metres from a wall at which one is stopped; 0 where nothing stops."""

    ahead: torch.Tensor
    body: torch.Tensor


def wall_ahead(near: torch.Tensor, right: torch.Tensor, reach: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The vertical plane ahead, of ``near (B, h, w)``, one over the distance of each cell in metres along the view, at
    places ``right (h, w)`` from the centre in halves of the width, seen by lenses of ``reach (B,)``: its normal ``(B,
    2)``, to the right and ahead, and its distance ``(B,)`` in metres.

    A plane with the unit normal (n, m) at the distance d is as near as (n x + m) / d at the tangent x.
    """
    h, w = near.shape[1:]
    columns = max(2, w * AHEAD // 16)
    rows = slice(h // 2 - max(1, h * AHEAD // 64), h // 2 + max(1, h * AHEAD // 64))
    middle = slice((w - columns) // 2, (w + columns) // 2)
    x = right[None, rows, middle] * reach[:, None, None]
    seen = near[:, rows, middle]
    slope = (x * seen).sum((1, 2)) / x.square().sum((1, 2)).clamp(min=1e-6)
    both = torch.stack([slope, seen.mean((1, 2))], dim=1)
    length = both.norm(dim=1).clamp(min=1e-3)
    return both / length[:, None], 1 / length


def stopped(
    travel: torch.Tensor, normal: torch.Tensor, distance: torch.Tensor, straight: torch.Tensor, room: Room
) -> tuple[torch.Tensor, torch.Tensor]:
    """``travel (B, 3)``, in metres to the right, down and ahead as the camera looks after it, without what leads into
    the wall that ``wall_ahead`` sees then; and the metres ``(B,)`` that are left to it. ``straight (B,)``: the camera
    did not turn."""
    right, down, ahead = travel.unbind(1)
    into = right * normal[:, 0] + ahead * normal[:, 1]
    reckoned = room.ahead - into
    counts = straight & reckoned.isfinite() & (into >= FACING * torch.hypot(right, ahead))
    left = torch.where(counts, torch.lerp(distance, reckoned, RECKONED), distance)
    back = torch.minimum((room.body + SEEN_TOO_FAR - left).clamp(min=0), into.clamp(min=0)) * (room.body > 0)
    return torch.stack([right - back * normal[:, 0], down, ahead - back * normal[:, 1]], dim=1), left + back


def within_reach(travel: torch.Tensor, before: torch.Tensor, keys: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
    """``travel (B, 3)``, in metres to the right, down and ahead as the camera looks after it, kept within what one can
    do who went by ``before (B, 4)``, as the camera looks now and 1 where that is known, and holds ``keys (B, 32)``.
    Where ``body (B,)`` is 0 it is left as it is."""
    right, down, ahead = travel.unbind(1)
    able = (before[:, 3] > 0) & (body > 0)
    right = torch.where(able, _within(right, before[:, 0], keys, "strafe_left", "strafe_right"), right)
    ahead = torch.where(able, _within(ahead, before[:, 2], keys, "backward", "forward"), ahead)
    return torch.stack([right, down, ahead], dim=1)


def _within(x: torch.Tensor, before: torch.Tensor, keys: torch.Tensor, less: str, more: str) -> torch.Tensor:
    lowest = LEFT * before.clamp(max=0) - PUSHED * keys[:, KEY_BIT[less]]
    return torch.maximum(lowest, torch.minimum(x, LEFT * before.clamp(min=0) + PUSHED * keys[:, KEY_BIT[more]]))
