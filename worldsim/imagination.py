"""What nobody has seen is imagined before it is shown: pictures are completed on the panoramas of the lanes.

Where a turn brings into view what no frame has shown, the world model expects a mean of all that might be there, a
haze. A starter that has learned to complete pictures (``Starter.complete``) draws one world out of the many: it is
shown what the panorama holds of a view, told the scene, and what it draws is laid on the panorama where that held
nothing. From then on it has been seen, and stays what it is. It is drawn for a view that is turned on ahead of the
camera, so that things are drawn whole, and that the next turns find it there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from worldsim.model.codec import Codec
from worldsim.model.memory import DOUBTED
from worldsim.model.panorama import Panorama
from worldsim.model.starter import Starter
from worldsim.worlds import WorldSpec

# B lanes, M of them whose view is completed, C h w latent, H W frame

AHEAD = 28.0
"""Degrees by which the view that is completed is turned on, in the direction of the turn."""
LEAST = 4
"""Cells of a view that nobody has seen, from which on it is completed."""


class Imagination:
    """Completes panoramas with ``starter``, for the codec whose latents it draws; both lie where the lanes do."""

    def __init__(self, starter: Starter, codec: Codec, dtype: torch.dtype) -> None:
        self.starter, self.codec, self.dtype = starter, codec, dtype

    def knows(self, world: WorldSpec) -> bool:
        """Whether what turns uncover in ``world`` is imagined."""
        return world.lens is not None and world.name in self.starter.config.completes

    def complete(
        self,
        panorama: Panorama,
        around: torch.Tensor,
        yaw: torch.Tensor,
        lanes: torch.Tensor,
        scenes: Sequence[str],
        worlds: torch.Tensor,
        seeds: torch.Tensor,
        steps: torch.Tensor,
    ) -> torch.Tensor:
        """What is known of the present views, ``(B, 4, H, W)`` as of ``Panorama.view``, when what ``around`` lacks has
        been imagined in the ``lanes (B,)`` that may be.

        ``yaw (B,)`` are the degrees of the turns that led here, left positive; lanes are told ``scenes`` and the
        indices ``worlds (B,)``, and what is drawn depends on their ``seeds (B,)`` and ``steps (B,)``.
        """
        missing = (_cells(known(around), self.codec.config.stride) < 0.5).sum((1, 2, 3)) >= LEAST
        rows = torch.nonzero(missing & lanes)[:, 0]
        if not len(rows):
            return around
        part = panorama.some(rows)
        heading = part.heading
        part.heading = (heading + AHEAD * yaw[rows].sign()) % 360
        view = part.view()
        told = [scenes[row] for row in rows.tolist()]
        drawn = self.starter.complete(
            seen_of(view, self.codec), told, worlds[rows], seeds[rows], steps[rows], self.dtype
        )
        picture = self.codec.decode_normalised(drawn.nan_to_num(), 1)[:, 0].permute(0, 3, 1, 2)
        part.show(picture, where=1 - known(view))
        part.heading = heading
        panorama.put(rows, part)
        return panorama.view()


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
