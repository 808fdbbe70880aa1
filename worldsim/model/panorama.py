"""What lanes have seen all round them, and from where: pictures of the horizon that turning uncovers again.

The world model remembers its window of latents, and the canvas of the pixel memory what is in view. What a turn moves
out of view would be lost to both and drawn anew, as something else. Here every shown frame is also laid on a cylinder
round the camera, at the heading that the actions tell, and where a turn brings a place back into view its pixels are
there (an environment map, Blinn and Newell 1976; cylindrical, Chen 1995). A turn moves nothing on the cylinder, so that
what is out of view is not blurred by it.

A step to another place does move things, by how far depends on their distance, which the cylinder does not know. So
each pixel also holds where the camera stood when it was seen, by dead reckoning, and is the fresher the nearer the
camera stands to that place now: one who walks away and comes back finds what was there. A lane has several cylinders,
each of another place, so that a look round elsewhere does not paint over what was seen here; retrieving past frames by
pose is what lets learned worlds stay themselves when they are revisited (WorldMem, Xiao et al. 2025). Where how far the
camera went is not known, each step counts as one away from everything, back or not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange

from worldsim.actions import KEY_BIT

# B lanes, S cylinders of a lane, H W size of a frame, P rows and N columns of a cylinder, V columns of a view

WALKED = slice(KEY_BIT["forward"], KEY_BIT["strafe_right"] + 1)
"""Keys that move the camera to another place: forward, backward, and to both sides."""
FADE = 0.9
"""Freshness of what was seen from a stride away."""
STRIDE = 0.8
"""Metres of a step of walking at speed."""
STILL = 0.04
"""Metres of a step below which a camera stands. One that stands is told to creep by a centimetre a step, which after a
minute would be far from all that it has seen; one that comes to rest loses 8 cm, and as many when it returns."""
APART = 1.0
"""Metres from the places of all cylinders at which another one is begun."""
CLOSE = 1.0
"""Metres from a place up to which what was seen there is compared with what is seen now, and may be forgotten."""
CONTRADICTED = 0.3
"""Of colours in [-1, 1]: how far the mean of a cell lies outside of what is shown nearby where it is gone."""
CELL = 4
"""Pixels of the cells that are compared. A blurred wall keeps the mean colours of its cells."""
MOVED = 2
"""Cells by which what is still there may be elsewhere in the picture, as it is seen from another place."""
FEW = 0.25
"""Share of the compared cells up to which things are gone; where more differ, the light does, as in a flash."""
_MARGIN = 2
_KEPT = ("texture", "heading", "reach", "place", "anchors", "painted", "clock")


class Panorama:
    """``count`` cylinders for each lane, for frames of ``height`` x ``width`` pixels.

    ``reach (B,)`` is the tangent of half the horizontal view, at most 1; 0 for lanes whose camera does not turn at its
    place, which have none. ``heading (B,)`` is in degrees, left positive, and ``place (B, 3)`` in metres ahead and to
    the left, both from where the lane began, and then in metres walked that nobody can tell the direction of, which
    lead away from everything. ``texture (B, N, S, 6, P)`` holds colours in [-1, 1] and the place where the camera stood
    then, infinitely far where nothing was seen. ``anchors (B, S, 3)`` are the places of the cylinders.
    """

    def __init__(self, reach: torch.Tensor, height: int, width: int, count: int = 1) -> None:
        lanes, device = len(reach), reach.device
        self.height, self.width = height, width
        self.rows, self.columns = 3 * height // 2, 6 * width
        self.reach = reach
        self.texture = torch.zeros(lanes, self.columns, count, 6, self.rows, device=device)
        self.texture[..., 5, :] = torch.inf
        self.heading = torch.zeros_like(reach)
        self.place = torch.zeros(lanes, 3, device=device)
        self.anchors = torch.full((lanes, count, 3), torch.inf, device=device)
        self.painted = torch.zeros(lanes, count, device=device)
        """When each cylinder was painted last, by ``clock``."""
        self.clock = torch.zeros(lanes, device=device)
        self._looked = self.texture[:, :0]
        """What the columns of the last view held, ``(B, V, S, 6, P)``."""

    def put(self, lanes: torch.Tensor, other: Panorama) -> None:
        """``lanes`` become those of ``other``."""
        for name in _KEPT:
            getattr(self, name)[lanes] = getattr(other, name)

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane has seen, on the CPU."""
        return {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT}

    def set_lane(self, lane: int, seen: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = seen[name].to(self.heading.device)

    def turn(self, camera: torch.Tensor) -> None:
        """The camera turns by ``camera (B, 2)`` degrees, yaw first."""
        self.heading = (self.heading + camera[:, 0]) % 360

    def walk(self, keys: torch.Tensor) -> None:
        """The multi-hot ``keys (B, 32)`` of an action move the camera, nobody can tell how far: away from everything,
        by a stride where it walks."""
        self.place[:, 2] += STRIDE * keys[:, WALKED].any(1)

    def go(self, travel: torch.Tensor) -> None:
        """The camera went by ``travel (B, 4)``, metres to the right, down and ahead as it looks now (see
        ``motion.TRAVEL``); nowhere where that is not known, or less than ``STILL``."""
        right, _, ahead, known = travel.unbind(1)
        went = known * (torch.hypot(right, ahead) >= STILL)
        heading = torch.deg2rad(self.heading)
        self.place[:, 0] += went * (ahead * heading.cos() + right * heading.sin())
        self.place[:, 1] += went * (ahead * heading.sin() - right * heading.cos())

    def view(self) -> torch.Tensor:
        """What is known of the present view, ``(B, 4, H, W)``: colours, and freshness, each pixel as it was seen from
        the nearest place."""
        window = self._looked = self.texture[self._lanes()[:, None], self._columns()]  # (B, V, S, 6, P)
        away = _metres(window[..., 3:, :] - self.place[:, None, None, :, None], dim=3)
        nearest, best = away.min(2, keepdim=True)
        colours = window[..., :3, :].gather(2, best[:, :, :, None].expand(-1, -1, -1, 3, -1))[:, :, 0]
        fresh = FADE ** (nearest / STRIDE)
        x, y = _places(self.height, self.width, window.device)
        x = x * self.reach[:, None, None]
        left = torch.rad2deg(-torch.atan(x)) + self.heading[:, None, None]
        column = left / 360 * self.columns - 0.5 - self._first()[:, None, None]
        across = (2 * column + 1) / window.shape[1] - 1
        down = y / (1 + x.square()).sqrt()
        seen = (fresh > 0).float()  # at the rim of what was seen, only that is interpolated
        known = rearrange(torch.cat([colours * seen, fresh, seen], dim=2), "b v c p -> b c p v")
        found = F.grid_sample(known, torch.stack([across, down], dim=-1), align_corners=False)
        held = found[:, 4:]
        return torch.where(held > 0.5, found[:, :4] / held.clamp(min=0.5), 0.0)

    def show(self, picture: torch.Tensor, forget: bool = False) -> None:
        """Lays pictures ``(B, 3, h, w)`` of the present views, of any size, on the cylinders of the present places.

        ``forget``: what a cylinder held of the last ``view`` from close by and the picture does not show is forgotten,
        so that a thing that was taken is not seen again after a turn. It needs a ``view`` before, and no turn since.
        """
        columns, lanes = self._columns(), self._lanes()[:, None]
        grid, inside = self._grid(columns)
        seen = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
        if forget:
            self._forget(columns, seen, inside)
        place = self.place[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        fresh = rearrange(torch.cat([seen, place], dim=1), "b c p v -> b v c p")
        here = self._cylinder()[:, None]
        before = self.texture[lanes, columns, here]
        self.texture[lanes, columns, here] = torch.where(rearrange(inside, "b p v -> b v 1 p"), fresh, before)

    def _forget(self, columns: torch.Tensor, seen: torch.Tensor, inside: torch.Tensor) -> None:
        """Cells of the window that was looked at are forgotten where they are contradicted by ``seen (B, 3, P, V)``.

        A cell is contradicted where a channel of its mean colour lies outside of all that the cells nearby show, and
        forgotten with the cells beside it, which hold the rim of what is gone. Cells count that were seen whole.
        """
        held, self._looked = self._looked, self.texture[:, :0]
        width = held.shape[1] // CELL * CELL
        held = held[:, :width]
        away = _metres(held[:, CELL // 2 :: CELL, :, 3:, CELL // 2 :: CELL] - self.place[:, None, None, :, None], dim=3)
        across = held[..., :3, :].unflatten(1, (-1, CELL)).sum(2)  # in two steps, the long rows first: quicker
        cells = rearrange(across.unflatten(-1, (-1, CELL)).mean(-1) / CELL, "b v s c p -> b s c p v")
        shown = F.avg_pool2d(torch.cat([seen, inside[:, None].float()], dim=1)[..., :width], CELL)
        around, whole = shown[:, :3], shown[:, 3:] == 1
        most = F.max_pool2d(torch.where(whole, around, -1.0), 2 * MOVED + 1, 1, MOVED)[:, None]
        least = -F.max_pool2d(torch.where(whole, -around, -1.0), 2 * MOVED + 1, 1, MOVED)[:, None]
        apart = torch.maximum(cells - most, least - cells).amax(2)
        rows = held[..., 5, :].unflatten(1, (-1, CELL)).amax(2)
        seen_whole = rearrange(rows.unflatten(-1, (-1, CELL)).amax(-1), "b v s p -> b s p v").isfinite()
        near = whole & seen_whole & (rearrange(away, "b v s p -> b s p v") < CLOSE)
        missed = (near & (apart > CONTRADICTED)).float()
        few = missed.sum((2, 3), keepdim=True) <= FEW * near.sum((2, 3), keepdim=True)
        gone = F.max_pool2d(missed * few, 3, stride=1, padding=1) > 0
        if not gone.is_cpu or gone.any():  # a GPU would have to be waited for to tell
            gone = (gone & near).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
            lost = torch.where(rearrange(gone, "b s p v -> b v s p"), torch.inf, held[..., 5, :])
            self.texture[self._lanes()[:, None], columns[:, :width], :, 5] = lost

    def _grid(self, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where in the present views the pixels of ``columns (B, V)`` are, ``(B, P, V, 2)`` as ``grid_sample`` takes
        it, and whether they are inside of it."""
        number = self._first()[:, None] + torch.arange(columns.shape[1], device=columns.device)
        left = torch.deg2rad((number + 0.5) * 360 / self.columns - self.heading[:, None])[:, None]
        row = torch.arange(self.rows, device=columns.device)
        down = ((2 * row + 1) / self.rows - 1)[None, :, None]
        turns = self.reach[:, None, None] > 0
        across = -torch.tan(left) / torch.where(turns, self.reach[:, None, None], 1.0)
        grid = torch.stack(torch.broadcast_tensors(across, down / torch.cos(left)), dim=-1)
        inside = (grid.abs() < 1).all(-1) & (torch.cos(left) > 0.5) & turns
        return grid, inside

    def _cylinder(self) -> torch.Tensor:
        """int64 ``(B,)``: the cylinder of the present place. One whose place is near, else the one that was painted the
        longest ago, which begins anew here."""
        self.clock += 1
        lanes = self._lanes()
        away, nearest = _metres(self.anchors - self.place[:, None], dim=2).min(1)
        new = away > APART
        here = torch.where(new, self.painted.argmin(1), nearest)
        self.anchors[lanes, here] = torch.where(new[:, None], self.place, self.anchors[lanes, here])
        self.painted[lanes, here] = self.clock
        return here

    def _lanes(self) -> torch.Tensor:
        return torch.arange(len(self.heading), device=self.heading.device)

    def _first(self) -> torch.Tensor:
        """The leftmost column of each view, counted from the heading 0 on; it may lie past the seam."""
        middle = (self.heading / 360 * self.columns).floor()
        return middle - self.columns // 8 - _MARGIN

    def _columns(self) -> torch.Tensor:
        """int64 ``(B, V)``: the columns of each view, in their order."""
        count = self.columns // 4 + 2 * _MARGIN + 1
        return (self._first()[:, None].long() + torch.arange(count, device=self.heading.device)) % self.columns


def _metres(way: torch.Tensor, dim: int) -> torch.Tensor:
    """How far ``way`` leads, whose three numbers along ``dim`` are as in ``Panorama.place``."""
    ahead, left, lost = way.unbind(dim)
    return torch.hypot(ahead, left) + lost.abs()


def _places(height: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoints of pixels, right and down of the middle in halves of width and height: two float32 ``(H, W)``."""
    down = (2 * torch.arange(height, device=device) + 1 - height) / height
    right = (2 * torch.arange(width, device=device) + 1 - width) / width
    return right[None, :].expand(height, width), down[:, None].expand(height, width)
