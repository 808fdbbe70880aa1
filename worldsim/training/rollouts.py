"""A model's own rollouts along recorded episodes: from true frames, under recorded actions, beside what was paid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from worldsim.engine import RolloutEngine
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart
from worldsim.recording.episode import Episode
from worldsim.training.recorded import Place, controls_at, start_at

# B lanes, R registers, D width


def able(episode: Episode, horizon: int) -> list[Place]:
    """What a rollout of ``horizon`` steps may begin from: half of it is left of the episode, if it is as long."""
    left = max(1, min(horizon, len(episode) + 1) // 2)
    return [(episode, t) for t in range(len(episode) + 1 - left)]


class Rollouts:
    """An engine's lanes on their way through recorded episodes."""

    def __init__(self, engine: RolloutEngine, places: Sequence[Place], starts: Sequence[LaneStart]) -> None:
        self.engine, self.places = engine, list(places)
        self._read: tuple[torch.Tensor, torch.Tensor] | None = None
        self._hook = self.engine.world.heads.register_forward_pre_hook(self._keep)
        self.block: Block = self.engine.begin(range(len(places)), starts)

    @classmethod
    def begin(
        cls,
        model: WorldSimulator,
        places: Sequence[Place],
        rng: np.random.Generator,
        prefix: int,
        drop_text: float,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> Rollouts:
        """Rollouts of a frozen ``model`` that know up to ``prefix`` steps before each of ``places``; ``drop_text`` of
        them are told nothing, and of the others no view."""
        starts = []
        for place in places:
            known = min(int(rng.integers(prefix + 1)), place[1])
            scene, view = rng.random(2) >= drop_text
            starts.append(start_at(place, known, int(rng.integers(2**31)), scene, scene and view))
        size = places[0][0].frame_size
        return cls(RolloutEngine(model, len(places), device, frame_size=size, dtype=dtype), places, starts)

    def _keep(self, module: torch.nn.Module, args: tuple[torch.Tensor, torch.Tensor]) -> None:
        self._read = args

    def close(self) -> None:
        """Heads, which engines of one model share, are no longer listened to."""
        self._hook.remove()

    def step(self) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
        """One step of all lanes under the recorded actions: what the heads are read from, ``(B, 1, R, D)`` and ``(B, 1,
        D)``; reward and termination of the recorded step, and whether there was one, ``(B,)`` each."""
        going = np.array([t < len(episode) for episode, t in self.places])
        acted = [(episode, min(t, len(episode) - 1)) for episode, t in self.places]
        self.block = self.engine.step(*controls_at(self.places))
        self.places = [(episode, t + 1) for episode, t in self.places]
        assert self._read is not None
        registers, context = (x.float().clone() for x in self._read)
        reward = torch.tensor([float(episode.reward[t]) for episode, t in acted])
        done = torch.tensor([float(episode.terminated[t]) for episode, t in acted])
        return (registers, context), reward, done, torch.from_numpy(going)
