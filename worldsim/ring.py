"""The ring of what each lane remembers: keys and values of its last W latents, and the latents just before
the next.

All lanes write to the same slot, ``step mod W``, so tensors keep their shape and address however lanes begin
and end; ``held`` says which slots belong to a lane's present episode, and positions are ages in seconds. A
lane's part can be taken out and put into any lane of any ring of the same model, whatever slots they are at.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from worldsim.model.attention import TimeCache
from worldsim.model.transformer import PAST, WorldModel

# B lanes, W window, C h w latent


class Ring:
    """Memory of the last ``window`` latents of ``lanes`` lanes with ``tokens`` patch tokens per frame; the next
    ``advance`` is after ``slot``."""

    def __init__(
        self,
        world: WorldModel,
        lanes: int,
        tokens: int,
        window: int,
        latent_shape: tuple[int, int, int],
        dtype: torch.dtype,
        device: torch.device,
        slot: int = 0,
    ) -> None:
        self.window = window
        self.slot = slot % self.window
        self.caches = world.empty_caches(lanes, tokens, window, dtype, device)
        self.held = torch.zeros(lanes, self.window, dtype=torch.bool, device=device)
        self.past = torch.zeros(lanes, PAST, *latent_shape, device=device)
        """The latest latents, context noise included, as the next one follows them, the last first; zeros where there
        is none."""
        self.past_tau = torch.full((lanes, PAST), -1.0, device=device)
        """Their signal levels, -1 where there is none."""
        self._slots = torch.arange(self.window, device=device)

    def advance(self) -> None:
        """Goes on to the next slot, which the coming latent is written to; the oldest one is given up for
        it."""
        self.slot = (self.slot + 1) % self.window
        self.held[:, self.slot] = True

    def remember(self, context: torch.Tensor, tau: torch.Tensor) -> None:
        """``context (B, C, h, w)`` at ``tau (B,)`` is the latest latent now, as the next one follows it."""
        self.past = torch.cat([context[:, None], self.past[:, :-1]], dim=1)
        self.past_tau = torch.cat([tau[:, None], self.past_tau[:, :-1]], dim=1)

    def ages(self, seconds: torch.Tensor) -> torch.Tensor:
        """Seconds ``(B, W)`` before the newest latent, where a step takes ``seconds (B,)``."""
        return ((self.slot - self._slots) % self.window)[None] * seconds[:, None]

    def clear(self, rows: torch.Tensor) -> None:
        """Forgets everything of some lanes."""
        self.held[rows] = False
        self.past[rows] = 0.0
        self.past_tau[rows] = -1.0
        for cache in self.caches:
            cache.k[rows] = 0.0  # a value that is not finite would spread even if masked: 0 times NaN is NaN
            cache.v[rows] = 0.0

    def of(self, rows: torch.Tensor) -> Ring:
        """Another ring, whose lanes are these of this one; one may be taken more than once."""
        made = copy.copy(self)
        made.held, made.past, made.past_tau = self.held[rows], self.past[rows], self.past_tau[rows]
        made.caches = [TimeCache(cache.k[rows], cache.v[rows], cache.aged[rows]) for cache in self.caches]
        return made

    def put(self, rows: torch.Tensor, other: Ring) -> None:
        """Lanes ``rows`` become the lanes of ``other``, which is at the same slot."""
        if other.slot != self.slot:
            raise ValueError(f"rings at slots {self.slot} and {other.slot} cannot be joined")
        self.held[rows] = other.held
        self.past[rows], self.past_tau[rows] = other.past, other.past_tau
        for own, new in zip(self.caches, other.caches):
            own.k[rows], own.v[rows] = new.k, new.v

    def get_lane(self, lane: int) -> dict[str, Any]:
        """A lane's memory on the CPU, its slots in order of age."""
        by_age = (self.slot - self._slots) % self.window
        return {
            "past": self.past[lane].cpu().clone(),
            "past_tau": self.past_tau[lane].cpu().clone(),
            "held": self.held[lane, by_age].cpu(),
            "k": torch.stack([cache.k[lane][:, :, by_age].cpu() for cache in self.caches]),
            "v": torch.stack([cache.v[lane][:, :, by_age].cpu() for cache in self.caches]),
        }

    def set_lane(self, lane: int, memory: dict[str, Any]) -> None:
        """Puts what ``get_lane`` gave into ``lane``; ``ValueError`` for frames of another size."""
        own = self.caches[0].k
        if memory["k"].shape[1:] != own.shape[1:]:
            raise ValueError("this state is of frames of another size than this engine's")
        by_age = (self.slot - self._slots) % self.window
        self.past[lane] = memory["past"].to(own.device)
        self.past_tau[lane] = memory["past_tau"].to(own.device)
        self.held[lane, by_age] = memory["held"].to(own.device)
        for cache, k, v in zip(self.caches, memory["k"], memory["v"]):
            cache.k[lane][:, :, by_age] = k.to(own.device, own.dtype)
            cache.v[lane][:, :, by_age] = v.to(own.device, own.dtype)
