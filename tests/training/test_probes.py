"""Held-out probes of the world model, on clips of two worlds."""

from dataclasses import replace

import pytest
import torch
from shades import clips_from, make_episode

from worldsim.model.debug import debug_simulator
from worldsim.training.clips import ClipConfig
from worldsim.training.latents import encode_episode
from worldsim.training.probes import probe

CONFIG = ClipConfig(length=9, drop_text=0.0, drop_action=0.0, no_view=0.0)


def test_each_world_of_a_mixture_has_the_figures_that_it_has_alone():
    simulator = debug_simulator()
    picks = []
    for seed in range(8):
        episode = make_episode(steps=20, seed=seed)
        encoded = encode_episode(replace(episode, world=("DoomRooms", "Table")[seed % 2]), simulator.codec)
        picks.append((encoded, seed))
    with torch.no_grad():
        mixed = probe(simulator.world, clips_from(picks, CONFIG), torch.Generator().manual_seed(0))
        for row, world in enumerate(("DoomRooms", "Table")):
            alone = probe(simulator.world, clips_from(picks[row::2], CONFIG), torch.Generator().manual_seed(0))
            assert not [name for name in alone if "_of_" in name]
            error, ratio = (mixed[f"{name}_of_{world}"] for name in ("next_mse", "over_copy_last"))
            assert error == pytest.approx(alone["next_mse"], rel=0.1)  # an untrained model sees some of the noise
            assert error / ratio == pytest.approx(alone["next_mse"] / alone["over_copy_last"], rel=1e-5)  # of copying
            assert mixed[f"shuffled_over_true_of_{world}"] > 0
