"""``worldsim train STAGE``: from episodes to weights.

``codec`` trains the video compression network, ``latents`` encodes episodes with it into a cache, ``world`` trains
the transformer on such a cache, ``all`` does these in one command while the worlds play beside, ``refiner`` teaches
what corrects a trained transformer's predictions, ``memory`` teaches the decoder of a trained model to carry pixels
over, ``carrying`` chooses in which worlds it does, ``heads`` trains reward and termination on the model's own
rollouts, ``referee`` what has the last word on them, ``player`` what proposes actions where none are given,
``starter`` what draws first frames from text, ``solvers`` fits the few steps in which it completes pictures and draws
them again, ``revealer`` trains what says where an opened door is gone, ``captioner`` what captions recordings without
facts, ``narrow`` makes a trained transformer smaller, ``release`` a folder to ship. The presets are ``smoke`` (a
minute), ``cpu`` (hours on two cores), ``gpu`` (ten minutes). A run that was interrupted goes on where it was when the
same command is given again; ``solvers`` begins anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from worldsim.training.configs import (
    CaptionerTrainConfig,
    CodecTrainConfig,
    HeadsTrainConfig,
    MemoryTrainConfig,
    PlayerTrainConfig,
    RefereeTrainConfig,
    RefinerTrainConfig,
    RevealerTrainConfig,
    SolversTrainConfig,
    StarterTrainConfig,
    WorldTrainConfig,
)
from worldsim.training.presets import PRESETS, Preset, preset
from worldsim.training.sources import SourceConfig

if TYPE_CHECKING:
    from worldsim.model.codec import Codec
    from worldsim.model.weights import WorldSimulator


@dataclass(frozen=True)
class TrainCodec:
    """Train the codec; exports OUT/codec. ``begin`` is an exported codec, or a model folder whose codec is the start of
    the run."""

    out: Path
    train: CodecTrainConfig
    begin: Path | None = None
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class EncodeLatents:
    """Encode the source's episodes with CODEC into the cache, appending to what is there.

    A `train world` that runs on the same cache takes up new shards as they come.
    """

    codec: Path
    cache: Path
    image_every: int
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainWorld:
    """Train the world model on latents of CODEC (an exported codec or a model folder); exports OUT/model.

    ``cache`` holds the latents; where it is empty it is filled from the source first. Without a cache the source's
    episodes are encoded as they come, beside training. ``begin`` is a model folder whose weights are the start of the
    run, instead of fresh ones (its codec must be CODEC).
    """

    out: Path
    codec: Path
    train: WorldTrainConfig
    cache: Path | None = None
    begin: Path | None = None
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainRefiner:
    """Give the transformer of MODEL (a model folder) a refiner, or go on with the one that it has; exports OUT/model.

    The rest of the model stays as it is.
    """

    out: Path
    model: Path
    train: RefinerTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class Narrow:
    """Make the transformer of MODEL (a model folder) smaller: its modulations through RANK numbers, fitted to the
    source's episodes; exports OUT/model. Everything else stays as it is.
    """

    out: Path
    model: Path
    rank: int = 64
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainMemory:
    """Teach the codec of MODEL (a model folder) to carry pixels from frame to frame; exports OUT/model."""

    out: Path
    model: Path
    train: MemoryTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class ChooseCarrying:
    """Choose in which worlds MODEL (a model folder with a memory) carries pictures over and in which it draws each
    anew, by rollouts along the source's held-out episodes; exports OUT/model. Nothing is trained. Worlds of ``keep``
    are carried whatever is found.
    """

    out: Path
    model: Path
    horizon: int = 16
    keep: tuple[str, ...] = ()
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainHeads:
    """Train the heads of MODEL (a model folder) on its own rollouts; exports OUT/model."""

    out: Path
    model: Path
    train: HeadsTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainReferee:
    """Give MODEL (a model folder) a referee, from recorded moments and its own rollouts; exports OUT/model.

    The rest of the model stays as it is.
    """

    out: Path
    model: Path
    train: RefereeTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainPlayer:
    """Give MODEL (a model folder) a player, from how the source's episodes were played; exports OUT/model.

    The rest of the model stays as it is, and so does its digest.
    """

    out: Path
    model: Path
    train: PlayerTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainStarter:
    """Give MODEL (a model folder) a starter, from single frames of the source's episodes and what is said of them;
    exports OUT/model, whose folder starter/ begins worlds for every model with the same encoder.

    The rest of the model stays as it is, and so does its digest.
    """

    out: Path
    model: Path
    train: StarterTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainSolvers:
    """Fit solvers to the starter of MODEL (a model folder, or a packaged model): few steps that complete pictures and
    draw them again as its sampler does in many; exports OUT/model, whose folder starter/ has them.

    The rest of the model stays as it is, and so does its digest.
    """

    out: Path
    model: Path
    train: SolversTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainRevealer:
    """Give the starter of MODEL (a model folder, or a packaged model) a revealer, from worlds that play live: it says
    what of a picture is gone when a door opens, by use or by text, so that the starter draws what lies behind; exports
    OUT/model, whose folder starter/ has it.

    The rest of the model stays as it is, and so does its digest.
    """

    out: Path
    model: Path
    train: RevealerTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


@dataclass(frozen=True)
class TrainCaptioner:
    """Train a captioner on the facts of recordings; exports OUT/captioner.

    ``data`` are folders of recordings: episodes of training maps to learn from, and some of validation maps.
    """

    out: Path
    data: tuple[Path, ...]
    train: CaptionerTrainConfig


@dataclass(frozen=True)
class TrainAll:
    """Train codec and world model in one go, with worlds playing beside both; exports OUT/world/model.

    ``begin`` is an exported codec, or a model folder whose codec is the start of the run; ``begin_world`` a model
    folder whose transformer is, instead of fresh weights.
    """

    out: Path
    codec: CodecTrainConfig
    world: WorldTrainConfig
    begin: Path | None = None
    begin_world: Path | None = None
    source: SourceConfig = field(default_factory=SourceConfig)


def _codec(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.pipeline import train_codec

    args = tyro.cli(TrainCodec, default=TrainCodec(tyro.MISSING, chosen.codec), args=argv, prog="worldsim train codec")
    train_codec(args.train, args.source, args.out, None if args.begin is None else codec_of(args.begin))


@dataclass(frozen=True)
class Release:
    """Make a model folder to ship: MODEL (an exported folder inside its run), a bank of starts, a card.

    ``starts`` is their number per world; ``more_starts`` has another for single worlds, such as DoomBasic 128.
    ``hardware`` and ``data`` are sentences for the card, whose title is ``name`` (default: that of the folder OUT).
    Where MODEL is of the run of a memory, of heads or of a referee, ``world_run``, ``memory_run`` and ``heads_run`` are
    those before it. ``player`` is a folder of the same model with a player (that `worldsim train player` exported),
    which is taken over; ``starter`` is the folder of a starter (``model/starter`` in the run of `worldsim train
    starter`, or of `worldsim train solvers` or `revealer`) of the same encoder.
    """

    model: Path
    codec_run: Path
    out: Path
    hardware: str
    data: str
    starts: int = 24
    more_starts: dict[str, int] = field(default_factory=dict)
    name: str | None = None
    world_run: Path | None = None
    memory_run: Path | None = None
    heads_run: Path | None = None
    player: Path | None = None
    starter: Path | None = None


def _release(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.release import release

    args = tyro.cli(Release, args=argv, prog="worldsim train release")
    simulator = release(**vars(args))
    print(f"{args.out}: digest {simulator.digest}")


def _latents(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.pipeline import fill_cache

    default = EncodeLatents(tyro.MISSING, tyro.MISSING, chosen.world.image_every)
    args = tyro.cli(EncodeLatents, default=default, args=argv, prog="worldsim train latents")
    fill_cache(args.source, codec_of(args.codec), args.cache, args.image_every)


def _world(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.pipeline import train_world

    default = TrainWorld(tyro.MISSING, tyro.MISSING, chosen.world)
    args = tyro.cli(TrainWorld, default=default, args=argv, prog="worldsim train world")
    begin = None if args.begin is None else _opened(args.begin).world
    train_world(args.train, args.source, codec_of(args.codec), args.out, args.cache, begin)


_ON_MODEL: dict[
    str,
    type[
        TrainRefiner | TrainMemory | TrainHeads | TrainReferee | TrainPlayer | TrainStarter | TrainSolvers
        | TrainRevealer
    ],
] = {
    "refiner": TrainRefiner, "memory": TrainMemory, "heads": TrainHeads, "referee": TrainReferee, "player": TrainPlayer,
    "starter": TrainStarter, "solvers": TrainSolvers, "revealer": TrainRevealer,
}  # fmt: skip
"""Stages that train a part of a trained model on a source's episodes, by ``pipeline.train_<stage>``."""


def _on_model(stage: str, chosen: Preset, argv: list[str]) -> None:
    from worldsim.training import pipeline

    kind = _ON_MODEL[stage]
    default = kind(tyro.MISSING, tyro.MISSING, getattr(chosen, stage))
    args = tyro.cli(kind, default=default, args=argv, prog=f"worldsim train {stage}")
    getattr(pipeline, f"train_{stage}")(args.train, args.source, _opened(args.model), args.out)


def _narrow(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.narrow import narrowed
    from worldsim.training.sources import training_episodes

    args = tyro.cli(Narrow, default=Narrow(tyro.MISSING, tyro.MISSING), args=argv, prog="worldsim train narrow")
    args.source.check_ends("a narrower model")
    simulator, lost = narrowed(_opened(args.model), args.rank, training_episodes(args.source))
    simulator.save_pretrained(args.out / "model")
    print(f"{args.out / 'model'}: digest {simulator.digest}; {lost:.2%} of the modulations' variance is lost")


def _carrying(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.carrying import with_choice
    from worldsim.training.sources import held_out_episodes

    default = ChooseCarrying(tyro.MISSING, tyro.MISSING)
    args = tyro.cli(ChooseCarrying, default=default, args=argv, prog="worldsim train carrying")
    simulator, found = with_choice(_opened(args.model), held_out_episodes(args.source), args.horizon, args.keep)
    simulator.save_pretrained(args.out / "model")
    for world, (carried, drawn) in found.items():
        choice = "drawn" if world in simulator.config.drawn else "carried"
        print(f"{world:22s} carried {carried:.3f}  drawn {drawn:.3f}  {choice}")
    print(f"{args.out / 'model'}: digest {simulator.digest}")


def _captioner(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.captioner import train_captioner

    default = TrainCaptioner(tyro.MISSING, tyro.MISSING, chosen.captioner)
    args = tyro.cli(TrainCaptioner, default=default, args=argv, prog="worldsim train captioner")
    captioner = train_captioner(args.train, args.data, args.out)
    print(f"{args.out / 'captioner'}: digest {captioner.digest}")


def _all(chosen: Preset, argv: list[str]) -> None:
    from worldsim.training.pipeline import train_all

    default = TrainAll(tyro.MISSING, chosen.codec, chosen.world)
    args = tyro.cli(TrainAll, default=default, args=argv, prog="worldsim train all")
    begin = None if args.begin is None else codec_of(args.begin)
    begin_world = None if args.begin_world is None else _opened(args.begin_world).world
    train_all(args.codec, args.world, args.source, args.out, begin, begin_world)


def codec_of(model: str | Path) -> Codec:
    """The codec of an exported codec's folder, of a model's folder, or of a packaged model."""
    from worldsim.training.codec import load_codec

    return load_codec(Path(model)) if (Path(model) / "state.json").exists() else _opened(model).codec


def _opened(model: str | Path) -> WorldSimulator:
    """The model in a folder, or the packaged one of this name."""
    from worldsim.model.weights import WorldSimulator

    folder = Path(model)
    return WorldSimulator.from_pretrained(folder if (folder / "config.json").is_file() else str(model))


_STAGES: dict[str, Callable[[Preset, list[str]], None]] = {
    "codec": _codec,
    "latents": _latents,
    "world": _world,
    "refiner": partial(_on_model, "refiner"),
    "narrow": _narrow,
    "memory": partial(_on_model, "memory"),
    "carrying": _carrying,
    "heads": partial(_on_model, "heads"),
    "referee": partial(_on_model, "referee"),
    "player": partial(_on_model, "player"),
    "starter": partial(_on_model, "starter"),
    "solvers": partial(_on_model, "solvers"),
    "revealer": partial(_on_model, "revealer"),
    "all": _all,
    "captioner": _captioner,
    "release": _release,
}
_WITHOUT_PRESET = ("narrow", "carrying", "release")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="worldsim train",
        description="Train the parts of a simulator, or make a folder to ship of them.",
        epilog="More options: worldsim train WHAT --help",
        add_help=not argv or argv[0] in ("-h", "--help"),
    )  # fmt: skip
    parser.add_argument("what", choices=list(_STAGES))
    parser.add_argument("--preset", choices=list(PRESETS), help="default: cpu")
    known, rest = parser.parse_known_args(argv)
    if known.preset and known.what in _WITHOUT_PRESET:
        parser.error(f"{known.what} has no presets: --preset is for the stages that train; leave it out")
    _STAGES[known.what](preset(known.preset or "cpu"), rest)
    return 0
