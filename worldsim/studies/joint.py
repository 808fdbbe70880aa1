"""Does one model of many worlds learn each as well as a model of that world alone?

The joint model draws worlds in equal shares and is trained for as many steps as all single models together, so each
world has had as many steps, and as many clips, in either; all models have the same size, first weights, codec and
latents. The joint one has more steps to share between worlds, and a single one all of its parameters for one world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from worldsim.studies.errors import EpisodeErrors, episode_errors
from worldsim.studies.runs import Material, check_budget, check_held_out, trained
from worldsim.training.configs import WorldTrainConfig
from worldsim.worlds import world_named

WITHIN = 1.1
"""The joint model's loss over the single one's, at most."""
JOINT = "joint"


@dataclass(frozen=True)
class Compared:
    """An episode of a world that no model was trained on, by the joint model and by the one of its world alone."""

    joint: EpisodeErrors
    single: EpisodeErrors


def check(config: WorldTrainConfig, worlds: Sequence[str]) -> tuple[str, ...]:
    """The names of the ``worlds``, each once.

    Raises ``ValueError`` for fewer than two, an unknown one, a budget of minutes, and shares that are not equal.
    """
    check_budget(config)
    if config.clips.shares:
        raise ValueError(f"clips.shares={config.clips.shares}: the joint model draws its worlds in equal shares")
    names = tuple(dict.fromkeys(world_named(world).name for world in worlds))
    if len(names) < 2:
        raise ValueError(f"a joint model needs two worlds or more; given: {', '.join(names) or 'none'}")
    return names


def study(
    config: WorldTrainConfig, material: Material, worlds: Sequence[str], out: Path, count: int
) -> dict[str, list[Compared]]:
    """Trains the models in ``out`` that are not there yet; by world, the held-out episodes with ``count`` clips each.

    ``config.optim.steps`` is of each world. Raises ``ValueError`` for what ``check`` refuses and for held-out episodes
    that are shorter than a clip, before anything is trained.
    """
    worlds = check(config, worlds)
    together = material.only(worlds)
    check_held_out(config, together.held_out)
    steps = config.optim.steps * len(worlds)
    joint = trained(out / JOINT, replace(config, optim=replace(config.optim, steps=steps)), together)
    found = {}
    for world in worlds:
        alone = material.only([world])
        single = trained(out / world, config, alone)
        errors = [list(episode_errors(model.world, alone.held_out_latents, config, count)) for model in (joint, single)]
        found[world] = [Compared(*pair) for pair in zip(*errors, strict=True)]
    return found
