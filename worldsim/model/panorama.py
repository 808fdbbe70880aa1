"""What lanes have seen all round them: a picture of the horizon that turning uncovers again.

The world model remembers its window of latents, and the canvas of the pixel memory what is in view. What a turn moves
out of view would be lost to both and drawn anew, as something else. Here every shown frame is also laid on a cylinder
round the camera, at the heading that the actions tell, and where a turn brings a place back into view its pixels are
there (an environment map, Blinn and Newell 1976; cylindrical, Chen 1995). A turn moves nothing on the cylinder, so that
what is out of view is not blurred by it. A step to another place does move things, by how far depends on their
distance, which the cylinder does not know: each pixel holds how fresh it is, and the memory believes it less after each
such step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from worldsim.actions import KEY_BIT

# B lanes, H W size of a frame, P rows and N columns of the cylinder, V columns of a view

WALKED = slice(KEY_BIT["forward"], KEY_BIT["strafe_right"] + 1)
"""Keys that move the camera to another place: forward, backward, and to both sides."""
FADE = 0.9
"""What a step to another place leaves of the freshness."""
_MARGIN = 2
_KEPT = ("texture", "heading", "reach")


class Panorama:
    """Cylinders of lanes for frames of ``height`` x ``width`` pixels.

    ``reach (B,)`` is the tangent of half the horizontal view, at most 1; 0 for lanes whose camera does not turn at its
    place, which have none. ``texture (B, 4, P, N)`` holds colours in [-1, 1] and freshness in [0, 1], 0 where nothing
    was seen; ``heading (B,)`` is in degrees, left positive, from where the lane began.
    """

    def __init__(self, reach: torch.Tensor, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.rows, self.columns = 3 * height // 2, 6 * width
        self.reach = reach
        self.texture = torch.zeros(len(reach), 4, self.rows, self.columns, device=reach.device)
        self.heading = torch.zeros_like(reach)

    def put(self, lanes: torch.Tensor, other: Panorama) -> None:
        """``lanes`` become those of ``other``."""
        self.texture[lanes], self.heading[lanes], self.reach[lanes] = other.texture, other.heading, other.reach

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane has seen, on the CPU."""
        return {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT}

    def set_lane(self, lane: int, seen: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = seen[name].to(self.heading.device)

    def move(self, keys: torch.Tensor, camera: torch.Tensor) -> None:
        """Takes an action, multi-hot ``keys (B, 32)`` and ``camera (B, 2)`` in degrees: turns; fades if it walks."""
        self.heading = (self.heading + camera[:, 0]) % 360
        walked = keys[:, WALKED].any(1)
        self.texture[:, 3] *= torch.where(walked, FADE, 1.0)[:, None, None]

    def view(self) -> torch.Tensor:
        """What is known of the present view, ``(B, 4, H, W)``: colours, and freshness."""
        columns = self._columns()
        window = self.texture.gather(3, columns[:, None, None].expand(-1, 4, self.rows, -1))
        x, y = _places(self.height, self.width, self.texture.device)
        x = x * self.reach[:, None, None]
        left = torch.rad2deg(-torch.atan(x)) + self.heading[:, None, None]
        column = left / 360 * self.columns - 0.5 - self._first()[:, None, None]
        across = (2 * column + 1) / window.shape[3] - 1
        down = y / (1 + x.square()).sqrt()
        seen = (window[:, 3:] > 0).float()  # at the rim of what was seen, only that is interpolated
        found = F.grid_sample(
            torch.cat([window * seen, seen], dim=1), torch.stack([across, down], dim=-1), align_corners=False
        )
        held = found[:, 4:]
        return torch.where(held > 0.5, found[:, :4] / held.clamp(min=0.5), 0.0)

    def show(self, picture: torch.Tensor) -> None:
        """Lays pictures ``(B, 3, h, w)`` of the present views, of any size, on the cylinders."""
        columns = self._columns()
        number = self._first()[:, None] + torch.arange(columns.shape[1], device=columns.device)
        left = torch.deg2rad((number + 0.5) * 360 / self.columns - self.heading[:, None])[:, None]
        row = torch.arange(self.rows, device=columns.device)
        down = ((2 * row + 1) / self.rows - 1)[None, :, None]
        turns = self.reach[:, None, None] > 0
        across = -torch.tan(left) / torch.where(turns, self.reach[:, None, None], 1.0)
        grid = torch.stack(torch.broadcast_tensors(across, down / torch.cos(left)), dim=-1)
        inside = (grid.abs() < 1).all(-1) & (torch.cos(left) > 0.5) & turns
        seen = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
        index = columns[:, None, None].expand(-1, 4, self.rows, -1)
        window = torch.where(inside[:, None], seen, self.texture.gather(3, index))
        self.texture.scatter_(3, index, window)

    def _first(self) -> torch.Tensor:
        """The leftmost column of each view, counted from the heading 0 on; it may lie past the seam."""
        middle = (self.heading / 360 * self.columns).floor()
        return middle - self.columns // 8 - _MARGIN

    def _columns(self) -> torch.Tensor:
        """int64 ``(B, V)``: the columns of each view, in their order."""
        count = self.columns // 4 + 2 * _MARGIN + 1
        return (self._first()[:, None].long() + torch.arange(count, device=self.heading.device)) % self.columns


def _places(height: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoints of pixels, right and down of the middle in halves of width and height: two float32 ``(H, W)``."""
    down = (2 * torch.arange(height, device=device) + 1 - height) / height
    right = (2 * torch.arange(width, device=device) + 1 - width) / width
    return right[None, :].expand(height, width), down[:, None].expand(height, width)
