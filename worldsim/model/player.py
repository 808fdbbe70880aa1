"""The player: what somebody who plays a world would do next, as a distribution over the 32 actions.

A video model that is told of a game goes on with it, player and all. A world model that is conditioned on actions has
to be given them, and given its learned "no action" it draws the mean of all moves. Here the two are factored exactly,
p(action, next latent | history) = p(action | history) p(next latent | history, action): a small head, trained by
behaviour cloning (Pomerleau 1989) on how the recordings were played, proposes an action, and the world is stepped under
it. It reads what the reward and termination heads read, the registers of a step's last pass and the vector of action,
goal and world, so it costs no pass of the network; beside them the last few actions, since whoever plays goes on with
what they do. Actions that a world does not read have no probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.actions import NUM_ACTIONS, NUM_KEYS
from worldsim.model.conditioning import ACTED, Controls
from worldsim.worlds import WORLDS

if TYPE_CHECKING:
    from worldsim.model.transformer import WorldModelConfig

# B lanes or moments, T latent frames, R registers, D width of the world model, A last actions, P numbers of an action

DEGREES = 14.0
"""Camera motion that counts as 1: a turn."""
ACTION_NUMBERS = 1 + NUM_KEYS + 2
"""Numbers of a past action: whether there was one, its keys, its camera motion."""


@dataclass(frozen=True)
class PlayerConfig:
    """``width`` of the hidden layers; ``past`` is how many of the last actions are read, at least the one before."""

    width: int = 40
    past: int = 8

    def __post_init__(self) -> None:
        if self.width < 1 or self.past < 1:
            raise ValueError(f"width={self.width} and past={self.past} of a player: both are at least 1")


class Player(nn.Module):
    """What the heads read, the last actions and the world to logits over the action ids, ``-inf`` where the world does
    not read one."""

    def __init__(self, config: PlayerConfig, world: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.seen = nn.Linear(world.registers * world.width, width)
        self.context = nn.Linear(world.width, width, bias=False)
        self.past = nn.Linear(config.past * ACTION_NUMBERS, width, bias=False)
        self.mix = nn.Linear(width, width)
        self.action = nn.Linear(width, NUM_ACTIONS)
        nn.init.zeros_(self.action.weight)
        nn.init.zeros_(self.action.bias)
        self.register_buffer("readable", readable_actions(world.worlds), persistent=False)

    readable: torch.Tensor

    def forward(
        self, registers_BRD: torch.Tensor, context_BD: torch.Tensor, past_BAP: torch.Tensor, world_B: torch.Tensor
    ) -> torch.Tensor:
        """Logits float32 ``(B, 32)``; ``world_B`` are indices of worlds."""
        registers = F.rms_norm(registers_BRD.float(), registers_BRD.shape[-1:])  # they carry the residual stream
        x = self.seen(registers.flatten(1)) + self.context(context_BD.float()) + self.past(past_BAP.float().flatten(1))
        logits = self.action(F.silu(self.mix(F.silu(x))))
        return logits.masked_fill(~self.readable[world_B], -torch.inf)


def readable_actions(worlds: int) -> torch.Tensor:
    """bool ``(worlds, 32)``: the action ids that the world of each row reads, noop always among them; rows of no world
    read noop alone."""
    found = torch.zeros(worlds, NUM_ACTIONS, dtype=torch.bool)
    found[:, 0] = True
    for spec in WORLDS.values():
        if spec.index < worlds:
            found[spec.index, torch.from_numpy(spec.world_actions)] = True
    return found


def action_numbers(controls: Controls) -> torch.Tensor:
    """``(B, T, P)`` of the actions behind frames, zeros where there was none or it is not known."""
    acted = (controls.known == ACTED)[..., None].float()
    return acted * torch.cat([torch.ones_like(acted), controls.keys.float(), controls.camera.float() / DEGREES], dim=-1)


def past_actions(controls: Controls, count: int) -> torch.Tensor:
    """``(B, T, A, P)``: at each frame the ``count`` last actions, first the one that produced it."""
    numbers = action_numbers(controls)
    padded = F.pad(numbers, (0, 0, count - 1, 0))
    frames = numbers.shape[1]
    return torch.stack([padded[:, count - 1 - i : count - 1 - i + frames] for i in range(count)], dim=2)


def with_newest(past_BAP: torch.Tensor, controls: Controls) -> torch.Tensor:
    """Last actions after one more step, under ``controls (B, 1)``."""
    return torch.cat([action_numbers(controls), past_BAP[:, :-1]], dim=1)
