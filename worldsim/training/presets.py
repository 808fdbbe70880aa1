"""Whole configurations of a training run: ``smoke`` (a minute), ``cpu`` (two cores, hours), ``gpu`` (ten minutes).

One recipe scales from smoke test to shipped model: the presets differ in numbers only. Each is a function that returns
a complete frozen configuration, of which the command line overrides single fields.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from worldsim.diffusion.conditions import LevelMix
from worldsim.model.codec import CodecConfig
from worldsim.model.factnet import FactNetConfig
from worldsim.model.player import PlayerConfig
from worldsim.model.referee import RefereeConfig
from worldsim.model.refiner import RefinerConfig
from worldsim.model.revealer import RevealerConfig
from worldsim.model.starternet import StarterNetConfig
from worldsim.model.text import TextConfig
from worldsim.model.transformer import tiny_config
from worldsim.training.clips import ClipConfig
from worldsim.training.configs import (
    CaptionerTrainConfig,
    CodecTrainConfig,
    HeadsTrainConfig,
    MemoryTrainConfig,
    OptimConfig,
    PlayerTrainConfig,
    RefereeTrainConfig,
    RefinerTrainConfig,
    RevealerTrainConfig,
    RunConfig,
    SolversTrainConfig,
    StarterTrainConfig,
    WorldTrainConfig,
)


@dataclass(frozen=True)
class Preset:
    """Runs that belong together."""

    codec: CodecTrainConfig
    world: WorldTrainConfig
    refiner: RefinerTrainConfig
    memory: MemoryTrainConfig
    heads: HeadsTrainConfig
    referee: RefereeTrainConfig
    player: PlayerTrainConfig
    starter: StarterTrainConfig
    solvers: SolversTrainConfig
    revealer: RevealerTrainConfig
    captioner: CaptionerTrainConfig


def smoke() -> Preset:
    """Seconds on one core: the same path with the smallest networks."""
    run = RunConfig(log_every=5, probe_every=20, save_every=20, threads=1)
    codec = CodecConfig(fine_width=16, coarse_width=32, fine_depth=1, coarse_depth=1, decoder_fine_depth=1)
    world = WorldTrainConfig(
        tiny_config(),
        OptimConfig(steps=40, batch=4, warmup=5, ema=0.9),
        run,
        clips=ClipConfig(length=12),
        singles=1.0,
        start_blocks=60,
    )
    return Preset(
        CodecTrainConfig(
            codec,
            OptimConfig(steps=40, batch=8, warmup=5, ema=0.9),
            run,
            images=2,
            pool_blocks=4000,
            start_blocks=60,
        ),
        world,
        RefinerTrainConfig(
            RefinerConfig(width=16, depth=1), OptimConfig(steps=40, batch=16, lr=3e-3, warmup=5, ema=0.9), run
        ),
        MemoryTrainConfig(OptimConfig(steps=20, batch=4, warmup=5, ema=0.9), run),
        HeadsTrainConfig(
            OptimConfig(steps=24, batch=4, warmup=5, ema=0.9),
            replace(run, probe_every=12, save_every=8),
            horizon=4,
            prefix=2,
        ),
        RefereeTrainConfig(
            RefereeConfig(width=8, hidden=16, past=3),
            OptimConfig(steps=40, batch=32, lr=1e-2, warmup=5, ema=0.9),
            run,
            moments=400,
            rounds=1,
            lanes=4,
            horizon=4,
            prefix=2,
        ),
        PlayerTrainConfig(
            PlayerConfig(width=16, past=3),
            OptimConfig(steps=40, batch=32, lr=1e-2, warmup=5, ema=0.9),
            run,
            moments=400,
            length=12,
        ),
        StarterTrainConfig(
            StarterNetConfig(
                width=32,
                heads=2,
                depth=1,
                mlp_width=48,
                modulation_rank=8,
                text=TextConfig(width=32, depth=1, heads=2, tokens=()),
            ),
            OptimConfig(steps=40, batch=16, lr=3e-3, warmup=5, ema=0.9),
            run,
            moments=300,
            steps=4,
        ),
        SolversTrainConfig(2, 2, moments=32, held_out=8, reference_steps=8, steps=20, batch=8),
        RevealerTrainConfig(RevealerConfig(width=8), OptimConfig(steps=40, batch=16, lr=3e-3, warmup=5, ema=0.9), run),
        CaptionerTrainConfig(
            FactNetConfig(fine_width=16, coarse_width=32, fine_depth=1, coarse_depth=1, width=32),
            OptimConfig(steps=40, batch=16, lr=3e-3, warmup=5, ema=0.9),
            run,
            moments=200,
            held_out=50,
        ),
    )


def cpu() -> Preset:
    """Two cores without a GPU: hours, resumable."""
    world = WorldTrainConfig(
        optim=OptimConfig(steps=20_000, batch=6, lr=2e-3, warmup=100, decay=0.9, muon=True),
        levels=LevelMix(shared=0.05, independent=0.2, following=0.6, blind=0.4),
        weight_floor=0.6,
        reward_weight=0.1,
        done_weight=0.3,
        singles=12.0,
        singles_weight=0.5,
        own_context=0.25,
        shortcut_from=1.0,
    )
    return Preset(
        CodecTrainConfig(optim=OptimConfig(steps=9500, batch=32, lr=1.4e-3, warmup=100, decay=0.9, muon=True)),
        world,
        RefinerTrainConfig(
            optim=OptimConfig(steps=40_000, batch=96, lr=2e-3, warmup=50, decay=0.9, ema=0.998, muon=True),
            run=RunConfig(log_every=250, probe_every=2_000, save_every=2_000),
        ),
        MemoryTrainConfig(OptimConfig(steps=12_000, batch=24, lr=1.4e-3, warmup=100, decay=0.9, muon=True)),
        HeadsTrainConfig(
            OptimConfig(steps=4_000, batch=64, lr=1e-3, warmup=100, decay=0.9),
            RunConfig(log_every=96, probe_every=800, save_every=800),
        ),
        RefereeTrainConfig(
            optim=OptimConfig(steps=1_500, batch=256, lr=5e-3, warmup=50, decay=0.9, weight_decay=0.05, ema=0.99),
            run=RunConfig(log_every=50, probe_every=250, save_every=500),
        ),
        PlayerTrainConfig(
            optim=OptimConfig(steps=2_000, batch=512, lr=2e-3, warmup=50, decay=0.9, weight_decay=0.1, ema=0.99),
            run=RunConfig(log_every=100, probe_every=200, save_every=1000),
        ),
        StarterTrainConfig(
            optim=OptimConfig(steps=6_000, batch=96, lr=2e-3, warmup=50, decay=0.9, ema=0.998, muon=True),
            run=RunConfig(log_every=50, probe_every=500, save_every=500),
        ),
        SolversTrainConfig(),
        RevealerTrainConfig(
            optim=OptimConfig(steps=3_000, batch=64, lr=3e-3, warmup=50, decay=0.9, weight_decay=0.05, ema=0.998),
            run=RunConfig(log_every=100, probe_every=500, save_every=500),
            watch=30_000,
        ),
        CaptionerTrainConfig(
            optim=OptimConfig(steps=4_000, batch=64, lr=1.4e-3, warmup=100, decay=0.9, ema=0.995, muon=True),
            run=RunConfig(log_every=100, probe_every=500, save_every=500, threads=1),
        ),
    )


def gpu() -> Preset:
    """Ten minutes on one data-centre GPU with worlds playing on all cores beside it.

    Few threads, since the worlds need the cores. The shortcut term is left out: it would take a fifth of the time.
    """
    run = RunConfig(compile=True, threads=4, log_every=10, probe_every=500, save_every=1_000_000, export_minutes=2.0)
    return Preset(
        CodecTrainConfig(
            optim=OptimConfig(steps=100_000, minutes=2.5, batch=512, lr=1.4e-3, warmup=100, decay=0.9, muon=True),
            run=run,
            images=64,
            pool_blocks=400_000,
            start_blocks=10_000,
        ),
        replace(
            cpu().world,
            optim=OptimConfig(
                steps=100_000, minutes=6.0, batch=128, lr=2.5e-3, warmup=50, decay=0.9, ema=0.997, muon=True
            ),
            run=run,
            singles=6.0,
            start_blocks=10_000,
        ),
        replace(cpu().refiner, optim=replace(cpu().refiner.optim, batch=512), run=replace(run, compile=False)),
        replace(cpu().memory, run=replace(run, compile=False)),
        replace(cpu().heads, optim=replace(cpu().heads.optim, batch=512), run=replace(run, compile=False)),
        replace(cpu().referee, moments=400_000, rounds=100, lanes=512, run=replace(cpu().referee.run, threads=4)),
        replace(cpu().player, moments=400_000, run=replace(cpu().player.run, threads=4)),
        replace(
            cpu().starter,
            moments=400_000,
            optim=replace(cpu().starter.optim, batch=512),
            run=replace(run, probe_every=1000),
        ),
        cpu().solvers,
        replace(cpu().revealer, run=replace(cpu().revealer.run, threads=4)),
        replace(cpu().captioner, run=replace(cpu().captioner.run, threads=4)),
    )


PRESETS = {"smoke": smoke, "cpu": cpu, "gpu": gpu}


def preset(name: str) -> Preset:
    """The preset called ``name``; ``ValueError`` with the known names otherwise."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]()
