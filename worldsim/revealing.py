"""What an act takes away uncovers what nobody has seen: it is drawn once, and shown as far as it is uncovered.

Where a key that opens is pressed, or a text tells of it, a starter with a revealer is asked what of the picture will be
gone. What lies behind is drawn at once, whole, and of it each step shows what the revealer says is gone by then, in
place of what is there. As long as the camera stands it is asked of the picture in which it began, so that what is drawn
is no matter; after a turn or a step it goes on from the picture of then. Who asks a starter without a revealer opens
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from worldsim.cues import Cues
from worldsim.imagination import Drawing, Imagination, Redrawn
from worldsim.model.conditioning import Controls
from worldsim.model.memory import smaller
from worldsim.model.revealer import RevealerConfig
from worldsim.screen import Screen

# B lanes, M of them, C h w latent, H W frame

RIM = 2
"""Cells round what will be gone that a starter is not shown: the rest of a door would be continued as a wall."""
_KEPT = ("stands", "hides", "before", "behind")


class Revealing:
    """What ``lanes`` lanes, frames of ``size`` (H, W), reveal by ``imagination``, whose starter has the revealer of
    ``config``. ``stands (B,)`` is True where the camera has stood since ``before (B, C, h, w)``, the image latent of
    the picture that is asked about; ``hides (B,)`` where there is something behind it, ``behind (B, 3, H, W)``."""

    def __init__(
        self, imagination: Imagination, config: RevealerConfig, lanes: int, size: tuple[int, int], device: torch.device
    ) -> None:
        self.imagination, self.device, self.cues = imagination, device, Cues(config, lanes, device)
        codec = imagination.codec.config
        self.stands = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.hides = torch.zeros_like(self.stands)
        cells = (codec.latent_channels, *(n // codec.stride for n in size))
        self.before = torch.zeros(lanes, *cells, device=device)
        self.behind = torch.zeros(lanes, 3, *size, device=device)

    def begin(self, rows: torch.Tensor, given: Controls) -> None:
        """Lanes ``rows`` begin after the actions ``given``."""
        self.cues.begin(rows, given)
        self.stands[rows] = False

    def tell(self, lanes: Sequence[int], texts: Sequence[str]) -> None:
        """Event ``texts`` hold from the next step on."""
        self.cues.tell(lanes, texts)

    def step(self, screen: Screen, controls: Controls, drawing: Drawing) -> Redrawn | None:
        """After ``screen`` has shown a step under ``controls (B, 1)``: lanes in which something is gone, and the
        pictures ``(M, 3, H, W)`` that they show now, None without any."""
        self.cues.step(controls)
        asked = self.cues.lately(drawing.worlds) & drawing.may
        moved = screen.walks | (controls.camera[:, 0] != 0).any(1)
        anew = asked & (~self.stands | moved | self.cues.begins)
        self.stands = asked
        if (rows := torch.nonzero(anew)[:, 0]).numel():
            self._look(rows, screen, drawing)
        rows = torch.nonzero(asked & self.hides)[:, 0]
        gone = self._gone(rows, *self._done)
        some = gone.flatten(1).any(1)
        if not some.any():
            return None
        rows = rows[some]
        return rows, screen.replace(rows, self.behind[rows], gone[some])

    def _look(self, rows: torch.Tensor, screen: Screen, drawing: Drawing) -> None:
        """What lies behind the pictures of lanes ``rows`` is drawn, where something of them is gone in any step."""
        pictures, made = smaller(screen.canvas[rows]), self.imagination
        self.before[rows] = made.codec.encode_normalised(pictures.permute(0, 2, 3, 1)[:, None]).float()
        steps = torch.eye(self.cues.config.past, dtype=torch.bool, device=self.device)
        ever = (self._gone(rows, *(of.any(1, keepdim=True) & step for of in self._done)) for step in steps)
        hidden = torch.stack([*ever, self._gone(rows, *self._done)]).any(0)
        self.hides[rows] = some = hidden.flatten(1).any(1)
        if some.any():
            unseen = F.max_pool2d(hidden[some].float(), 2 * RIM + 1, stride=1, padding=RIM)
            left = 1 - F.interpolate(unseen, size=screen.size, mode="nearest")
            drawn, finite = made.completed(torch.cat([pictures[some], left], dim=1), rows[some], drawing)
            self.behind[rows[some]], self.hides[rows[some]] = drawn, finite[:, 0, 0, 0] > 0

    @property
    def _done(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cues.acted, self.cues.told

    def _gone(self, rows: torch.Tensor, acted: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """bool ``(M, 1, h, w)``: cells of ``before`` of lanes ``rows`` whose content is taken away."""
        return self.imagination.starter.gone(self.before[rows], acted[rows], told[rows], self.cues.colour[rows])

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane reveals, on the CPU."""
        return {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT} | self.cues.get_lane(lane)

    def set_lane(self, lane: int, kept: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = kept[name].to(self.device)
        self.cues.set_lane(lane, kept)
