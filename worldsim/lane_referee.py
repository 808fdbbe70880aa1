"""The referee of every lane: what the lane showed last, what was done last, and what that pays in the next step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from worldsim.model.conditioning import Controls
from worldsim.model.player import ACTION_NUMBERS, past_actions, with_newest
from worldsim.model.referee import Referee
from worldsim.model.transformer import Prediction
from worldsim.worlds import WORLDS

# B lanes, M lanes that begin, S latents that are seen, C h w latent, A last actions


class LaneReferee:
    """``referee`` over ``lanes`` lanes whose latents are of ``shape`` (C, h, w), on ``device``."""

    def __init__(self, referee: Referee, lanes: int, shape: tuple[int, ...], device: torch.device) -> None:
        self._referee = copy.deepcopy(referee).to(device)
        self.shown = torch.zeros(lanes, referee.config.seen, *shape, device=device)
        self.past = torch.zeros(lanes, referee.config.past, ACTION_NUMBERS, device=device)
        self._judged = referee.config.judges(1 + max(spec.index for spec in WORLDS.values())).to(device)
        self._has_a_say = True
        self._heard = torch.full((lanes,), not referee.config.alone, device=device)

    def note(self, worlds: Sequence[int]) -> None:
        """The lanes are in worlds of these indices from now; where it judges none of them, it need not be asked."""
        self._has_a_say = bool(self._judged[list(worlds)].any())

    def begin(self, rows: torch.Tensor, controls: Controls, latents: Sequence[torch.Tensor]) -> None:
        """Lanes ``rows`` begin: ``controls (M, T)`` of what was given, ``latents`` T of ``(M, C, h, w)``; what was
        before the first of them looked like it."""
        self.past[rows] = past_actions(controls, self.past.shape[1])[:, -1]
        for i in range(self.shown.shape[1]):
            self.shown[rows, i] = latents[max(len(latents) - 1 - i, 0)]

    def step(self, controls: Controls, heads: Prediction, latent: torch.Tensor, world: torch.Tensor) -> Prediction:
        """All lanes, in worlds of indices ``world (B,)``, make a step under ``controls (B, 1)`` to what ``heads`` say
        and to ``latent (B, C, h, w)``, which they show from now; the same with what the referee says where it judges.
        """
        self.past = with_newest(self.past, controls)
        before, self.shown = self.shown, torch.cat([latent[:, None], self.shown[:, :-1]], dim=1)
        if not self._has_a_say:
            return heads
        said = heads.context[:, 0], heads.reward[:, 0], heads.done[:, 0]
        reward, done = self._referee(before, self.past, *said, self._heard)
        judged = self._judged[world]
        reward, done = torch.where(judged[:, None], reward, said[1]), torch.where(judged, done, said[2])
        return replace(heads, reward=reward[:, None], done=done[:, None])

    def get_lane(self, lane: int) -> dict[str, torch.Tensor]:
        """What the next steps of a lane are read from, on the CPU."""
        return {"shown": self.shown[lane].cpu().clone(), "past": self.past[lane].cpu().clone()}

    def set_lane(self, lane: int, held: dict[str, torch.Tensor]) -> None:
        """Puts what ``get_lane`` gave into ``lane``."""
        for name, own in (("shown", self.shown), ("past", self.past)):
            own[lane] = held[name].to(own.device)
