"""What was done, and told to happen, in the last steps of every lane, as a revealer is asked by it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from worldsim.captions.parse import parse_prompt
from worldsim.model.conditioning import ACTED, Controls
from worldsim.model.revealer import RevealerConfig
from worldsim.worlds import WORLDS

# B lanes, M lanes that begin, P last steps, N colours

_KEPT = ("acted", "told", "colour", "due", "held")


class Cues:
    """Of ``lanes`` lanes: in which of the last steps an act was begun, ``acted (B, P)``, and an event told, ``told (B,
    P)``, the present one first; the ``colour (B, N)`` of what was told, whether something is told from the next step
    on, ``due (B,)``, and whether a key of an act is ``held (B,)``, which begins no other."""

    def __init__(self, config: RevealerConfig, lanes: int, device: torch.device) -> None:
        self.config, self.device = config, device
        self.acted = torch.zeros(lanes, config.past, dtype=torch.bool, device=device)
        self.told = torch.zeros_like(self.acted)
        self.colour = torch.zeros(lanes, len(config.colours), device=device)
        self.due = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.held = torch.zeros_like(self.due)
        self._worlds = torch.tensor([WORLDS[name].index for name in config.worlds], device=device)

    def begin(self, rows: torch.Tensor, given: Controls) -> None:
        """Lanes ``rows`` begin after the actions ``given``, of which no words told."""
        for name in _KEPT:
            getattr(self, name)[rows] = 0
        held = self._held(given)
        begun = (held & ~F.pad(held, (1, 0))[:, :-1]).flip(1)[:, : self.config.past]
        latest = begun & (begun.cumsum(1) == 1)
        self.acted[rows, : begun.shape[1]], self.held[rows] = latest, held[:, -1]

    def tell(self, lanes: Sequence[int], texts: Sequence[str]) -> None:
        """Event ``texts`` hold from the next step on."""
        for lane, text in zip(lanes, texts):
            colour = self.config.colour_of(parse_prompt(text).events) if text.strip() else None
            self.due[lane] = colour is not None
            if colour is not None:
                self.colour[lane] = torch.tensor(self.config.one_hot(colour), device=self.device)

    def step(self, controls: Controls, busy: torch.Tensor) -> None:
        """A step under ``controls (B, 1)``. An act takes the place of the one before, and a text of the text before;
        lanes that are ``busy (B,)`` with what one does begin no other act."""
        held = self._held(controls)[:, 0]
        self.acted = _with(held & ~self.held & ~busy, self.acted)
        self.held = held
        self.told = _with(self.due, self.told)
        self.due = torch.zeros_like(self.due)

    def able(self, worlds: torch.Tensor) -> torch.Tensor:
        """Lanes ``(B,)`` in a world where acts take something away; ``worlds (B,)`` are their indices."""
        return torch.isin(worlds, self._worlds)

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """Those of a lane, on the CPU."""
        return {name: getattr(self, name)[lane].cpu().clone() for name in _KEPT}

    def set_lane(self, lane: int, kept: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name in _KEPT:
            getattr(self, name)[lane] = kept[name].to(self.device)

    def _held(self, controls: Controls) -> torch.Tensor:
        """bool ``(B, T)``: steps in which a key of an act is held."""
        return controls.keys[:, :, self.config.bits].any(2) & (controls.known == ACTED)


def _with(begun: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """What was ``before (B, P)`` a step later, where nothing has ``begun (B,)``."""
    return torch.cat([begun[:, None], before[:, :-1] & ~begun[:, None]], dim=1)
