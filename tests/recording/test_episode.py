from dataclasses import replace

import numpy as np
import pytest
from paint_world import SPEC

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.recording.episode import Episode, Step
from worldsim.recording.facts_json import facts_from_json, facts_to_json


def frames(*greys: int) -> np.ndarray:
    return np.stack([np.full((16, 24, 3), grey, np.uint8) for grey in greys])


def step(action: int, *greys: int, **changes) -> Step:
    settings = {
        "keys": 1 << action,
        "camera": (0.0, 0.0),
        "reward": 0.5,
        "terminated": False,
        "truncated": False,
    }
    return Step(action, frames=frames(*greys), n_frames=len(greys), **{**settings, **changes})


def build(*steps: Step, **changes) -> Episode:
    settings = {"world": "Paint", "map_seed": 3, "split": "train", "goal": "", "policy": "test"}
    settings |= {"frames_per_step": SPEC.frames_per_step, "fps": SPEC.fps, "first": frames(0)[0]}
    return Episode.from_steps(steps, **{**settings, **changes})


@pytest.fixture
def episode() -> Episode:
    last = step(2, 9, 10, terminated=True, pose=(1, 2, 3, 90), view="a wall", event="you fall", facts="{}")
    return build(step(1, 1, 2, 3, 4), step(2, 5, 6, 7, 8), last)


def test_steps_become_blocks_and_observations(episode):
    assert len(episode) == 3 and episode.frame_size == (16, 24)
    assert episode.blocks[..., 0, 0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 10, 10]]
    assert episode.n_frames.tolist() == [4, 4, 2] and episode.keys.tolist() == [2, 4, 4]
    assert episode.observations[:, 0, 0, 0].tolist() == [0, 4, 8, 10]
    assert episode.video[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
    assert episode.views == ["", "", "", "a wall"] and episode.events[-1] == "you fall"
    assert np.isnan(episode.pose[0]).all() and episode.pose[3].tolist() == [1, 2, 3, 90]


def test_a_clip_begins_with_the_observation_before_it(episode):
    clip = episode.clip(1, 2)
    assert clip.first[0, 0, 0] == 4 and clip.actions.tolist() == [2, 2] and len(clip.views) == 3
    assert clip.observations[:, 0, 0, 0].tolist() == [4, 8, 10] and clip.terminated.tolist() == [False, True]
    for start, length in [(2, 2), (-1, 1), (0, 0)]:
        with pytest.raises(IndexError, match="is not inside an episode of 3 steps"):
            episode.clip(start, length)


def test_a_registered_world_knows_its_frame_rate():
    doom = build(step(1, 1, 2, 3, 4), world="DoomBasic", frames_per_step=0, fps=0.0)
    assert (doom.frames_per_step, doom.fps) == (4, 35.0)
    with pytest.raises(ValueError, match=r"'Chess' is not registered.*give frames_per_step and fps"):
        build(step(1, 1, 2, 3, 4), world="Chess", frames_per_step=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": np.zeros(3, np.int64)}, r"actions must be int16 \(3,\), not int64"),
        ({"actions": np.array([0, -1, 0], np.int16)}, "ids from 0 to 31, or -2"),
        ({"actions": np.array([0, 32, 0], np.int16)}, "ids from 0 to 31, or -2"),
        ({"reward": np.zeros(2, np.float32)}, r"reward must be float32 \(3,\)"),
        ({"reward": np.array([0, np.nan, 0], np.float32)}, "must be finite"),
        ({"pose": np.zeros((3, 4), np.float32)}, r"pose must be float32 \(4, 4\)"),
        ({"views": ["a"]}, "views must have 4 entries, not 1"),
        ({"n_frames": np.array([4, 2, 2], np.int8)}, "only the last block"),
        ({"n_frames": np.array([4, 4, 5], np.int8)}, "n_frames must lie in 1 to 4"),
        ({"n_frames": np.array([4, 4, 1], np.int8)}, "must repeat its last real frame"),
        ({"truncated": np.array([True, False, False])}, "has steps after that"),
        ({"frames_per_step": 3}, "frames_per_step must be 1 or 4"),
        ({"first": np.zeros((16, 24), np.uint8)}, r"first must be \(H, W, 3\)"),
    ],
)
def test_contradictions_are_refused(episode, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(episode, **changes)


def test_a_step_without_frames_and_an_episode_without_steps_are_refused():
    with pytest.raises(ValueError, match="holds 2 frames but says that 3 are real"):
        build(replace(step(1, 1, 2), n_frames=3))
    with pytest.raises(ValueError, match="at least one step"):
        build()


def test_facts_survive_json():
    scene = SceneFacts(
        "DoomRooms", "a maze", 5, (Surface("red", "brick"), Surface("blue")), (Thing("box", "green", 3),)
    )
    view = ViewFacts(
        Surface("red", "brick"), Surface("", "plain"), light="dim", doors=("blue", "red"),
        things=(Thing("ball", "cyan", place="left", near=False), Thing("cone")),
    )  # fmt: skip
    events = (EventFact("push", "green", "box"), EventFact("goal"))
    assert facts_from_json(facts_to_json(scene, view, events)) == (scene, view, events)
    assert facts_from_json(facts_to_json(SceneFacts("X"), ViewFacts())) == (SceneFacts("X"), ViewFacts(), ())
    assert "\n" not in facts_to_json(scene, view, events)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"scene":{"world":"X","colour":1},"view":{},"events":[]}'])
def test_what_is_no_line_of_facts_is_refused(text):
    with pytest.raises(ValueError, match="not a line of facts"):
        facts_from_json(text)
