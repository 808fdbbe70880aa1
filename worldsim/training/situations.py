"""Situations that a referee learns from: what a step began from, and what it paid in truth.

Of two kinds. Moments of recorded episodes have true pictures, cost the codec alone, and so there are many; moments of
the model's own rollouts along the episodes have the pictures that it draws, which are what a referee will be shown, and
what the heads said of them. Half of the rollouts lead up to something that is rare, each kind of it alike: most steps
of most worlds pay what nearly every step pays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from worldsim.actions import multi_hot
from worldsim.model.conditioning import ACTED, FIRST, Controls
from worldsim.model.player import past_actions
from worldsim.model.referee import Referee, RefereeConfig
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.columns import Columns
from worldsim.training.latents import encode_episode
from worldsim.training.recorded import Place
from worldsim.training.rollouts import Rollouts, able
from worldsim.worlds import WORLDS

# M moments, S latents that are seen, A last actions, P numbers of an action, D width, R bins, T latents of an episode


@dataclass(frozen=True)
class Situations(Columns):
    """What a referee reads, half precision: ``shown (M, S, C, h, w)``, ``past (M, A, P)``, ``context (M, D)``, the
    heads' logits ``said_reward (M, R)`` and ``said_done (M,)``, ``heard (M,)`` whether there are any; and the truth:
    ``reward`` and ``done (M,)`` float32, ``world (M,)`` indices, ``outcome (M,)`` as of ``outcomes``."""

    shown: torch.Tensor
    past: torch.Tensor
    context: torch.Tensor
    said_reward: torch.Tensor
    said_done: torch.Tensor
    heard: torch.Tensor
    reward: torch.Tensor
    done: torch.Tensor
    world: torch.Tensor
    outcome: torch.Tensor


def outcomes(episode: Episode) -> np.ndarray:
    """int64 ``(T,)``: what each step led to, in kinds. Rewards that are about as large are alike, and whether the
    episode ended is told apart."""
    size = np.sign(episode.reward) * np.log1p(np.abs(episode.reward))
    return np.round(2 * size).astype(np.int64) * 2 + episode.terminated


class Watcher:
    """A frozen ``simulator`` that makes situations for referees of ``config``, on ``device``."""

    def __init__(
        self,
        simulator: WorldSimulator,
        config: RefereeConfig,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        with torch.random.fork_rng(devices=[]):
            self.simulator = simulator.with_referee(Referee(config, simulator.config.world))
        self.codec, self.world = simulator.modules(device, torch.float32)

    @torch.no_grad()
    def recorded(self, episode: Episode) -> Situations:
        """All steps of an ``episode`` without cuts, as recorded."""
        encoded, spec, n = encode_episode(episode, self.codec, len(episode) + 1), WORLDS[episode.world], len(episode)
        acted = torch.tensor([[FIRST] + [ACTED] * n], device=self.device)
        keys = torch.from_numpy(np.pad(multi_hot(episode.keys), ((1, 0), (0, 0))))[None]
        camera = torch.from_numpy(np.pad(episode.camera, ((1, 0), (0, 0))))[None]
        controls = Controls(keys.to(self.device), camera.to(self.device), acted)
        goal = self.world.encode_text([episode.goal], "goal")[:, 0]
        context = self.world.context(controls, goal, torch.tensor([spec.index], device=self.device))[0, 1:]
        before = (torch.arange(n)[:, None] - torch.arange(self.config.seen)).clamp(min=0)
        heads = self.world.heads.reward.out_features
        return Situations(
            shown=encoded.z[before].half().cpu(),
            past=past_actions(controls, self.config.past)[0, 1:].half().cpu(),
            context=context.half().cpu(),
            said_reward=torch.zeros(n, heads).half(),
            said_done=torch.zeros(n).half(),
            heard=torch.zeros(n, dtype=torch.bool),
            reward=torch.from_numpy(episode.reward),
            done=torch.from_numpy(episode.terminated).float(),
            world=torch.full((n,), spec.index),
            outcome=torch.from_numpy(outcomes(episode)),
        )

    def rolled_out(
        self, places: Sequence[Place], rng: np.random.Generator, horizon: int, prefix: int, drop_text: float
    ) -> Situations:
        """Up to ``horizon`` steps after ``places`` as the simulator draws them, see ``Rollouts.begin``."""
        rollouts = Rollouts.begin(self.simulator, places, rng, prefix, drop_text, self.device, self.dtype)
        lanes = rollouts.engine.referee
        assert lanes is not None
        worlds = torch.tensor([WORLDS[episode.world].index for episode, _ in places])
        found = []
        for _ in range(horizon):
            now, shown = list(rollouts.places), lanes.shown.half().cpu()
            (registers, context), reward, done, going = rollouts.step()
            said_reward, said_done = self.simulator.world.heads(registers.cpu(), context.cpu())
            outcome = torch.tensor([int(outcomes(e)[min(t, len(e) - 1)]) for e, t in now])
            said_done, heard = said_done[:, 0], torch.ones(len(now), dtype=torch.bool)
            whole = Situations(
                shown, lanes.past.half().cpu(), context[:, 0].half().cpu(), said_reward[:, 0].half(),
                said_done.half(), heard, reward, done, worlds, outcome,
            )  # fmt: skip
            found.append(whole.rows(going))
        rollouts.close()
        return Situations.joined(found)


def places_before(episodes: Sequence[Episode], count: int, horizon: int, rng: np.random.Generator) -> list[Place]:
    """Places that ``count`` rollouts begin from, half of them before a step to a kind of outcome that is not the
    commonest, where there are any, each kind as often."""
    every = [place for episode in episodes for place in able(episode, horizon)]
    kinds = Counter(kind for episode in episodes for kind in outcomes(episode).tolist())
    before: list[list[Place]] = []
    for kind, _ in kinds.most_common()[1:]:
        steps = {id(episode): np.flatnonzero(outcomes(episode) == kind) for episode in episodes}
        before.append([(e, t) for e, t in every if np.any((steps[id(e)] >= t) & (steps[id(e)] < t + horizon))])
    pools = [before[i % len(before)] or every for i in range(count // 2)] if before else []
    pools += [every] * (count - len(pools))
    return [pool[int(rng.integers(len(pool)))] for pool in pools]
