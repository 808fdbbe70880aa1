"""A small untrained simulator with a bank of starts, for whatever needs a dream but not a good one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.bank import Bank, StartFacts
from worldsim.model.codec import CodecConfig
from worldsim.model.text import TextConfig
from worldsim.model.transformer import WorldModelConfig
from worldsim.model.weights import SimulatorConfig, WorldSimulator


@pytest.fixture(scope="session")
def model() -> WorldSimulator:
    """Its latent statistics are not the neutral ones, so that normalisation shows."""
    codec = CodecConfig(latent_channels=8, fine_width=16, coarse_width=16, fine_depth=1, coarse_depth=1)
    world = WorldModelConfig(
        latent_channels=8, width=32, heads=2, depth=2, mlp_width=32, text=TextConfig(), refiner=None
    )
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    facts = [StartFacts(1_000_000 + i, "", "", "") for i in range(2)]
    bank = Bank({"DoomBasic": frames}, {"DoomBasic": facts})
    simulator = WorldSimulator.create(SimulatorConfig(codec=codec, world=world), bank=bank)
    simulator.codec.latent_mean += 0.3
    simulator.codec.latent_std *= 2
    return simulator


@pytest.fixture(scope="session")
def model_folder(model: WorldSimulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "tiny")
