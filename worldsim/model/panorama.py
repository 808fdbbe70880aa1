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

import copy
import math

import torch
import torch.nn.functional as F
from einops import rearrange

from worldsim.actions import KEY_BIT
from worldsim.constants import constant

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

    def some(self, lanes: torch.Tensor) -> Panorama:
        """A copy of what ``lanes`` have seen."""
        part = copy.copy(self)
        for name in _KEPT:
            setattr(part, name, getattr(self, name)[lanes])
        part._looked = part.texture[:, :0]
        return part

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane has seen, on the CPU."""
        return {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT}

    def set_lane(self, lane: int, seen: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = seen[name].to(self.heading.device)

    def stood(self) -> torch.Tensor:
        """``(B, 4)``: the heading of each lane, and its place."""
        return torch.cat([self.heading[:, None], self.place], dim=1)

    @staticmethod
    def apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Metres ``(M,)`` between two of ``stood``."""
        return _metres(one[:, 1:], other[:, 1:], dim=1)

    def lay(self, lanes: torch.Tensor, pictures: torch.Tensor, where: torch.Tensor, stood: torch.Tensor) -> None:
        """Lays ``pictures``, as ``show`` does ``where`` they are to be, on the cylinders of ``lanes`` as if they still
        looked and ``stood (M, 4)`` as they did."""
        part = self.some(lanes)
        now, part.heading, part.place = part.stood(), stood[:, 0], stood[:, 1:]
        part.show(pictures, where=where)
        part.heading, part.place = now[:, 0], now[:, 1:]
        self.put(lanes, part)

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
        rows = self._rows()
        whole = self.texture.flatten(0, 1).flatten(1)  # what is fetched in whole rows takes a third of the time
        window = whole.index_select(0, rows.flatten()).view(*rows.shape, *self.texture.shape[2:])
        self._looked = window
        away = _metres(window[..., 3:, :], self.place[:, None, None, :, None], dim=3)
        nearest, colours = away[:, :, 0], window[:, :, 0, :3]
        for s in range(1, window.shape[2]):  # a minimum's index, gathered by, takes ten times as long on a CPU
            nearer = (away[:, :, s] < nearest).float()
            colours = torch.lerp(colours, window[:, :, s, :3], nearer[:, :, None])
            nearest = torch.minimum(nearest, away[:, :, s])
        fresh = (nearest[:, :, None] * (math.log(FADE) / STRIDE)).exp()
        seen = (fresh > 0).float()  # at the rim of what was seen, only that is interpolated
        known = rearrange(torch.cat([colours * seen, fresh, seen], dim=2), "b v c p -> b c v p")
        found = F.grid_sample(known, self._sight(rows.shape[1]), align_corners=False)
        held = found[:, 4:]
        return found[:, :4] / held.clamp(min=0.5) * (held > 0.5)

    def show(self, picture: torch.Tensor, forget: bool = False, where: torch.Tensor | None = None) -> None:
        """Lays pictures ``(B, 3, h, w)`` of the present views, of any size, on the cylinders of the present places,
        or those of their pixels where ``where (B, 1, h, w)`` is more than a half.

        ``forget``: what a cylinder held of the last ``view`` from close by and the picture does not show is forgotten,
        so that a thing that was taken is not seen again after a turn. It needs a ``view`` before, and no turn since.
        """
        rows = self._rows()
        grid, inside = self._seen(rows.shape[1])
        seen = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
        if forget:
            self._forget(rows, seen, inside)
        if where is not None:
            inside = inside * (F.grid_sample(where, grid, padding_mode="border", align_corners=False)[:, 0] > 0.5)
        here = (rows * self.texture.shape[2] + self._cylinder()[:, None]).flatten()
        texture = self.texture.view(-1, self.texture[0, 0, 0].numel())
        now = texture.index_select(0, here).view(*rows.shape, *self.texture.shape[3:])
        shown, place = inside[:, :, None], self.place[:, None, :, None]
        now[:, :, :3].lerp_(seen.transpose(1, 2), shown)
        now[:, :, 3:5].lerp_(place[:, :, :2], shown)
        now[:, :, 5:] = torch.where(shown > 0, place[:, :, 2:], now[:, :, 5:])  # it may be infinite
        texture.index_copy_(0, here, now.view(len(here), -1))

    def _forget(self, rows: torch.Tensor, seen: torch.Tensor, inside: torch.Tensor) -> None:
        """Cells of the window that was looked at are forgotten where they are contradicted by ``seen (B, 3, V, P)``.

        A cell is contradicted where a channel of its mean colour lies outside of all that the cells nearby show, and
        forgotten with the cells beside it, which hold the rim of what is gone. Cells count that were seen whole.
        """
        held, self._looked = self._looked, self.texture[:, :0]
        width, count = held.shape[1] // CELL * CELL, held.shape[2]
        held = held[:, :width]
        away = _metres(held[:, CELL // 2 :: CELL, :, 3:, CELL // 2 :: CELL], self.place[:, None, None, :, None], dim=3)
        cells = rearrange(_cells(held[..., :3, :], dim=1), "b v s c p -> b s c v p")
        shown = _cells(torch.cat([seen, inside[:, None]], dim=1)[:, :, :width], dim=2)
        around, whole = shown[:, :3], shown[:, 3:] == 1
        most, least = _highest(torch.where(whole, torch.stack([around, -around]), -1.0), MOVED)[:, :, None]
        apart = torch.maximum(cells - most, -least - cells).amax(2)
        seen_whole = rearrange(_cells(held[..., 5, :], dim=1), "b v s p -> b s v p").isfinite()
        near = whole & seen_whole & (rearrange(away, "b v s p -> b s v p") < CLOSE)
        missed = (near & (apart > CONTRADICTED)).float()
        few = missed.sum((2, 3), keepdim=True) <= FEW * near.sum((2, 3), keepdim=True)
        gone = _highest(missed * few, 1) > 0
        if not gone.is_cpu or gone.any():  # a GPU would have to be waited for to tell
            farther = torch.zeros_like(missed).masked_fill(gone & near, torch.inf).transpose(1, 2)
            lost = held[..., 5, :] + farther.repeat_interleave(CELL, 1).repeat_interleave(CELL, 3)
            cylinders = rows[:, :width, None] * count + torch.arange(count, device=rows.device)
            self.texture.view(-1, self.rows).index_copy_(0, (6 * cylinders + 5).flatten(), lost.flatten(0, 2))

    def _sight(self, count: int) -> torch.Tensor:
        """Where in the ``count`` columns of the present views the pixels of frames are: ``(B, H, W, 2)`` as
        ``grid_sample`` takes it of ``(V, P)``, rows first."""
        x, y = _places(self.height, self.width, self.heading.device)
        x = x * self.reach[:, None]
        left = torch.rad2deg(-torch.atan(x)) + self.heading[:, None]
        column = left / 360 * self.columns - 0.5 - self._first()[:, None]
        across = ((2 * column + 1) / count - 1)[:, None]
        return _grid(y[:, None] / (1 + x.square()).sqrt()[:, None], across)

    def _seen(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where in the present views the pixels of their ``count`` columns are, ``(B, V, P, 2)`` as ``grid_sample``
        takes it, and ``(B, V, P)``: 1 where they are inside of it, else 0."""
        number = self._first()[:, None] + torch.arange(count, device=self.heading.device)
        left = torch.deg2rad((number + 0.5) * 360 / self.columns - self.heading[:, None])[..., None]
        row = torch.arange(self.rows, device=self.heading.device)
        down = ((2 * row + 1) / self.rows - 1) / torch.cos(left)
        turns = self.reach[:, None, None] > 0
        across = -torch.tan(left) / torch.where(turns, self.reach[:, None, None], 1.0)
        ahead = (across.abs() < 1) & (torch.cos(left) > 0.5) & turns
        return _grid(across, down), (down.abs() < 1).float() * ahead

    def _cylinder(self) -> torch.Tensor:
        """int64 ``(B,)``: the cylinder of the present place. One whose place is near, else the one that was painted the
        longest ago, which begins anew here."""
        self.clock += 1
        lanes = self._lanes()
        away, nearest = _metres(self.anchors, self.place[:, None], dim=2).min(1)
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

    def _rows(self) -> torch.Tensor:
        """int64 ``(B, V)``: the columns of each view, in their order, counted on from lane to lane."""
        count = self.columns // 4 + 2 * _MARGIN + 1
        columns = (self._first()[:, None].long() + torch.arange(count, device=self.heading.device)) % self.columns
        return self._lanes()[:, None] * self.columns + columns


def seen_turned(
    pictures: torch.Tensor, where: torch.Tensor, yaw: torch.Tensor, reach: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``pictures (M, 3, H, W)``, and ``where (M, 1, H, W)`` they count, as they are seen when the camera has turned by
    ``yaw (M,)`` degrees since, left positive; outside of what they show they count nowhere. ``reach (M,)`` as of a
    ``Panorama``."""
    height, width = pictures.shape[2:]
    x, y = _places(height, width, pictures.device)
    left = -torch.atan(x * reach[:, None])
    then = left + torch.deg2rad(yaw)[:, None]
    across = torch.where(then.cos() > 0.1, -then.tan() / reach[:, None], 2.0)  # 2 lies outside
    down = (left.cos() / then.cos())[:, None] * y[:, None]
    grid = _grid(across[:, None].expand_as(down), down)
    shown = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return shown, F.grid_sample(where, grid, padding_mode="zeros", align_corners=False)


def _metres(places: torch.Tensor, place: torch.Tensor, dim: int) -> torch.Tensor:
    """How far ``places`` are from ``place``, whose three numbers along ``dim`` are as in ``Panorama.place``."""
    ahead, left, lost = (there - here for there, here in zip(places.unbind(dim), place.unbind(dim)))
    return ahead.hypot_(left).add_(lost.abs_())  # in place: what is read and written bounds the time of many lanes


def _cells(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Means of cells of ``CELL`` columns, along ``dim``, and as many rows, along the last dimension."""
    first, *others = x.unflatten(dim, (-1, CELL)).sum(dim + 1).unflatten(-1, (-1, CELL)).unbind(-1)
    return sum(others, first) / CELL**2  # the long rows first, and short ones not by a reduction: quicker on a CPU


def _highest(x: torch.Tensor, reach: int) -> torch.Tensor:
    """The maximum of ``x (..., H, W)`` within ``reach`` of each place: ``max_pool2d`` of stride 1, which takes many
    times as long on a CPU."""
    x = F.pad(x, (reach,) * 4, value=-torch.inf)
    return x.unfold(-1, 2 * reach + 1, 1).amax(-1).unfold(-2, 2 * reach + 1, 1).amax(-1)


def _grid(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``(..., 2)`` of coordinates that are broadcast together, in two planes: ``grid_sample`` reads these faster."""
    return torch.stack(torch.broadcast_tensors(x, y), dim=1).movedim(1, -1)


@constant
def _places(height: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoints of pixels, right and down of the middle in halves of width and height: float32 ``(W,)``, ``(H,)``."""
    down = (2 * torch.arange(height, device=device) + 1 - height) / height
    right = (2 * torch.arange(width, device=device) + 1 - width) / width
    return right, down
