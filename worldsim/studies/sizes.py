"""Is one model, trained in packs on frames of several sizes, of use at each of them?

One model is trained on all sizes at once (``training/packs.py``) and asked at each by itself: the next latent against
copying the last one, and free-running rollouts under the recorded actions against what needs no model at all. A model
that fell apart at a size would be worse than the best of these floors there. Errors of pictures are squared errors per
pixel and channel with values in [0, 1], of the last frame of each step, as ``docs/benchmarks.md`` has it: a value at
horizon h is over the steps in (h/2, h].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim.model.weights import WorldSimulator
from worldsim.passes import pick_device
from worldsim.recording.episode import Episode
from worldsim.studies.errors import EpisodeErrors, episode_errors
from worldsim.studies.runs import Material, check_held_out, trained
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.world import dream

CONTEXT = 6
"""True steps before a rollout."""
HORIZONS = (4, 16)
FLOORS = ("frozen", "grey", "other")
"""The last true frame for ever, the mean of the true frames so far, and what another episode shows at these steps."""


@dataclass(frozen=True)
class Rollout:
    """Squared errors ``(T,)`` of the steps after the context of one held-out episode, by what is shown: the model's
    ``dream``, or one of ``FLOORS``."""

    map_seed: int
    errors: dict[str, np.ndarray]

    def at(self, horizon: int) -> dict[str, float]:
        """Their means over the steps in (h/2, h]."""
        return {name: float(error[horizon // 2 : horizon].mean()) for name, error in self.errors.items()}


@dataclass(frozen=True)
class AtSize:
    """What the model does at one size, H x W in pixels."""

    size: tuple[int, int]
    following: list[EpisodeErrors]
    rollouts: list[Rollout]


def study(config: WorldTrainConfig, material: Material, out: Path, count: int) -> list[AtSize]:
    """Trains the model in ``out`` unless it is there, and asks it at each size of the held-out episodes, of ``count``
    clips each; smaller sizes first. Raises ``ValueError`` for what ``check`` refuses, before anything is trained."""
    check(config, material.held_out)
    model = trained(out / "sizes", config, material)
    found = []
    for size in _sizes(material.held_out):
        chosen = [i for i, episode in enumerate(material.held_out) if episode.frame_size == size]
        latents = [material.held_out_latents[i] for i in chosen]
        following = list(episode_errors(model.world, latents, config, count))
        found.append(AtSize(size, following, rollouts(model, [material.held_out[i] for i in chosen])))
    return found


def check(config: WorldTrainConfig, held_out: Sequence[Episode]) -> None:
    """Raises ``ValueError`` for held-out episodes shorter than a clip, and sizes with fewer than two that are long
    enough for a rollout."""
    check_held_out(config, held_out)
    for size in _sizes(held_out):
        _able([episode for episode in held_out if episode.frame_size == size], CONTEXT)


def _sizes(episodes: Sequence[Episode]) -> list[tuple[int, int]]:
    return sorted({e.frame_size for e in episodes}, key=lambda size: (size[0] * size[1], size))


def _able(episodes: Sequence[Episode], context: int) -> list[Episode]:
    """Those that are long enough for a rollout; two or more, else ``ValueError``."""
    steps = context + max(HORIZONS)
    able = [episode for episode in episodes if len(episode) >= steps]
    if len(able) < 2:
        size = "x".join(map(str, episodes[0].frame_size)) if episodes else "any size"
        raise ValueError(
            f"{len(able)} held-out episodes of {size} have the {steps} steps of a rollout; two or more are needed "
            "(source.held_out, source.max_steps)"
        )
    return able


def rollouts(model: WorldSimulator, episodes: Sequence[Episode], context: int = CONTEXT) -> list[Rollout]:
    """Free-running rollouts after ``context`` true steps of each of ``episodes``, which have one size.

    Raises ``ValueError`` for fewer than two episodes of ``context`` and the longest horizon's steps.
    """
    steps, able = max(HORIZONS), _able(episodes, context)
    shown = dream(model, able, context, steps, pick_device("auto"))
    found = []
    for number, (episode, dreamt) in enumerate(zip(able, shown, strict=True)):
        before, true = np.split(_unit(episode.observations[: context + steps + 1]), [context + 1])
        another = able[(number + 1) % len(able)].observations
        made = {
            "dream": _unit(dreamt),
            "frozen": before[-1:],
            "grey": before.mean(keepdims=True),
            "other": _unit(another[context + 1 : context + steps + 1]),
        }
        errors = {name: np.square(frames - true).mean((1, 2, 3)) for name, frames in made.items()}
        found.append(Rollout(episode.map_seed, errors))
    return found


def best_floor(found: Sequence[Rollout], horizon: int) -> str:
    """The floor whose mean error at ``horizon`` is least."""
    return min(FLOORS, key=lambda name: sum(rollout.at(horizon)[name] for rollout in found))


def _unit(frames: np.ndarray) -> np.ndarray:
    """uint8 frames as float32 in [0, 1]."""
    return frames.astype(np.float32) / 255
