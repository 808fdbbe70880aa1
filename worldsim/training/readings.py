"""What a player reads along recorded episodes, moment by moment, with the action that was taken there.

The world model and the codec are frozen, so each episode goes through them once, as the engine steps: true latents with
the context noise in causal mode, as a context pass sees them, or, for a model that keeps its expectations, each frame
expected from those before. An episode is cut into clips that overlap by one latent, since an action is known from the
latent after it; the first moments of a clip have little to look back on, as those of an episode that begins from a
prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np
import torch

from worldsim.actions import UNKNOWN_ACTION
from worldsim.diffusion import flow
from worldsim.model.conditioning import ACTED
from worldsim.model.player import past_actions
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.arena import Arena
from worldsim.training.clips import ClipConfig, Clips, assemble
from worldsim.training.columns import Columns
from worldsim.training.latents import encode_episode
from worldsim.worlds import WORLDS

# M moments, B clips, T latent frames, R registers, D width, A last actions, P numbers of an action


@dataclass(frozen=True)
class Readings(Columns):
    """``registers (M, R, D)``, ``context (M, D)`` and ``past (M, A, P)``, all half precision; ``world (M,)`` indices;
    the ``action (M,)`` that was taken and ``last (M,)``, the one before (``UNKNOWN_ACTION`` where there was none)."""

    registers: torch.Tensor
    context: torch.Tensor
    past: torch.Tensor
    world: torch.Tensor
    action: torch.Tensor
    last: torch.Tensor


class Reader:
    """A frozen simulator that reads episodes, but those whose policy is one of ``leave_out``, in clips of up to
    ``length`` latents; ``drop_text`` of the clips are told nothing. What is drawn depends on ``seed`` and an episode's
    number alone."""

    def __init__(
        self,
        simulator: WorldSimulator,
        past: int,
        length: int,
        drop_text: float,
        device: torch.device,
        dtype: torch.dtype,
        leave_out: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.codec, self.world = simulator.modules(device, dtype)
        self.tau = 1 - simulator.config.context_noise
        self.expecting = simulator.config.cache_mode == "reuse"
        self.past, self.length, self.drop_text = past, length, drop_text
        self.device, self.leave_out, self.seed = device, leave_out, seed

    def read_all(self, episodes: Iterable[Episode], most: int | None = None) -> Readings:
        """Readings of the episodes that are not ``leave_out``, whole ones, until there are ``most`` moments of them.
        Raises ``ValueError`` where none is left."""
        read: list[Readings] = []
        played = enumerate(e for e in episodes if e.policy not in self.leave_out)
        for number, episode in takewhile(lambda _: most is None or sum(map(len, read)) < most, played):
            read.append(self.read(episode, number))
        if not any(map(len, read)):
            raise ValueError(
                "there is no play to learn from: no episode of the source has known actions and a policy other than "
                f"{', '.join(self.leave_out)}. Give another source, or leave nothing out (--train.leave-out)."
            )
        return Readings.joined(read)

    @torch.no_grad()
    def read(self, episode: Episode, number: int) -> Readings:
        """All moments of ``episode`` at which an action of the 32 was taken."""
        encoded = encode_episode(episode, self.codec, image_every=len(episode) + 1)
        arena = Arena(encoded.z.shape[1:], self.device)
        arena.add(encoded)
        count = -(-len(episode) // (self.length - 1))
        length = -(-len(episode) // count) + 1
        starts = np.arange(count) * (length - 1)
        rng = np.random.default_rng([self.seed, number])
        config = ClipConfig(length, drop_text=self.drop_text, drop_action=0.0)
        clips = assemble(arena, np.zeros(count, np.int64), starts, config, rng).to(self.device)
        noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
        return self._read(clips, torch.randn(clips.z.shape, generator=noise).to(self.device), episode.world)

    def _read(self, clips: Clips, eps: torch.Tensor, world: str) -> Readings:
        b, t = clips.z.shape[:2]
        level = torch.full((b, t), self.tau, device=self.device)
        tau = level * (torch.arange(t, device=self.device) == 0) if self.expecting else level
        past = (flow.add_noise(clips.z, eps, level), level)
        causal = torch.zeros(b, dtype=torch.int64, device=self.device)
        words = replace(clips.words, event=torch.zeros_like(clips.words.event))  # nobody tells a rollout of events
        z, text = flow.add_noise(clips.z, eps, tau), words.encode(self.world)
        seen = self.world(z, tau, clips.controls, text, clips.seconds, causal, None, clips.valid, past)
        ids = _ids(clips, world)
        whole = Readings(
            registers=seen.registers[:, :-1].half().flatten(0, 1),
            context=seen.context[:, :-1].half().flatten(0, 1),
            past=past_actions(clips.controls, self.past)[:, :-1].half().flatten(0, 1),
            world=torch.full((b * (t - 1),), WORLDS[world].index, device=self.device),
            action=ids[:, 1:].flatten(),
            last=ids[:, :-1].flatten(),
        )
        return whole.rows(whole.action != UNKNOWN_ACTION).to(torch.device("cpu"))


def _ids(clips: Clips, world: str) -> torch.Tensor:
    """int64 ``(B, T)``: the action that produced each latent, ``UNKNOWN_ACTION`` where it is none of the 32, where
    there was none and past an episode's end."""
    keys = (clips.controls.keys.long() << torch.arange(32, device=clips.z.device)).sum(-1).flatten().cpu().numpy()
    camera = clips.controls.camera.flatten(0, 1).cpu().numpy()
    ids = torch.from_numpy(WORLDS[world].table.matching(keys.astype(np.uint32), camera).astype(np.int64))
    acted = clips.valid & (clips.controls.known == ACTED)
    return ids.to(acted.device).view_as(acted).masked_fill(~acted, UNKNOWN_ACTION)
