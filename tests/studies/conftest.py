"""What small studies are made of: synthetic episodes of two worlds, as they are and as latents."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from shades import make_episode

from worldsim.model.debug import debug_simulator
from worldsim.studies.runs import Material
from worldsim.training.configs import OptimConfig
from worldsim.training.latents import LatentStore, encode_episode
from worldsim.training.presets import preset


@pytest.fixture
def config():
    """Three steps of the smallest model."""
    smoke = preset("smoke").world
    optim = OptimConfig(steps=3, batch=2, warmup=1, ema=0.9)
    return replace(smoke, optim=optim, clips=replace(smoke.clips, length=8), probe_clips=4)


@pytest.fixture(scope="session")
def material():
    """Two training episodes and two held-out ones of each of two worlds."""
    codec = debug_simulator(bank=False).codec
    worlds = ("DoomRooms", "DoomBasic")
    episodes = [replace(make_episode(24, seed), world=world) for world in worlds for seed in range(4)]
    training, held_out = ([e for e in episodes if e.map_seed % 2 == parity] for parity in (0, 1))
    store = LatentStore([encode_episode(e, codec) for e in training])
    return Material(codec, store, tuple(held_out), tuple(encode_episode(e, codec) for e in held_out))
