"""What each episode of a run is: a pure function of the run's seed and the episode's number.

So a run can be spread over any number of processes, stopped and resumed, and episode i stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.worlds import SPLITS


@dataclass(frozen=True)
class EpisodePlan:
    """Draws of one episode. ``goal_draw`` in [0, 1) decides on a goal once the map is known; ``frame_size`` is (H, W),
    None for that of the run; ``cuts`` are the steps that are to be cuts (``shots.py``)."""

    index: int
    world: str
    policy: str
    map_seed: int
    goal_draw: float
    policy_seed: int
    frame_size: tuple[int, int] | None = None
    cuts: tuple[int, ...] = ()


def parse_mixture(mixture: str | Sequence[str]) -> tuple[tuple[str, float], ...]:
    """``"explorer:0.6,random:0.4"`` (or the items as a sequence) as names with weights that sum to 1.

    A name without a weight weighs 1. Raises ``ValueError`` for an empty mixture, a name that stands twice, or
    a weight that is not above 0.
    """
    items = mixture.split(",") if isinstance(mixture, str) else list(mixture)
    weights: dict[str, float] = {}
    for item in items:
        name, colon, tail = item.strip().rpartition(":")
        try:
            weight = float(tail) if colon else 1.0
        except ValueError:  # the colon belongs to the name, as in "module:World-v0"
            colon, weight = "", 1.0
        name = name if colon else item.strip()
        if not name or not weight > 0 or not np.isfinite(weight):
            raise ValueError(f"{item!r} is not name or name:weight with a weight above 0")
        if name in weights:
            raise ValueError(f"{name!r} stands twice in {mixture!r}")
        weights[name] = weight
    total = sum(weights.values())
    return tuple((name, weight / total) for name, weight in weights.items())


def parse_sizes(mixture: Sequence[str]) -> tuple[tuple[tuple[int, int], float], ...]:
    """``("64x64:2", "64x128")``, H x W in pixels, as sizes with weights that sum to 1.

    Raises ``ValueError`` for what is not a size, and for what ``parse_mixture`` refuses.
    """
    found = []
    for name, weight in parse_mixture(mixture):
        sides = name.lower().split("x")
        if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
            raise ValueError(f"{name!r} is no frame size: HxW in pixels is accepted, such as 64x128")
        found.append(((int(sides[0]), int(sides[1])), weight))
    return tuple(found)


def draw_size(index: int, seed: int, sizes: Sequence[tuple[tuple[int, int], float]]) -> tuple[int, int]:
    """The frame size of episode ``index``, drawn apart from what ``plan_episode`` draws."""
    rng = np.random.default_rng([seed, index, 1])
    return sizes[int(rng.choice(len(sizes), p=[weight for _, weight in sizes]))][0]


def plan_episode(
    index: int,
    seed: int,
    worlds: Sequence[tuple[str, float]],
    policies: Sequence[tuple[str, float]],
    split: str,
) -> EpisodePlan:
    """The draws of episode ``index``: the same for equal arguments, independent between episodes."""
    rng = np.random.default_rng([seed, index])
    world = _draw(worlds, rng)
    policy = _draw(policies, rng)
    low, high = SPLITS[split]
    return EpisodePlan(
        index, world, policy, int(rng.integers(low, high)), float(rng.random()), int(rng.integers(2**31))
    )


def _draw(weighted: Sequence[tuple[str, float]], rng: np.random.Generator) -> str:
    names = [name for name, _ in weighted]
    return names[int(rng.choice(len(names), p=[weight for _, weight in weighted]))]
