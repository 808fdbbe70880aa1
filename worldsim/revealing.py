"""What an act takes away uncovers what nobody has seen: it is drawn once, and shown as far as it is uncovered.

Where a key that opens is pressed, or a text tells of it, a starter with a revealer is asked what of the picture will be
gone. What lies behind is drawn at once, whole, and of it each step shows what the revealer says is gone by then, in
place of what is there. As long as the camera stands it is asked of the picture in which it began, so that what is drawn
is no matter; after a turn or a step it goes on from the picture of then.
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
LEAST = 1 / 20
"""Share of a picture that an act must take away, at the most, to take anything."""
_KEPT = ("new", "hides", "before", "behind")


class Revealing:
    """What ``lanes`` lanes, frames of ``size`` (H, W), reveal by ``imagination``, whose starter has the revealer of
    ``config``. ``before (B, C, h, w)`` is the image latent of the picture that is asked about; ``hides (B,)`` is True
    where there is something behind it, ``behind (B, 3, H, W)``, and ``new (B,)`` where a lane has shown no step yet."""

    def __init__(
        self, imagination: Imagination, config: RevealerConfig, lanes: int, size: tuple[int, int], device: torch.device
    ) -> None:
        self.imagination, self.device, self.cues = imagination, device, Cues(config, lanes, device)
        codec = imagination.codec.config
        self.new = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.hides = torch.zeros_like(self.new)
        cells = (codec.latent_channels, *(n // codec.stride for n in size))
        self.before = torch.zeros(lanes, *cells, device=device)
        self.behind = torch.zeros(lanes, 3, *size, device=device)

    def begin(self, rows: torch.Tensor, given: Controls) -> None:
        """Lanes ``rows`` begin after the actions ``given``."""
        self.cues.begin(rows, given)
        self.new[rows], self.hides[rows] = True, False

    def tell(self, lanes: Sequence[int], texts: Sequence[str]) -> None:
        """Event ``texts`` hold from the next step on."""
        self.cues.tell(lanes, texts)

    def step(self, screen: Screen, controls: Controls, drawing: Drawing) -> Redrawn | None:
        """After ``screen`` has shown a step under ``controls (B, 1)``: lanes in which something is gone, and the
        pictures ``(M, 3, H, W)`` that they show now, None without any."""
        cues = self.cues
        cues.step(controls, self.hides & cues.lately(drawing.worlds))
        asked = cues.lately(drawing.worlds) & drawing.may
        moved = screen.walks | (controls.camera[:, 0] != 0).any(1)
        anew = asked & (cues.begins | self.new | (self.hides & moved))  # an act that took nothing away is over
        self.new = torch.zeros_like(self.new)
        if (rows := torch.nonzero(anew)[:, 0]).numel():
            self._look(rows, screen, drawing)
        rows = torch.nonzero(asked & self.hides)[:, 0]
        if not len(rows):
            return None
        gone = self._gone(rows, cues.acted[rows], cues.told[rows])
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
        each = rows.repeat_interleave(len(steps))
        acted, told = (
            of[each].any(1, keepdim=True) & steps.repeat(len(rows), 1) for of in (self.cues.acted, self.cues.told)
        )
        hidden = self._gone(each, acted, told).unflatten(0, (len(rows), -1)).any(1)
        self.hides[rows] = some = hidden.flatten(1).float().mean(1) >= LEAST
        if some.any():
            unseen = F.max_pool2d(hidden[some].float(), 2 * RIM + 1, stride=1, padding=RIM)
            left = 1 - F.interpolate(unseen, size=screen.size, mode="nearest")
            drawn, finite = made.completed(torch.cat([pictures[some], left], dim=1), rows[some], drawing)
            self.behind[rows[some]], self.hides[rows[some]] = drawn, finite[:, 0, 0, 0] > 0

    def _gone(self, rows: torch.Tensor, acted: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """bool ``(M, 1, h, w)``: cells of ``before`` of lanes ``rows`` whose content is taken away after ``acted`` and
        ``told (M, P)``."""
        before, colour, none = self.before[rows], self.cues.colour[rows], torch.zeros_like(acted)
        gone = torch.zeros_like(before[:, :1], dtype=torch.bool)
        # as it was taught: of what is done no words tell, and of what is told nobody has done it
        for done, said, of in ((acted, none, torch.zeros_like(colour)), (none, told, colour)):
            if (some := (done | said).any(1)).any():
                gone[some] |= self.imagination.starter.gone(before[some], done[some], said[some], of[some])
        return gone

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What a lane reveals, on the CPU."""
        return {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT} | self.cues.get_lane(lane)

    def set_lane(self, lane: int, kept: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = kept[name].to(self.device)
        self.cues.set_lane(lane, kept)
