"""What the environment needs of a world model, whatever its family: lanes that begin, step, and can be saved.

``RolloutEngine`` keeps this protocol and so do the baselines, so that ``SoraWorld-v0``, the benchmarks and
the agents run any of them. A predictor has a fixed number of *lanes*, each a world of its own: its own start,
seed, text, goal. Lanes never influence each other. Everything is torch on the predictor's device; numpy
begins at the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch

from worldsim.worlds import WorldSpec

# B lanes, K frames of a block, C latent channels, H W frame size, h w latent grid

BLOCK_FRAMES = 4
"""Frames of a returned block, whatever the world's k: shorter blocks repeat their last frame."""

TextKind = Literal["scene", "view", "event"]


@dataclass(frozen=True)
class LaneText:
    """Text of a lane: what holds for the episode, what is seen when it begins, and the goal (heads only).

    Empty strings are "not said". ``scene`` already carries the world's name.
    """

    scene: str = ""
    view: str = ""
    goal: str = ""


@dataclass(frozen=True)
class LaneStart:
    """How a lane begins an episode.

    ``frames`` None starts from the text alone. Otherwise they are uint8 ``(F, H, W, 3)`` with ``actions`` int
    ``(n,)`` of action ids, where ``actions[i]`` produced block i: F = 1 + k*n is an episode from its reset
    frame on, F = k*n (n > 0) a clip from the middle. ``seed`` keys every random number of the episode.
    """

    world: WorldSpec
    seed: int
    text: LaneText = field(default_factory=LaneText)
    frames: np.ndarray | None = None
    actions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Block:
    """One step of all lanes (or the first frames of those that begin), each row a lane.

    ``frames`` uint8 ``(B, 4, H, W, 3)``; ``latent`` float32 ``(B, C, h, w)``; ``reward`` float32 ``(B,)``;
    ``termination`` float32 ``(B,)`` in [0, 1] and ``terminated`` bool ``(B,)`` sampled from it;
    ``hallucination`` float32 ``(B,)``, NaN where the predictor has no such signal; ``valid`` bool ``(B,)``,
    False where the lane's numbers stopped being finite: such rows hold zeros and the lane must begin again.
    ``reward_distribution`` float32 ``(B, R)`` is over the predictor's ``reward_values``.
    """

    frames: torch.Tensor
    latent: torch.Tensor
    reward: torch.Tensor
    termination: torch.Tensor
    terminated: torch.Tensor
    hallucination: torch.Tensor
    valid: torch.Tensor
    reward_distribution: torch.Tensor


class Predictor(Protocol):
    """A world model with ``lanes`` independent worlds; see the module's docstring."""

    lanes: int
    frame_size: tuple[int, int]
    latent_shape: tuple[int, int, int]
    device: torch.device
    reward_values: torch.Tensor

    def begin(self, lanes: Sequence[int], starts: Sequence[LaneStart]) -> Block:
        """Begins an episode in each of ``lanes`` and leaves the others as they are. Rows follow ``lanes``."""
        ...

    def step(self, keys: torch.Tensor, camera: torch.Tensor) -> Block:
        """Advances every lane: ``keys`` float ``(B, 32)`` multi-hot, ``camera`` float ``(B, 2)`` degrees per
        step."""
        ...

    def set_text(self, lanes: Sequence[int], texts: Sequence[str], kind: TextKind, steps: int = 4) -> None:
        """New text from the next step on; an event reverts after ``steps``; a scene clears the view."""
        ...

    def get_state(self, lane: int) -> dict[str, Any]:
        """Everything that the lane's future depends on: plain values and CPU tensors."""
        ...

    def set_state(self, lane: int, state: dict[str, Any]) -> None:
        """Continues in ``lane`` where ``state`` was taken, of this or an equal predictor."""
        ...

    def reconstruct(self, frames: torch.Tensor) -> torch.Tensor:
        """The ceiling of picture quality: uint8 blocks ``(B, K, H, W, 3)`` as the predictor could at best
        show them."""
        ...
