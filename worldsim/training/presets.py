"""Whole configurations of a training run: ``smoke`` (a minute), ``cpu`` (two cores, hours), ``gpu`` (ten minutes).

One recipe scales from smoke test to shipped model: the presets differ in numbers only. Each is a function that returns
a complete frozen configuration, of which the command line overrides single fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from worldsim.diffusion.conditions import LevelMix
from worldsim.model.codec import CodecConfig
from worldsim.model.factnet import FactNetConfig
from worldsim.model.player import PlayerConfig
from worldsim.model.referee import RefereeConfig
from worldsim.model.transformer import WorldModelConfig, tiny_config
from worldsim.training.clips import ClipConfig
from worldsim.training.native import PackConfig
from worldsim.training.shares import named_shares


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule: warm-up, constant, then linear decay over the last ``decay`` share of the run.

    ``minutes`` ends the run by the clock as well (0 = by steps only, which is what makes a run repeatable).
    """

    steps: int = 1000
    minutes: float = 0.0
    batch: int = 32
    lr: float = 1e-3
    warmup: int = 100
    decay: float = 0.25
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    muon: bool = False
    seed: int = 0


@dataclass(frozen=True)
class RunConfig:
    """Where a run writes, and how often: ``log_every``, ``probe_every`` and ``save_every`` are in steps.

    ``threads`` of PyTorch on the CPU (0 = PyTorch's choice); ``bf16`` autocast; ``compile`` the networks, which takes
    a minute or two and, on a CPU, a C++ compiler;
    ``export_minutes`` between exports of the averaged weights (0 = at the end only).
    """

    device: str = "auto"
    threads: int = 0
    bf16: bool = True
    compile: bool = False
    log_every: int = 20
    probe_every: int = 200
    save_every: int = 200
    export_minutes: float = 0.0


@dataclass(frozen=True)
class CodecTrainConfig:
    """Training of the codec. ``images`` single frames stand beside ``optim.batch`` blocks; weights are of the losses.

    ``latent_noise`` is the standard deviation of the noise added to the latents, which keeps their space smooth;
    ``shifted`` the share of steps whose latents are shifted by a few pixels and must decode to the shifted picture.
    ``shares`` weighs worlds, those that it does not name by 1.
    """

    codec: CodecConfig = field(default_factory=CodecConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    images: int = 6
    l1: float = 1.0
    mse: float = 2.0
    features: float = 0.5
    latent_scale: float = 0.01
    latent_noise: float = 0.03
    shifted: float = 0.5
    shares: dict[str, float] = field(default_factory=dict)
    pool_blocks: int = 60_000
    start_blocks: int = 2_000

    def __post_init__(self) -> None:
        if self.start_blocks > self.pool_blocks:
            raise ValueError(
                f"start_blocks={self.start_blocks}: a pool of {self.pool_blocks} blocks never holds as many"
            )
        object.__setattr__(self, "shares", named_shares(self.shares))


@dataclass(frozen=True)
class WorldTrainConfig:
    """Training of the transformer on latents.

    ``clips.length`` is 2 to 4 windows; ``pack.tokens`` turns on packs of samples of several sizes; ``singles`` are
    one-frame samples per clip of the batch, ``singles_weight`` that of their loss. ``change_most`` bounds the weight of
    tokens that change; ``weight_floor`` is the weight of pure noise in the ramp over signal levels; ``reward_weight``
    and ``done_weight`` are of the heads. ``own_context`` is the share of steps whose context the model predicts itself,
    up to ``own_depth`` steps ahead. ``shortcut_from`` is the progress at which the shortcut term starts (1 = never),
    ``shortcut_rows`` the share of clips it takes. Without a cache, training begins when ``start_blocks`` steps have
    been played, and about as many wait at most. Probes are taken on ``probe_clips`` held-out clips, 4 or more:
    sizes beside the smallest are probed on a quarter of them.
    """

    world: WorldModelConfig = field(default_factory=WorldModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    levels: LevelMix = field(default_factory=LevelMix)
    clips: ClipConfig = field(default_factory=ClipConfig)
    pack: PackConfig = field(default_factory=PackConfig)
    singles: float = 2.0
    singles_weight: float = 0.25
    own_context: float = 0.0
    own_depth: int = 3
    change_most: float = 8.0
    weight_floor: float = 0.1
    reward_weight: float = 0.05
    done_weight: float = 0.1
    shortcut_from: float = 0.67
    shortcut_rows: float = 0.25
    image_every: int = 6
    start_blocks: int = 2_000
    probe_clips: int = 96

    def __post_init__(self) -> None:
        if self.probe_clips < 4:
            raise ValueError(f"probe_clips={self.probe_clips}: a probe takes 4 held-out clips or more")


@dataclass(frozen=True)
class MemoryTrainConfig:
    """Training of a codec's memory, which is one with a panorama where ``panorama`` says so, and with ``geometry``,
    and in whose flow the picture has a say where ``pictured`` does.

    ``depths`` are the relative shares of steps whose shown frame is the true one, the decoder's own from one step ago,
    from two, and so on; ``blank`` the share of moments that are shown nothing and decoded from true latents,
    ``true_latents`` the share of the others that are, ``unknown_travel`` that of moments which are not told how far the
    camera went before. ``features``, ``colours``, ``flow``, ``share`` and ``travel`` weigh the losses of edges, of the
    carried frame, of its flow and of its share, and of the camera's travel. ``decoder_coarse_depth`` is what remains of
    the decoder's deep blocks. ``probe_steps`` is the length of the rollouts in probes.
    """

    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    depths: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)
    blank: float = 0.15
    true_latents: float = 0.2
    features: float = 0.7
    colours: float = 0.5
    flow: float = 0.3
    share: float = 0.3
    travel: float = 0.3
    unknown_travel: float = 0.1
    decoder_coarse_depth: int = 1
    panorama: bool = True
    geometry: bool = True
    pictured: bool = True
    probe_steps: int = 8


@dataclass(frozen=True)
class HeadsTrainConfig:
    """Training of reward and termination on the model's own rollouts.

    ``optim.batch`` lanes begin together from a true frame and up to ``prefix`` steps after it, and go on for
    ``horizon`` steps, each of which is a training step; ``drop_text`` is the share of lanes that are told nothing, and
    of those without a view. The weights are of the two losses; ``probe_every`` is the distance of the held-out moments
    that probes begin from.
    """

    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    horizon: int = 16
    prefix: int = 6
    drop_text: float = 0.2
    reward_weight: float = 0.3
    done_weight: float = 1.0
    probe_every: int = 8


@dataclass(frozen=True)
class RefereeTrainConfig:
    """Training of the referee on situations, made once: up to ``moments`` recorded steps, and ``rounds`` times
    ``lanes`` rollouts of ``horizon`` steps that know up to ``prefix`` steps before; ``drop_text`` of them are told
    nothing. A round is of one world, ``turns`` after each other and from the first again (none: all worlds there are).
    Without rounds a referee learns from true pictures alone; one that is to be asked ``alone`` should.

    A batch has ``optim.batch`` situations, of both kinds as many, of the worlds in equal ``shares`` but for those
    named, and of all outcomes of a world as many; from ``weighed_from`` of the run on they count as often as they
    are.
    ``unheard`` is the share of rollouts' steps at which the heads are not heard;
    ``blur`` and ``tint`` are noise and change of colour (of each cell, of each channel) that true pictures are spoilt
    by, as drawn ones are. The weights are of the two losses.
    """

    referee: RefereeConfig = field(default_factory=RefereeConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    moments: int = 60_000
    rounds: int = 40
    lanes: int = 64
    horizon: int = 16
    prefix: int = 6
    drop_text: float = 0.2
    turns: tuple[str, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    weighed_from: float = 0.8
    unheard: float = 0.25
    blur: float = 0.1
    tint: float = 0.1
    reward_weight: float = 1.0
    done_weight: float = 1.0

    def __post_init__(self) -> None:
        if min(self.moments, self.lanes, self.horizon) < 1 or self.rounds < 0 or not 0 <= self.unheard <= 1:
            raise ValueError("moments, lanes and horizon are at least 1, rounds at least 0, unheard is 0 to 1")
        if not 0 < self.weighed_from <= 1:
            raise ValueError(f"weighed_from={self.weighed_from}: above 0, at most 1")
        object.__setattr__(self, "shares", named_shares(self.shares))


@dataclass(frozen=True)
class PlayerTrainConfig:
    """Training of the player on how the episodes were played, whose policy is none of ``leave_out``.

    The model reads up to ``moments`` moments of them once, in clips of up to ``length`` latents, ``drop_text`` of which
    are told nothing; a batch then is ``optim.batch`` of these moments, the worlds in equal shares. ``hidden`` is the
    share of what was read that a batch hides, or a few thousand moments would be learned by heart.
    """

    player: PlayerConfig = field(default_factory=PlayerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    moments: int = 60_000
    length: int = 72
    drop_text: float = 0.1
    hidden: float = 0.2
    leave_out: tuple[str, ...] = ("random",)

    def __post_init__(self) -> None:
        if self.moments < 1 or self.length < 2 or not (0 <= self.drop_text <= 1 and 0 <= self.hidden < 1):
            raise ValueError("moments is at least 1, length at least 2 latents, drop_text 0 to 1, hidden 0 to below 1")


@dataclass(frozen=True)
class CaptionerTrainConfig:
    """Training of the captioner on up to ``moments`` moments of every world, of which ``held_out`` of validation maps
    serve the probes and the choice of thresholds. What fewer than ``at_least`` moments say cannot be learned and is no
    answer of its slots. ``strange`` is the share of a batch that shows no world at all.
    """

    net: FactNetConfig = field(default_factory=FactNetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    moments: int = 8000
    held_out: int = 400
    at_least: int = 5
    strange: float = 0.04

    def __post_init__(self) -> None:
        if min(self.moments, self.held_out, self.at_least) < 1 or not 0 <= self.strange < 1:
            raise ValueError("moments, held_out and at_least must be at least 1, and strange 0 to below 1")


@dataclass(frozen=True)
class Preset:
    """Runs that belong together."""

    codec: CodecTrainConfig
    world: WorldTrainConfig
    memory: MemoryTrainConfig
    heads: HeadsTrainConfig
    referee: RefereeTrainConfig
    player: PlayerTrainConfig
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
        replace(cpu().memory, run=replace(run, compile=False)),
        replace(cpu().heads, optim=replace(cpu().heads.optim, batch=512), run=replace(run, compile=False)),
        replace(cpu().referee, moments=400_000, rounds=100, lanes=512, run=replace(cpu().referee.run, threads=4)),
        replace(cpu().player, moments=400_000, run=replace(cpu().player.run, threads=4)),
        replace(cpu().captioner, run=replace(cpu().captioner.run, threads=4)),
    )


PRESETS = {"smoke": smoke, "cpu": cpu, "gpu": gpu}


def preset(name: str) -> Preset:
    """The preset called ``name``; ``ValueError`` with the known names otherwise."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]()
