"""Held-out episodes: some of every world that is trained on, recorded ones first."""

from pathlib import Path

import pytest

from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.writer import RecordingWriter
from worldsim.training.sources import SourceConfig, held_out_episodes
from worldsim.worlds import split_of

pytest.importorskip("pymunk")
pytest.importorskip("crafter")


def record(folder: Path, world: str, split: str, episodes: int) -> Path:
    plan = GenerateConfig(worlds=world, policies="random", split=split, episodes=episodes, workers=0, max_steps=4)
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
