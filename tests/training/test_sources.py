"""Held-out episodes: some of every world that is trained on, recorded ones first."""

from dataclasses import replace
from pathlib import Path

import pytest

from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.writer import RecordingWriter
from worldsim.training.sources import SourceConfig, held_out_episodes, training_episodes
from worldsim.worlds import split_of

pytest.importorskip("pymunk")
pytest.importorskip("crafter")


def record(folder: Path, world: str, split: str, episodes: int, **more) -> Path:
    plan = GenerateConfig(
        worlds=world, policies="random", split=split, episodes=episodes, workers=0, max_steps=4, **more
    )
    with RecordingWriter(folder) as writer:
        for episode in generate_episodes(plan):
            writer.write(episode)
    return folder


def test_every_world_of_the_recordings_is_held_out_and_what_is_missing_is_played(tmp_path: Path):
    """The table has training maps only, Crafter two validation episodes of which one is asked for."""
    data = (record(tmp_path / "a", "Table", "train", 2), record(tmp_path / "b", "Crafter", "val", 2))
    found = held_out_episodes(SourceConfig(data=data, held_out=1, max_steps=6))
    assert [episode.world for episode in found] == ["Table", "Crafter"]
    assert [len(episode) for episode in found] == [6, 4]  # played now, and recorded
    assert all(split_of(episode.map_seed) == "val" for episode in found)


def test_without_recordings_the_configured_worlds_are_played():
    found = held_out_episodes(SourceConfig(worlds=("Table",), held_out=2, max_steps=3))
    assert [(episode.world, len(episode)) for episode in found] == [("Table", 3)] * 2


def test_live_worlds_play_beside_recordings_in_turns_until_these_end(tmp_path: Path):
    data = (record(tmp_path / "a", "Crafter", "train", 2),)
    config = SourceConfig(data=data, live=True, worlds=("Table:2",), held_out=1, max_steps=3, workers=0, steps=12)
    assert [e.world for e in training_episodes(config)] == ["Crafter", "Table", "Crafter", "Table", "Table", "Table"]
    assert [e.world for e in held_out_episodes(config)] == ["Crafter", "Table"]
    assert {e.world for e in training_episodes(replace(config, live=False))} == {"Crafter"}


def test_live_worlds_play_in_a_mixture_of_sizes_and_every_size_is_held_out():
    config = SourceConfig(worlds=("Table",), sizes=("64x64", "64x96:2"), held_out=1, max_steps=3, workers=0, steps=60)
    sizes = [episode.frame_size for episode in training_episodes(config)]
    assert 0 < sizes.count((64, 64)) < sizes.count((64, 96))
    assert [e.frame_size for e in training_episodes(config)] == sizes
    held = held_out_episodes(config)
    assert [e.frame_size for e in held] == [(64, 64), (64, 96)]
    assert held[0].map_seed == held[1].map_seed  # the same maps, seen at either size


def test_a_mixture_of_sizes_leaves_the_other_draws_of_an_episode_alone():
    one, many = GenerateConfig(worlds="Table"), GenerateConfig(worlds="Table", sizes=("64x64", "96x64"))
    assert [replace(many.plan(i), frame_size=None) for i in range(9)] == [one.plan(i) for i in range(9)]


@pytest.mark.parametrize("size", ["64", "64x", "0x64", "64x-3", "axb"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match="is no frame size: HxW"):
        GenerateConfig(worlds="Table", sizes=(size,))


def test_recorded_folders_of_different_sizes_are_held_out_each(tmp_path: Path):
    data = tuple(record(tmp_path / f"{h}x{w}", "Table", "val", 1, frame_size=(h, w)) for h, w in ((64, 64), (96, 64)))
    found = held_out_episodes(SourceConfig(data=data, held_out=1))
    assert [(e.frame_size, len(e)) for e in found] == [((64, 64), 4), ((96, 64), 4)]
