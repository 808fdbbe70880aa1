"""What a training run can be told: a frozen dataclass for each stage, which the command line shows as its options.

The values here are defaults; ``presets.py`` has those that suit a machine and a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from worldsim.captions.facts import EVENT_KINDS
from worldsim.diffusion.conditions import LevelMix
from worldsim.model.codec import CodecConfig
from worldsim.model.factnet import FactNetConfig
from worldsim.model.player import PlayerConfig
from worldsim.model.referee import RefereeConfig
from worldsim.model.refiner import RefinerConfig
from worldsim.model.revealer import RevealerConfig
from worldsim.model.starternet import StarterNetConfig
from worldsim.model.transformer import WorldModelConfig
from worldsim.training.clips import ClipConfig
from worldsim.training.native import PackConfig
from worldsim.training.shares import named_shares
from worldsim.worlds import WORLDS


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

    ``threads`` of PyTorch on the CPU (0 = PyTorch's choice); ``bf16`` autocast, where the device multiplies it
    natively; ``compile`` the networks, which takes a minute or two and, on a CPU, a C++ compiler; ``export_minutes``
    between exports of the averaged weights (0 = at the end only).
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
    and ``done_weight`` are of the heads. ``expecting`` is the share of steps in which all frames are expected at once,
    as the one pass of a step does it (above 0, the model's engines keep that pass's keys and values), ``own_context``
    that of the others whose context the model predicts itself, both up to ``own_depth`` steps ahead. ``shortcut_from``
    is the progress at which the shortcut term starts (1 = never), ``shortcut_rows`` the share of clips it takes.
    Without a cache, training begins when ``start_blocks`` steps have been played, and about as many wait at most.
    Probes are taken on ``probe_clips`` held-out clips, 4 or more: sizes beside the smallest are probed on a quarter of
    them.
    """

    world: WorldModelConfig = field(default_factory=WorldModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    levels: LevelMix = field(default_factory=LevelMix)
    clips: ClipConfig = field(default_factory=ClipConfig)
    pack: PackConfig = field(default_factory=PackConfig)
    singles: float = 2.0
    singles_weight: float = 0.25
    expecting: float = 0.0
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
        if not 0 <= self.expecting <= 1 or not 0 <= self.own_context <= 1:
            raise ValueError(
                f"expecting={self.expecting}, own_context={self.own_context}: accepted are 0 to 1, shares of "
                "the steps and of those that are left"
            )


@dataclass(frozen=True)
class MemoryTrainConfig:
    """Training of a codec's memory, which is one with a panorama where ``panorama`` says so, and with ``geometry``,
    and in whose flow the picture has a say where ``pictured`` does.

    ``depths`` are the relative shares of steps whose shown frame is the true one, the decoder's own from one step ago,
    from two, and so on; ``blank`` the share of moments that are shown nothing and decoded from true latents,
    ``true_latents`` the share of the others that are, ``unknown_travel`` that of moments which are not told how far the
    camera went before. ``features``, ``colours``, ``flow``, ``share`` and ``travel`` weigh the losses of edges, of the
    carried frame, of its flow and of its share, and of the camera's travel. ``decoder_fine_depth`` and
    ``decoder_coarse_depth`` are what remains of the decoder's last and deep blocks. ``probe_steps`` is the length of
    the rollouts in probes.
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
    decoder_fine_depth: int = 3
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
    of those without a view. Lanes are of the worlds in equal ``shares`` but for those named. The weights are of the two
    losses; ``probe_every`` is the distance of the held-out moments that probes begin from.
    """

    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    horizon: int = 16
    prefix: int = 6
    drop_text: float = 0.2
    shares: dict[str, float] = field(default_factory=dict)
    reward_weight: float = 0.3
    done_weight: float = 1.0
    probe_every: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", named_shares(self.shares))


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
class RefinerTrainConfig:
    """Training of the refiner of a frozen transformer.

    A batch has ``optim.batch`` recorded moments, of the worlds in equal ``shares`` but for those named. Tokens that
    change weigh up to ``change_most`` times those that stand still. In ``own`` of the batches the latest latent before
    is the model's own, and ``noise`` is the most that is added to those before, as a share of their spread.
    """

    refiner: RefinerConfig = field(default_factory=RefinerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    shares: dict[str, float] = field(default_factory=dict)
    change_most: float = 16.0
    own: float = 0.5
    noise: float = 0.1

    def __post_init__(self) -> None:
        if self.change_most < 1 or not 0 <= self.own <= 1 or self.noise < 0:
            raise ValueError("change_most is at least 1, own 0 to 1, noise at least 0")
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
class StarterTrainConfig:
    """Training of a starter on single frames, up to ``moments`` of each world and every ``every``-th of an episode;
    where worlds play beside it without an end, on the latest ``moments`` of each, from ``start_steps`` steps of play.

    A batch has ``optim.batch`` of them, of the worlds in equal ``shares`` but for those named. ``drop_text`` is the
    share that is told nothing, ``drop_scene`` and ``drop_view`` of those that are told only the other. Ratios of noise
    to signal are lognormal with ``level_mean`` and ``level_spread``. ``complete`` is the share, of moments of the
    worlds that it ``completes``, that is learned from what was seen of it and the scene alone; what was seen is spoilt
    by noise of up to ``spoil``, since what will be completed are completions too. ``steps``, ``guidance``,
    ``complete_steps`` and ``complete_guidance`` are of the draws.
    """

    net: StarterNetConfig = field(default_factory=StarterNetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    moments: int = 40_000
    every: int = 3
    start_steps: int = 2000
    shares: dict[str, float] = field(default_factory=dict)
    drop_text: float = 0.1
    drop_scene: float = 0.05
    drop_view: float = 0.1
    level_mean: float = 0.2
    level_spread: float = 1.3
    completes: tuple[str, ...] = ("DoomRooms", "DoomMyWayHome")
    complete: float = 0.5
    spoil: float = 0.1
    steps: int = 16
    guidance: float = 3.0
    complete_steps: int = 8
    complete_guidance: float = 1.0

    def __post_init__(self) -> None:
        counts = (self.moments, self.every, self.start_steps, self.steps, self.complete_steps)
        if min(counts) < 1 or self.level_spread <= 0:
            raise ValueError(
                "moments, every, start_steps, steps and complete_steps are at least 1, level_spread above 0"
            )
        able = [name for name, spec in WORLDS.items() if spec.lens is not None]
        if not set(self.completes) <= set(able):
            raise ValueError(f"completes={self.completes}: accepted are worlds with a lens: {', '.join(able)}")
        shares = (self.drop_text, self.drop_scene, self.drop_view, self.complete)
        if not all(0 <= share <= 1 for share in shares) or self.spoil < 0 or self.drop_scene + self.drop_view > 1:
            raise ValueError(
                "drop_text, drop_scene, drop_view and complete are shares, spoil is at least 0; drop_scene and "
                "drop_view are at most 1 together"
            )
        object.__setattr__(self, "shares", named_shares(self.shares))


@dataclass(frozen=True)
class SolversTrainConfig:
    """Fitting of a starter's solvers, ``complete_steps`` and ``redraw_steps`` of them, to what its sampler makes in
    ``reference_steps``: on ``moments`` of the worlds that it completes, every ``every``-th of an episode, in ``steps``
    of ``batch`` moments with Adam's ``lr``. Figures are of ``held_out`` moments of validation maps. What is drawn again
    is a part of a picture that was ``magnified`` by a factor between these two."""

    complete_steps: int = 4
    redraw_steps: int = 3
    moments: int = 384
    held_out: int = 64
    every: int = 6
    reference_steps: int = 32
    steps: int = 300
    batch: int = 16
    lr: float = 8e-3
    magnified: tuple[float, float] = (1.5, 5.0)
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.complete_steps, self.redraw_steps, self.moments, self.held_out, self.every, self.steps)
        if min(*counts, self.reference_steps, self.batch) < 1 or not 0 < self.lr < math.inf:
            raise ValueError("all numbers of steps and moments, every and batch are at least 1, and lr above 0")
        if not 1 <= self.magnified[0] <= self.magnified[1]:
            raise ValueError(f"magnified={self.magnified}: accepted are two rising factors of at least 1")


@dataclass(frozen=True)
class RevealerTrainConfig:
    """Training of the revealer. A batch has ``optim.batch`` moments, in shares of those in which what was done takes
    something away (``acted``) or does not (``nothing``), of those that are told of it alone (``told``; in ``nameless``
    of these without a colour), and of those that are told of ``another`` door than any in the picture. Pictures are
    spoilt by noise of ``spoil`` at most or so.

    How long what is taken away is gone is measured in episodes of ``watch_max`` steps, ``watch`` steps in all that are
    played live for it (0: what the revealer's ``lasts`` says), in which events of ``returns`` tell that it is back.
    """

    revealer: RevealerConfig = field(default_factory=RevealerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    acted: float = 0.3
    nothing: float = 0.2
    told: float = 0.25
    another: float = 0.25
    nameless: float = 0.2
    spoil: float = 0.15
    watch: int = 0
    watch_max: int = 160
    returns: tuple[str, ...] = ("door_closes",)

    def __post_init__(self) -> None:
        if not set(self.returns) <= set(EVENT_KINDS):
            raise ValueError(f"returns={self.returns}: accepted are {', '.join(EVENT_KINDS)}")
        if self.watch and self.revealer.lasts is not None:
            raise ValueError(
                f"lasts={self.revealer.lasts} is given and watch={self.watch} would measure it: watch 0 steps"
            )
        if self.watch < 0 or self.watch_max < 1:
            raise ValueError(f"watch={self.watch}, watch_max={self.watch_max}: at least 0 and 1 steps")
        shares = (self.acted, self.nothing, self.told, self.another)
        if min(shares) < 0 or not sum(shares) or not 0 <= self.nameless <= 1 or self.spoil < 0:
            raise ValueError(f"{shares}: shares are at least 0 and not all 0, nameless is 0 to 1, spoil at least 0")


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
