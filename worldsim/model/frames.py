"""What the world model's passes take and give: records of tensors that belong to the frames of one group.

A group is any number of samples of one size and one duration: a batch of clips, the newest frame of every lane, or a
part of a pack. What does not depend on the noisy latents is prepared once and shared by all passes over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worldsim.model.attention import Rotation, TextKV, TimeCache

# B worlds, T latent frames, C latent channels, H W latent grid, N patch tokens of a frame, D width, K learned moves


@dataclass(frozen=True)
class Prediction:
    """``x`` clean latents ``(B, T, C, H, W)``, ``reward`` logits ``(B, T, bins)``, ``done`` logits ``(B, T)``, and what
    these were read from: ``registers (B, T, R, D)`` and ``context (B, T, D)`` of action, goal and world."""

    x: torch.Tensor
    reward: torch.Tensor
    done: torch.Tensor
    registers: torch.Tensor
    context: torch.Tensor


@dataclass(frozen=True)
class Prepared:
    """What all passes over the same frames share.

    ``vector (B, T, D)`` is the frame vector but for level and step size; ``stem (B, T, N, D)`` what tokens hold besides
    the noisy patch; ``past (B, T, P, C, H, W)`` the best estimates of the latents before, the latest first, ``moved
    (B*T, K, C, H, W)`` what each learned move makes of that one; ``rotation`` is of space; ``text`` keys and values per
    layer; ``heads (B, T, D)`` what conditions reward and termination; ``action (B, T, D)`` describes the actions, and
    ``world (B,)`` is the index of each world.
    """

    vector: torch.Tensor
    stem: torch.Tensor
    past: torch.Tensor
    moved: torch.Tensor
    rotation: Rotation
    text: list[TextKV]
    heads: torch.Tensor
    action: torch.Tensor
    world: torch.Tensor


@dataclass(frozen=True)
class PreparedStep:
    """``Prepared`` for one new frame, with the ring that its passes look at."""

    frame: Prepared
    caches: Sequence[TimeCache]
    slot: int
    mask: torch.Tensor


@dataclass(frozen=True)
class Noisy:
    """Latents ``z (B, T, C, H, W)`` at ``tau (B, T)`` with step sizes (None: 0), and what was prepared of them. ``z``
    is None where nothing is known of them, at a level of 0: that costs less than noise does, or zeros."""

    z: torch.Tensor | None
    tau: torch.Tensor
    step_size: torch.Tensor | None
    prepared: Prepared
