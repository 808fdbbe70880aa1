"""Configurations of the models that a study trains several of: ``small``, and ``smoke`` to try a command out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from worldsim.model.transformer import WorldModelConfig
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.presets import cpu, smoke


def small() -> WorldTrainConfig:
    """The recipe of ``cpu`` with 2.2 million parameters."""
    config = cpu().world
    world = WorldModelConfig(width=128, heads=4, mlp_width=320, refiner=None)
    return replace(config, world=world, optim=replace(config.optim, steps=2000), singles=4.0)


PRESETS: dict[str, Callable[[], WorldTrainConfig]] = {"small": small, "smoke": lambda: smoke().world}
