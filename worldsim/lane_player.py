"""The player of every lane: what it saw last, what it did last, and the action that it proposes next.

Drawn by the largest of logits plus Gumbel noise (Gumbel 1954; Maddison et al. 2014), which is a sample of the
distribution that the logits are of, and can never be an action of no probability. The noise is counted (lane seed,
step, use) like all noise of a rollout: a lane's play depends on no neighbour, and to ask twice is to be told the same.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from worldsim.actions import NUM_ACTIONS
from worldsim.diffusion import noise
from worldsim.model.conditioning import Controls
from worldsim.model.player import ACTION_NUMBERS, Player, past_actions, with_newest
from worldsim.model.transformer import Prediction, WorldModelConfig

NO_PLAYER = (
    "this model has no player, so every step needs an action. Train one with `worldsim train player --model MODEL "
    "--out OUT` and use the model in OUT/model."
)

# B lanes, M lanes that begin, T latent frames, A last actions


class LanePlayer:
    """``player`` at the controls of ``lanes`` lanes of a world model of sizes ``world``, on ``device``."""

    def __init__(self, player: Player, lanes: int, world: WorldModelConfig, device: torch.device) -> None:
        self._player = copy.deepcopy(player).to(device)
        self.registers = torch.zeros(lanes, world.registers, world.width, device=device)
        self.context = torch.zeros(lanes, world.width, device=device)
        self.past = torch.zeros(lanes, player.config.past, ACTION_NUMBERS, device=device)

    def begin(self, rows: torch.Tensor, controls: Controls, registers: torch.Tensor, context: torch.Tensor) -> None:
        """Lanes ``rows`` begin: ``controls (M, T)`` of what was given, and what a ``Prediction`` of the last of it
        holds as ``registers`` and ``context``."""
        self.past[rows] = past_actions(controls, self.past.shape[1])[:, -1]
        self._read(rows, registers, context)

    def saw(self, controls: Controls, read: Prediction) -> None:
        """All lanes made a step under ``controls (B, 1)``."""
        self.past = with_newest(self.past, controls)
        self._read(slice(None), read.registers, read.context)

    def _read(self, rows: torch.Tensor | slice, registers: torch.Tensor, context: torch.Tensor) -> None:
        self.registers[rows], self.context[rows] = registers[:, -1].float(), context[:, -1].float()

    def logits(self, world: torch.Tensor) -> torch.Tensor:
        """float32 ``(B, 32)`` over the coming action; ``world (B,)`` are indices."""
        return self._player(self.registers, self.context, self.past, world)

    def propose(self, world: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """int64 ``(B,)`` ids of the action after ``steps`` steps of lanes that are keyed by ``seeds``."""
        gumbel = -torch.log(-torch.log(noise.uniform(seeds, steps, "action", (NUM_ACTIONS,))))
        logits = self.logits(world)
        return torch.where(torch.isneginf(logits), logits, logits + gumbel).argmax(-1)

    def get_lane(self, lane: int) -> dict[str, Any]:
        """What the next proposals of a lane depend on, on the CPU."""
        held = {"registers": self.registers, "context": self.context, "past": self.past}
        return {name: value[lane].cpu().clone() for name, value in held.items()}

    def check(self, held: dict[str, Any] | None) -> None:
        """Raises ``ValueError`` for what ``get_lane`` of no player of these sizes gave."""
        if held is None or held["past"].shape != self.past.shape[1:]:
            raise ValueError("this state was taken without a player, or with one that reads more or fewer past actions")

    def set_lane(self, lane: int, held: dict[str, Any]) -> None:
        """Puts what ``get_lane`` gave, and ``check`` let pass, into ``lane``."""
        for name, own in (("registers", self.registers), ("context", self.context), ("past", self.past)):
            own[lane] = held[name].to(own.device)
