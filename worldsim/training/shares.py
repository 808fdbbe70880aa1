"""Shares of the worlds in what a network learns from: equal, however much there is of each, unless a run weighs them.

A world that is learned later than others, or that looks more varied, needs more of a batch for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from worldsim.worlds import world_named


def named_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """``shares`` by the names of their worlds, which may be given by id.

    Raises ``ValueError`` for a weight that is not above 0, a world unknown, or one that is weighed twice.
    """
    named = {}
    for world, share in shares.items():
        if not (share > 0 and np.isfinite(share)):
            raise ValueError(f"shares: {world} has {share}: accepted are finite weights above 0")
        named[world_named(world).name] = share
    if len(named) < len(shares):
        raise ValueError(f"shares: {', '.join(shares)} name a world twice; give it one weight")
    return named


def check_held(shares: Mapping[str, float], held: Collection[str]) -> None:
    """Raises ``ValueError`` for shares of worlds that are not among those ``held``: they would change nothing."""
    if strange := [world for world in shares if world not in held]:
        raise ValueError(
            f"shares of {', '.join(strange)}: there are episodes of {', '.join(sorted(held)) or 'no world'} only"
        )


def draw_weighed(held: Sequence[str], shares: Mapping[str, float], count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` places in ``held``, drawn by the shares of the worlds there; those without one weigh 1."""
    weight = np.array([shares.get(world, 1.0) for world in held])
    if (weight == weight[0]).all():
        return rng.integers(len(held), size=count)
    return rng.choice(len(held), size=count, p=weight / weight.sum())
