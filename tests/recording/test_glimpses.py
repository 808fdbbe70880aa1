"""Three frames of a moment, read without the others."""

import numpy as np
import pytest
from paint_world import painted

from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.glimpses import glimpse_rows, read_glimpses
from worldsim.recording.reader import Recording
from worldsim.recording.writer import RecordingWriter


def test_rows_are_those_of_the_step_that_led_there():
    assert glimpse_rows([0, 1, 5], 4).tolist() == [[0, 0, 0], [0, 2, 4], [16, 18, 20]]
    assert glimpse_rows([0, 1, 5], 1).tolist() == [[0, 0, 0], [0, 1, 1], [4, 5, 5]]


def test_frames_are_those_that_the_action_painted(tmp_path):
    plan = GenerateConfig(worlds="paint_world:Paint-v0", policies="random", workers=0, episodes=1)
    (episode,) = generate_episodes(plan)
    with RecordingWriter(tmp_path / "set") as writer:
        writer.write(episode)
    recording = Recording.open(tmp_path / "set")
    chosen = [3, 0, 2]
    frames, facts = read_glimpses(recording, 0, chosen)
    np.testing.assert_array_equal(frames, episode.video[glimpse_rows(chosen, 4)])
    made = painted(episode.map_seed, episode.frame_size, 2, 1, int(episode.actions[2]))
    np.testing.assert_array_equal(frames[0, 1], made)
    assert facts == [episode.facts[t] for t in chosen]
    with pytest.raises(IndexError, match=f"episode 0 has observations 0 to {len(episode)}"):
        read_glimpses(recording, 0, [0, len(episode) + 1])
