"""A world simulator of a few hundred kilobytes with random weights, for tests and for trying out code.

The real classes with their smallest sizes. Layers that begin at zero in training are drawn at random here, so
that every input reaches every output: what a test compares does differ where it should.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from worldsim.bank import Bank, StartFacts
from worldsim.model.codec import CodecConfig, latents_digest
from worldsim.model.heads import REWARD_BINS
from worldsim.model.player import PlayerConfig
from worldsim.model.referee import RefereeConfig
from worldsim.model.starter import Starter, StarterConfig
from worldsim.model.starternet import StarterNetConfig
from worldsim.model.text import TextConfig
from worldsim.model.transformer import WorldModel, WorldModelConfig, tiny_config
from worldsim.model.weights import SimulatorConfig, WorldSimulator
from worldsim.worlds import WORLDS

_CODEC = CodecConfig(fine_width=8, coarse_width=16, fine_depth=1, coarse_depth=1, decoder_fine_depth=1)


def debug_bank(starts: int = 3, frame_size: tuple[int, int] = (64, 64), seed: int = 0) -> Bank:
    """``starts`` coloured noise pictures for every world, with captions."""
    rng = np.random.default_rng(seed)
    frames = {
        name: rng.integers(0, 256, (starts, *frame_size, 3)).astype(np.uint8) // np.uint8(1 + spec.index % 3)
        for name, spec in WORLDS.items()
    }
    facts = {
        name: [StartFacts(1_000_000 + i, "", spec.prompt, "a red wall") for i in range(starts)]
        for name, spec in WORLDS.items()
    }
    return Bank(frames, facts)


def debug_simulator(
    seed: int = 0,
    termination: float = 0.02,
    bank: bool = True,
    world: WorldModelConfig | None = None,
    shortcut: bool = False,
    memory: bool = False,
    player: bool = False,
    referee: bool = False,
    starter: bool = False,
) -> WorldSimulator:
    """A simulator whose worlds are noise that depends on everything it should depend on.

    ``termination`` is about the chance that a step ends the episode; ``world`` replaces the tiny transformer;
    ``memory``: the codec has one, with panorama, geometry, and a flow that the picture has a say in; ``player`` and
    ``referee``: there is one, whose actions or rewards follow what it reads; ``starter``: there is a ``debug_starter``.
    """
    config = SimulatorConfig(
        codec=replace(_CODEC, memory=memory, panorama=memory, geometry=memory, pictured=memory, decoder_coarse_depth=1),
        world=world or tiny_config(),
        latent_low=(-4.0,) * _CODEC.latent_channels,
        latent_high=(4.0,) * _CODEC.latent_channels,
        shortcut=shortcut,
        referee=RefereeConfig(width=8, hidden=16, past=3) if referee else None,
        player=PlayerConfig(width=16, past=3) if player else None,
        storage="float32",
    )
    simulator = WorldSimulator.create(config, seed, debug_bank() if bank else None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in (simulator.codec, simulator.world):
            for name, parameter in module.named_parameters():
                if parameter.ndim > 1 and not name.startswith(("codec", "text")):
                    fan_in = parameter[0].numel()
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
        simulator.codec.latent_std.fill_(0.5)
        simulator.world.motion_out.weight.mul_(0.05)  # kernels that amplify would make chaos of rounding
        if simulator.world.refiner is not None:
            simulator.world.refiner.out.weight.mul_(0.1)  # and so would corrections as large as the picture
        if simulator.codec.memory is not None:
            for parameter in simulator.codec.memory.parameters():
                parameter.mul_(0.3)  # and so would a picture that feeds on itself
        heads = simulator.world.heads
        heads.reward.bias.copy_(-2 * torch.linspace(-6, 6, REWARD_BINS).abs())  # mostly small rewards
        done = heads.done
        done.weight.mul_(0.3)
        done.bias.fill_(float(np.log(termination / (1 - termination))))
        if simulator.referee is not None:
            for last in (simulator.referee.reward, simulator.referee.done):
                last.weight.copy_(torch.randn(last.weight.shape, generator=generator))
        if simulator.player is not None:
            action = simulator.player.action.weight
            action.copy_(2 * torch.randn(action.shape, generator=generator))
    return simulator.with_starter(debug_starter(simulator, seed)) if starter else simulator


def debug_starter(simulator: WorldSimulator, seed: int = 0) -> Starter:
    """A tiny starter for all worlds of ``simulator`` whose parameters that begin at zero do not."""
    net = StarterNetConfig(
        patch=2, width=16, heads=1, depth=1, mlp_width=24, modulation_rank=4,
        text=TextConfig(width=16, depth=1, heads=1, tokens=()),
    )  # fmt: skip
    encoder, worlds = latents_digest(simulator.codec), simulator.config.worlds
    starter = Starter.create(
        StarterConfig(encoder, worlds, 4, 3.0, tuple(w for w in worlds if WORLDS[w].lens), 4, 2.0, net), seed
    )
    _stir(starter.net, seed)
    return starter


def debug_world(seed: int = 0) -> WorldModel:
    """A tiny transformer whose parameters that begin at zero do not, so that all of it takes part."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WorldModel(tiny_config())
    _stir(model, seed)
    return model


def _stir(module: nn.Module, seed: int) -> None:
    """Draws the parameters that are zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1, generator=generator)
