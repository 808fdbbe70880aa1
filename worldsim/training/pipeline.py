"""The stages of a run put together: worlds play, the codec trains, latents are cached, the transformer trains.

``train_all`` does everything in one command: generators play in worker processes from the first second to the last,
the codec trains on the growing pool, is frozen, encodes what is there, and from then on every new episode goes straight
to the codec while the transformer trains. That is how a short time on a GPU machine is used.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from worldsim.model.codec import Codec
from worldsim.model.transformer import WorldModel
from worldsim.model.weights import WorldSimulator
from worldsim.passes import pick_device
from worldsim.recording.episode import Episode
from worldsim.recording.mixture import parse_mixture
from worldsim.training.cache_codec import claim_cache
from worldsim.training.codec import CodecTraining, without_memory
from worldsim.training.configs import (
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
from worldsim.training.heads import HeadsTraining
from worldsim.training.latents import LatentStore
from worldsim.training.loop import write_run_card
from worldsim.training.memory import MemoryTraining
from worldsim.training.openings import Arriving, read_openings
from worldsim.training.player import PlayerTraining, readings_of
from worldsim.training.pool import Feeder
from worldsim.training.referee import RefereeTraining, situations_of
from worldsim.training.refiner import RefinerTraining, foreseen_of
from worldsim.training.revealer import RevealerTraining, revealing
from worldsim.training.reveals import returns_of, reveals_of
from worldsim.training.shares import check_held
from worldsim.training.solvers import solvable, with_solvers
from worldsim.training.sources import SourceConfig, held_out_episodes, training_episodes
from worldsim.training.starter import StarterTraining, openings_of
from worldsim.training.world import WorldTraining

PER_STEP = 4
"""Episodes that are encoded before each training step at most."""


def train_codec(config: CodecTrainConfig, source: SourceConfig, out: Path, begin: Codec | None = None) -> Codec:
    """Trains (or goes on with) a codec in ``out``, from fresh weights or those of ``begin``; exports ``out/codec``."""
    training = CodecTraining(config, out, training_episodes(source), held_out_episodes(source), begin=begin)
    training.loop.resume()
    try:
        return training.run()
    finally:
        training.feeder.close()


def train_world(
    config: WorldTrainConfig,
    source: SourceConfig,
    codec: Codec,
    out: Path,
    cache: Path | None = None,
    begin: WorldModel | None = None,
) -> None:
    """Trains (or goes on with) a world model in ``out`` on the latents in ``cache``.

    An empty cache is filled first; shards that another process adds meanwhile (``fill_cache``) are taken up as they
    come. Without a cache the source's episodes are encoded as they come, beside training. ``begin`` is a trained model
    to go on from. Exports ``out/model``.
    """
    if cache is None:
        held_out = held_out_episodes(source)  # before workers start: an engine made here changes the directory
        feeder = Feeder(training_episodes(source), keep=config.start_blocks)
        try:
            feeder.wait_for(config.start_blocks)
            _train_beside(feeder, config, codec, out, held_out, begin)
        finally:
            feeder.close()
        return
    held_out = held_out_episodes(source)
    store = opened_cache(source, codec, cache, config.image_every)
    check_held(config.clips.shares, {episode.world for episode in store.episodes})
    training = WorldTraining(config, out, codec, store, held_out, lambda: store.refresh(cache), begin)
    training.loop.resume()
    training.run()


def opened_cache(source: SourceConfig, codec: Codec, cache: Path, image_every: int) -> LatentStore:
    """The latents in ``cache``, which is filled from the source first where it is empty.

    Raises ``ValueError`` where another codec made them.
    """
    claim_cache(cache, codec)
    if not any(cache.glob("latents-*.safetensors")):
        fill_cache(source, codec, cache, image_every)
    return LatentStore.open(cache)


def fill_cache(source: SourceConfig, codec: Codec, cache: Path, image_every: int, per_shard: int = 40) -> None:
    """Encodes the source's training episodes into ``cache``, shard by shard, and appends to what is there."""
    source.check_ends("a latent cache")
    claim_cache(cache, codec)
    part = LatentStore()
    for episode in training_episodes(source):
        part.extend([episode], codec, image_every)
        if len(part.episodes) >= per_shard:
            part.append_to(cache)
            part.episodes.clear()
    part.append_to(cache)


def train_refiner(config: RefinerTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Gives a trained model a refiner, from the episodes of a source that ends. Exports ``out/model``."""
    source.check_ends("a refiner")
    episodes = training_episodes(source)
    made = foreseen_of(config, begin, episodes, lambda: held_out_episodes(source), out / "foreseen")
    training = RefinerTraining(config, out, begin, *made)
    training.loop.resume()
    training.run()


def train_memory(config: MemoryTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Teaches the codec of a trained model to carry pixels over, on episodes of a source that ends. Exports
    ``out/model``."""
    source.check_ends("a memory")
    training = MemoryTraining(config, out, begin, training_episodes(source, motion=True), held_out_episodes(source))
    training.loop.resume()
    training.run()


def train_heads(config: HeadsTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Trains the heads of a trained model on its own rollouts, from the episodes of a source that ends. Exports
    ``out/model``."""
    source.check_ends("training on rollouts")
    training = HeadsTraining(config, out, begin, training_episodes(source), held_out_episodes(source))
    training.loop.resume()
    training.run()


def train_referee(config: RefereeTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Gives a trained model a referee, from the episodes of a source that ends and rollouts along them. Exports
    ``out/model``."""
    source.check_ends("a referee")
    episodes = training_episodes(source)
    made = situations_of(config, begin, episodes, lambda: held_out_episodes(source), out / "situations")
    training = RefereeTraining(config, out, begin, *made)
    training.loop.resume()
    training.run()


def train_player(config: PlayerTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Gives a trained model a player, from how the source's episodes were played; live worlds play without the policies
    that are left out. Exports ``out/model``."""
    played = tuple(p for p in source.policies if parse_mixture(p)[0][0] not in config.leave_out)
    if (source.live or not source.data) and not played:
        raise ValueError(f"nobody is left to play: the policies {', '.join(source.policies)} are all left out")
    source = replace(source, policies=played or source.policies)
    with closing(training_episodes(source)) as episodes:  # live worlds need not play to their end
        moments = readings_of(config, begin, episodes, lambda: held_out_episodes(source), out / "readings")
    training = PlayerTraining(config, out, begin, *moments)
    training.loop.resume()
    training.run()


def train_starter(config: StarterTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Gives a trained model a starter, from moments of a source that ends, or of worlds that play beside. Exports
    ``out/model``."""
    if source.ends:
        episodes = training_episodes(source)
        moments = openings_of(config, begin, episodes, lambda: held_out_episodes(source), out / "openings")
        training = StarterTraining(config, out, begin, *moments)
        training.loop.resume()
        training.run()
        return
    feeder = Feeder(training_episodes(source), keep=config.start_steps)
    try:
        train_starter_beside(feeder, config, begin, out, held_out_episodes(source))
    finally:
        feeder.close()


def train_starter_beside(
    feeder: Feeder, config: StarterTrainConfig, begin: WorldSimulator, out: Path, held_out: list[Episode]
) -> None:
    """Trains a starter on what a feeder brings, once it has brought ``start_steps`` steps."""
    codec = copy.deepcopy(begin.codec).to(pick_device(config.run.device))
    apart = read_openings(held_out, codec, config.every, config.moments, config.optim.seed)
    feeder.wait_for(config.start_steps)
    arriving = Arriving(feeder, codec, config.every, config.optim.seed)
    moments = arriving(least=1)
    if moments is None:
        raise ValueError("there is nothing to learn starts from: no episode of the source has facts")
    training = StarterTraining(config, out, begin, moments, apart, arriving)
    training.loop.resume()
    training.run()


def train_solvers(config: SolversTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Fits solvers to a model's starter, on moments of a source that ends. Exports ``out/model``."""
    source.check_ends("solvers")
    solvable(begin)
    write_run_card(out, config)
    apart, moments = (  # the quick part first
        read_openings(episodes, begin.codec, config.every, config.moments, config.seed)
        for episodes in (held_out_episodes(source), training_episodes(source))
    )
    with_solvers(config, begin, moments, apart).save_pretrained(out / "model")


def train_revealer(config: RevealerTrainConfig, source: SourceConfig, begin: WorldSimulator, out: Path) -> None:
    """Gives a model's starter a revealer, from worlds that play live to an end. Exports ``out/model``."""
    source.check_ends("a revealer")
    revealing(begin, config)
    held_out, episodes = (partial(of, source, motion=True) for of in (held_out_episodes, training_episodes))
    made = reveals_of(config.revealer, begin.codec, episodes, held_out, out / "reveals", repr(source))
    if config.watch:
        watched = replace(source, data=(), steps=config.watch, max_steps=config.watch_max)
        back = returns_of(
            config.revealer, config.returns, partial(training_episodes, watched), out / "reveals", repr(watched)
        )
        lasts = int(back.steps.median())
        print(f"what is taken away returns after {lasts} steps (the median of {len(back)})")
        config = replace(config, revealer=replace(config.revealer, lasts=lasts), watch=0)
    training = RevealerTraining(config, out, begin, *made)
    training.loop.resume()
    training.run()


def train_all(
    codec_config: CodecTrainConfig,
    world_config: WorldTrainConfig,
    source: SourceConfig,
    out: Path,
    begin: Codec | None = None,
    begin_world: WorldModel | None = None,
) -> None:
    """Codec and world model in one go, with worlds playing beside both; see ``train_both``."""
    episodes, held_out = training_episodes(source), held_out_episodes(source)
    train_both(codec_config, world_config, episodes, held_out, out, begin, begin_world)


def train_both(
    codec_config: CodecTrainConfig,
    world_config: WorldTrainConfig,
    episodes: Iterator[Episode],
    held_out: list[Episode],
    out: Path,
    begin: Codec | None = None,
    begin_world: WorldModel | None = None,
) -> None:
    """A codec and then, on the same episodes, a world model, while more come. Exports ``out/world/model``.

    ``begin`` is a trained codec to go on from, whose memory is left out, since it would belong to another decoder
    (``train_memory`` gives the result one again); ``begin_world`` is a trained world model: its latents are not those
    of the codec that is trained now, but how things move is much the same.
    """
    if begin_world is not None:  # what is wrong with it is told before the codec has taken its time
        world_config.world.check_begin(begin_world.config)
    check_held(world_config.clips.shares, {episode.world for episode in held_out})
    begin = None if begin is None else without_memory(begin)
    stage = CodecTraining(codec_config, out / "codec", episodes, held_out, keep=codec_config.pool_blocks, begin=begin)
    stage.loop.resume()
    try:
        codec = stage.run()
        stage.feeder.wait_for(codec_config.start_blocks)
        stage.feeder.release_pool()
        _train_beside(stage.feeder, world_config, codec, out / "world", held_out, begin_world)
    finally:
        stage.feeder.close()


def _train_beside(
    feeder: Feeder,
    config: WorldTrainConfig,
    codec: Codec,
    out: Path,
    held_out: list[Episode],
    begin: WorldModel | None = None,
) -> None:
    """Trains a world model on what a feeder brings: some episodes are encoded before each step, many at first."""
    store = LatentStore()

    def refill(most: int = PER_STEP) -> None:
        feeder.check()
        store.extend(feeder.take(most), codec, config.image_every)

    codec.to(pick_device(config.run.device))
    refill(most=PER_STEP * 100)
    training = WorldTraining(config, out, codec, store, held_out, refill, begin)
    training.loop.resume()
    training.run()
