"""Where each place of a new frame was in the frame before: the motion of the picture, from actions and features.

Where a world is seen through a camera whose lens is known, a turn moves the picture in one exact way, whatever is in
it, and a step to another place moves each point by how near it is (Longuet-Higgins and Prazdny 1980). So the network
says what only it can tell, the nearness of each cell and how far the camera travelled, and geometry does the rest, as
in unsupervised depth from video (Zhou et al. 2017). Bodies have inertia: how far a step goes depends on how fast the
last one ended, so the last travel is told. Elsewhere the actions tell a polynomial of the place, and the picture tells
which world it is: one action moves the whole picture of one world and a hand alone in another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from worldsim.actions import NUM_KEYS
from worldsim.constants import constant
from worldsim.model import features
from worldsim.model.contact import Room, stopped, wall_ahead, within_reach

# B batch, C channels, H W size of a frame, h w latent cells, A numbers of an action

ACTION = NUM_KEYS + 18
"""Numbers that describe an action."""
TRAVEL = 4
"""Numbers of a travel: metres to the right, down and ahead as the camera looks after it, and 1; zeros if unknown."""
_TERMS = 10
INERTIA = 0.67
"""Share of a travel that goes on, before training: what Doom's friction, 0.906 a tic, leaves of a speed in a step."""
_BEHIND = 0.1
"""Least distance along the old view, in units of that along the new one: nothing was behind the camera."""


def describe(keys: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """``(B, A)`` numbers of actions, from multi-hot ``keys (B, 32)`` and ``camera (B, 2)`` in degrees per step."""
    return torch.cat([keys.float(), features.camera(camera)], dim=-1)


class Flow(nn.Module):
    """Where each cell was: what geometry tells of a camera whose lens is known, or else a polynomial of the place that
    the actions tell, plus what the cell's features tell.

    A small turn of a camera moves the picture along a polynomial of second degree, one of 14 degrees along one of third
    degree to a few hundredths of a cell. ``geometry``: lenses are used where they are known. ``pictured``: the mean of
    the features, which tells of what world they are, has a say in the polynomial.
    """

    def __init__(self, width: int, geometry: bool, pictured: bool = False) -> None:
        super().__init__()
        last = nn.Linear(64, 2 * _TERMS)
        self.terms = nn.Sequential(nn.Linear(2 * ACTION, 64), nn.SiLU(), last)
        self.rest = nn.Conv2d(width, 2, 3, padding=1)
        still: list[torch.Tensor] = [*last.parameters(), *self.rest.parameters()]
        self.geometry = geometry
        self.world = nn.Linear(width, 64, bias=False) if pictured else None
        if self.world is not None:
            still.append(self.world.weight)
        if geometry:
            travel = nn.Linear(64, 3)
            self.near = nn.Conv2d(width, 1, 3, padding=1)
            self.inertia = nn.Parameter(torch.full((3,), INERTIA))
            self.travel = nn.Sequential(nn.Linear(2 * ACTION + TRAVEL + width, 64), nn.SiLU(), travel)
            still += travel.parameters()
        for parameter in still:
            nn.init.zeros_(parameter)  # nothing moves at first

    def forward(
        self,
        x: torch.Tensor,
        actions: torch.Tensor,
        reach: torch.Tensor | None,
        travel: torch.Tensor | None,
        room: Room | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """The flow, float32 ``(B, 2, h, w)`` in cells, x first, the travel ``(B, 4)``, and the metres ``(B,)`` that are
        left ahead, from features ``x (B, width, h, w)``, and the last ``travel``; ``reach (B,)`` is the tangent of half
        the horizontal view, 0 where no lens is known. Walls stop the travel where ``room`` is told. Without a geometry,
        or where nothing is told of lenses, the travel is None; so is what is left ahead without ``room``."""
        right, down = places(x.shape[2], x.shape[3], x.device)
        hidden = self.terms[0](actions.to(x.dtype))
        if self.world is not None:
            hidden = hidden + self.world(x.mean((2, 3)))
        weights = self.terms[2](self.terms[1](hidden)).float().unflatten(-1, (2, _TERMS))
        scale = x.shape[3] / 16  # a turn moves a larger picture by more cells
        terms = _polynomial_of_places(x.shape[2], x.shape[3], x.device)
        told = scale * 4 * (weights[..., None, None] * terms).sum(2)  # matrices would be rounded
        gone, ahead = None, None
        if self.geometry and reach is not None and travel is not None:
            near = F.softplus(self.near(x).float())[:, 0]
            known = torch.cat([actions.to(x.dtype), travel.to(x.dtype), x.mean((2, 3))], dim=1)
            way = self.inertia.float() * travel[:, :3].float() + 4 * self.travel(known).float()
            yaw = 15.0 * actions[:, NUM_KEYS].float()
            if room is not None:
                before = torch.cat([turned(travel[:, :3], yaw), travel[:, 3:]], dim=1)  # keys push where it looks then
                after = within_reach(turned(way, yaw), before, actions[:, :NUM_KEYS].float(), room.body)
                after, ahead = stopped(after, *wall_ahead(near, right, reach), yaw == 0, room)
                way = torch.where(room.body[:, None] > 0, turned(after, -yaw), way)
            seen = seen_before(right, down, yaw, way, near, reach)
            told = torch.where(reach[:, None, None, None] > 0, seen * x.shape[3] / 2, told)
            gone = torch.where(reach[:, None] > 0, F.pad(turned(way, yaw), (0, 1), value=1.0), 0.0)
        return told + self.rest(x).float(), gone, ahead


def seen_before(
    right: torch.Tensor,
    down: torch.Tensor,
    yaw: torch.Tensor,
    travel: torch.Tensor,
    near: torch.Tensor,
    reach: torch.Tensor,
) -> torch.Tensor:
    """How far from each place ``right, down (h, w)`` (halves of the width) its point was seen before, ``(B, 2, h, w)``
    in the same unit, x first.

    The camera turned by ``yaw (B,)`` degrees, left positive, and travelled by ``travel (B, 3)`` to the right, down and
    ahead as it looked before, in any unit of which ``near (B, h, w)`` is one over the distance of each point along the
    present view. ``reach (B,)`` is the tangent of half the horizontal view; where it is 0 the result means nothing.
    """
    turn = torch.deg2rad(yaw)[:, None, None]
    r = torch.where(reach > 0, reach, 1.0)[:, None, None]
    x, y = right * r, down * r
    across, below, ahead = (travel[:, i, None, None] * near for i in range(3))
    depth = (x * turn.sin() + turn.cos() + ahead).clamp(min=_BEHIND)
    x_before = (x * turn.cos() - turn.sin() + across) / depth
    return torch.stack([x_before / r - right, (y + below) / depth / r - down], dim=1)


def turned(travel: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """``travel (B, 3)``, to the right, down and ahead, as a camera sees it that turned by ``yaw (B,)`` degrees."""
    across, below, ahead = travel.unbind(1)
    turn = torch.deg2rad(yaw)
    return torch.stack([across * turn.cos() + ahead * turn.sin(), below, ahead * turn.cos() - across * turn.sin()], 1)


def polynomial(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The ten products of powers of ``x`` and ``y`` up to the third degree, along a new first axis."""
    return torch.stack([x**i * y ** (n - i) for n in range(4) for i in range(n, -1, -1)])


@constant
def _polynomial_of_places(h: int, w: int, device: torch.device) -> torch.Tensor:
    return polynomial(*places(h, w, device))


@constant
def places(h: int, w: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoints of cells, right and down from the centre in halves of the width: two float32 ``(h, w)``."""
    down = (2 * torch.arange(h, device=device) + 1 - h) / w
    right = (2 * torch.arange(w, device=device) + 1 - w) / w
    return right[None, :].expand(h, w), down[:, None].expand(h, w)


def sources(flow: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Where K flow fields fetch each pixel from: ``(B, K, H, W, 2)``, x first, -1 to 1 inside of the picture.

    ``flow (B, 2K, h, w)`` holds, x first, how far from each place, in latent cells, its colour is fetched; it is
    smoothed to pixels. In memory x and y are planes, which ``grid_sample`` reads faster than pairs.
    """
    cell = height / flow.shape[2]
    right, down = flow.float().unflatten(1, (-1, 2)).unbind(2)
    field = torch.cat([right * (2 * cell / width), down * (2 * cell / height)], dim=1)
    field = F.interpolate(field, size=(height, width), mode="bilinear", align_corners=False).unflatten(1, (2, -1))
    return rearrange(field + _pixels(height, width, field.device), "b d k h w -> b k h w d")


@constant
def _pixels(height: int, width: int, device: torch.device) -> torch.Tensor:
    """``(2, 1, H, W)``: midpoints of pixels, x first, -1 to 1 inside of the picture."""
    y = (torch.arange(height, device=device) + 0.5) * 2 / height - 1
    x = (torch.arange(width, device=device) + 0.5) * 2 / width - 1
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))[:, None]


def fetched(image_BCHW: torch.Tensor, flow: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """``image`` seen through K flow fields, ``flow`` as in ``sources``: float32 ``(B, K, C, H, W)``.

    Colours between pixels are interpolated by ``mode``. What would come from outside is the border's colour.
    """
    return sampled(image_BCHW, sources(flow, *image_BCHW.shape[2:]), mode)


def sampled(image_BCHW: torch.Tensor, grid_BKHW2: torch.Tensor, mode: str) -> torch.Tensor:
    """Colours float32 ``(B, K, C, H, W)`` of ``image`` at K grids as ``sources`` gives them."""
    count = grid_BKHW2.shape[1]
    grid = grid_BKHW2.flatten(1, 2)  # one tall picture: no copies of the image are needed
    seen = F.grid_sample(image_BCHW.float(), grid, mode=mode, padding_mode="border", align_corners=False)
    return rearrange(seen, "b c (k h) w -> b k c h w", k=count)
