"""What a clip is conditioned on: the action behind each frame, and encoded text. Plain records of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worldsim.model.attention import TextKV

# B worlds, T latent frames, D width

ACTED, FIRST, UNKNOWN = 0, 1, 2
"""What is known of the action behind a frame: it is given; there was none (reset frame); it was dropped."""
NO_VIEW = -1
"""View age of a frame that has no view text."""


@dataclass(frozen=True)
class Controls:
    """What drives each frame of a clip.

    ``keys`` float ``(B, T, 32)`` multi-hot, ``camera`` float ``(B, T, 2)`` degrees per step, ``known`` int64
    ``(B, T)`` one of ``ACTED, FIRST, UNKNOWN``. Entry t belongs to the action that *produced* frame t.
    """

    keys: torch.Tensor
    camera: torch.Tensor
    known: torch.Tensor

    def frame(self, t: int) -> Controls:
        return Controls(self.keys[:, t : t + 1], self.camera[:, t : t + 1], self.known[:, t : t + 1])


@dataclass(frozen=True)
class TextTokens:
    """Encoded text: ``scene (B, 4, D)``, ``view (B, 6, D)`` with ages int64 ``(B, T)`` in steps, ``event
    (B, T, 1, D)``, ``goal (B, D)`` and world index int64 ``(B,)`` (the last two reach the heads only). ``read`` is
    what ``WorldModel.read_text`` makes of all this where it is known already."""

    scene: torch.Tensor
    view: torch.Tensor
    view_age: torch.Tensor
    event: torch.Tensor
    goal: torch.Tensor
    world: torch.Tensor
    read: list[TextKV] | None = None
