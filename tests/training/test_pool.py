"""Frames and episodes while they come in."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import make_episode

from worldsim.training.pool import EpisodePool, Feeder


def test_a_full_pool_keeps_the_newest_whole_blocks():
    pool = EpisodePool(most_blocks=30)
    old, new = make_episode(steps=25, seed=1), make_episode(steps=29, seed=2)
    pool.add(old)
    pool.add(new)
    assert pool.blocks == 30
    blocks, images = pool.sample(300, 40, np.random.default_rng(0))
    assert blocks.shape == (300, 4, 32, 32, 3) and images.shape == (40, 1, 32, 32, 3)
    held = {bytes(b.numpy().tobytes()) for b in blocks}
    assert held == {b.tobytes() for b in (old.blocks[-1], *new.blocks)}
    assert any(bool((image == 255).all()) for image in images)  # reset frames are white


def test_worlds_have_equal_shares_and_turn_based_ones_are_images_only():
    """Brightness tells the world: of 90 steps at 10, 10 at 120 and 5 turns at 240 as many samples are drawn."""
    pool = EpisodePool(most_blocks=200)
    for world, steps, shade in (("DoomRooms", 90, 10), ("DoomBasic", 10, 120), ("Crafter", 5, 240)):
        episode = make_episode(steps=steps)
        pool.add(
            replace(
                episode,
                world=world,
                first=np.full_like(episode.first, shade),
                blocks=np.full_like(episode.blocks, shade),
                frames_per_step=1 if world == "Crafter" else 4,
                n_frames=np.full(steps, 1 if world == "Crafter" else 4, np.int8),
            )
        )
    blocks, images = pool.sample(400, 350, np.random.default_rng(0))
    count = {shade: int((blocks[:, 0, 0, 0, 0] == shade).sum()) for shade in (10, 120, 240)}
    assert count[240] == 0 and abs(count[10] - 200) < 50
    assert int((images[:, 0, 0, 0, 0] == 240).sum()) == 250  # a third of all 750 samples
    pool.shares = {"Crafter": 0.5}
    _, images = pool.sample(400, 350, np.random.default_rng(0))
    assert int((images[:, 0, 0, 0, 0] == 240).sum()) == 150  # a fifth


def test_worlds_have_the_shares_that_a_run_gives_them():
    pool = EpisodePool(200, shares={"Table": 3.0})
    for world, shade in (("Table", 10), ("Scene", 120)):
        episode = make_episode(steps=20)
        blocks = np.full_like(episode.blocks, shade)
        pool.add(replace(episode, world=world, blocks=blocks, first=blocks[0, 0]))
    blocks, images = pool.sample(800, 400, np.random.default_rng(0))
    assert abs(int((blocks[:, 0, 0, 0, 0] == 10).sum()) - 600) < 60
    assert abs(int((images[:, 0, 0, 0, 0] == 10).sum()) - 300) < 45


def test_blocks_that_are_cut_short_are_left_out():
    episode = make_episode(steps=10)
    cut = episode.n_frames.copy()
    cut[-1] = 2
    pool = EpisodePool(100)
    pool.add(replace(episode, n_frames=cut))
    assert pool.blocks == 9
    pool.clear()
    with pytest.raises(ValueError, match="the pool is empty"):
        pool.sample(1, 1, np.random.default_rng(0))


def test_a_feeder_hands_out_every_episode_once_and_waits_when_enough_wait():
    made = [make_episode(steps=10, seed=i) for i in range(12)]
    given = []

    def source():
        for episode in made:
            given.append(episode.map_seed)
            yield episode

    feeder = Feeder(source(), keep=30)
    feeder.wait_for(30)
    threading.Event().wait(0.1)
    assert len(given) == 3  # 30 blocks wait: the source does too
    taken = []
    while len(taken) < len(made):
        taken += feeder.take(2)
    assert [episode.map_seed for episode in taken] == list(range(12))
    assert feeder.waiting == 0
    feeder.close()


def test_a_released_pool_lets_its_frames_go_and_episodes_go_past_it():
    gate = threading.Event()

    def source():
        yield make_episode(steps=10)
        gate.wait(10)
        yield make_episode(steps=10)

    pool = EpisodePool(100)
    feeder = Feeder(source(), pool, keep=1000)
    feeder.wait_for(10)
    feeder.release_pool()
    gate.set()
    feeder.wait_for(20)
    assert pool.blocks == 0 and len(feeder.take(5)) == 2
    feeder.close()


def test_a_failing_source_is_reported():
    def source():
        yield make_episode(steps=10)
        raise RuntimeError("the engine died")

    feeder = Feeder(source(), keep=1000)
    with pytest.raises(RuntimeError, match="the engine died"):
        feeder.wait_for(20)
    assert len(feeder.take(5)) == 1
    feeder.close()


def test_columns_grow_and_keep_what_they_hold():
    from worldsim.training.arena import Column

    column = Column(torch.int64, (2,))
    rows = torch.arange(40).view(20, 2)
    for part in rows.split(3):
        column.extend(part)
    assert torch.equal(column.rows, rows) and len(column) == 20
    assert torch.equal(column.take(torch.tensor([[3, 0]])), rows[[3, 0]][None])


def test_frames_of_another_size_are_refused():
    pool = EpisodePool(most_blocks=30)
    pool.add(make_episode(steps=5))
    with pytest.raises(ValueError, match=r"frames of \(32, 48\) beside others of \(32, 32\)"):
        pool.add(make_episode(steps=5, size=(32, 48)))
