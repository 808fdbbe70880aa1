"""Episodes of several shots: what a cut records, that no cut undoes anything, and who knows of it."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from paint_world import PaintEnv

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.actions import ACTION_ID, ACTION_MEANINGS, UNKNOWN_ACTION
from worldsim.captions.facts import CUT, EventFact
from worldsim.cli.inspect import report, sheet
from worldsim.recording.episode import Episode, shots_of
from worldsim.recording.facts_json import read_facts
from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.recording.minecraft import TABLE
from worldsim.recording.mixture import EpisodePlan
from worldsim.recording.play import record_episode
from worldsim.recording.reader import Recording
from worldsim.recording.recaption import Captions, write_captions
from worldsim.recording.shots import SHOT, draw_cuts, new_poses, only_moving, untouched
from worldsim.recording.writer import RecordingWriter


def config(**changes) -> GenerateConfig:
    settings = {"worlds": "DoomRooms", "policies": "random", "workers": 0, "max_steps": 90, "shots": 1.0}
    return GenerateConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    pytest.importorskip("vizdoom")
    return list(generate_episodes(config(first_episode=4, episodes=2)))


@pytest.fixture(scope="module")
def cut(episodes: list[Episode]) -> Episode:
    return next(episode for episode in episodes if episode.cuts.any())


def test_a_cut_is_a_step_without_a_command_whose_block_is_the_start_at_another_pose(cut: Episode) -> None:
    env = gym.make("worldsim/DoomRooms-v0", disable_env_checker=True)
    for t in np.flatnonzero(cut.cuts):
        assert (cut.actions[t], cut.keys[t], cut.reward[t], cut.n_frames[t]) == (UNKNOWN_ACTION, 0, 0, 4)
        assert not cut.camera[t].any()
        x, y, _, yaw = cut.pose[t + 1]
        pose = (float(x), float(y), float(yaw))
        seen, _ = env.reset(seed=cut.map_seed, options={"map_seed": cut.map_seed, "pose": pose})
        assert np.array_equal(cut.blocks[t], np.repeat(seen[None], 4, 0))
        assert not np.array_equal(cut.blocks[t, -1], cut.observations[t])
        assert cut.events[t + 1] == f"cut to {cut.views[t + 1]}"
        assert read_facts(cut.facts[t + 1])[2] == (EventFact(CUT),)
    env.close()


def test_cuts_lead_to_places_that_were_visited_and_not_all_to_the_start(episodes: list[Episode]) -> None:
    """To the whole map unit, which is all that the engine takes: a pose between two must not be refused for it."""
    cuts = [(episode, t) for episode in episodes for t in np.flatnonzero(episode.cuts)]
    places = [episode.pose[t + 1, :2] for episode, t in cuts]
    for place, (episode, t) in zip(places, cuts):
        visited = np.round(episode.pose[: t + 1, :2] * 32) / 32
        assert np.abs(visited - place).max(1).min() < 0.01
    assert any(np.abs(place - episode.pose[0, :2]).max() > 0.1 for place, (episode, _) in zip(places, cuts))


def test_up_to_the_last_cut_one_only_looks_and_walks_and_nothing_happens(episodes: list[Episode]) -> None:
    for episode in episodes:
        last = int(np.flatnonzero(episode.cuts)[-1]) if episode.cuts.any() else 0
        commanded = episode.actions[:last][~episode.cuts[:last]]
        assert all(only_moving(int(a)) == a for a in commanded)
        assert not any(e for e in episode.events[: last + 1] if not e.startswith("cut to"))
        assert len(episode) == 90 and episode.truncated[-1]


def test_moving_is_what_looks_and_walks() -> None:
    moving = {ACTION_MEANINGS[a] for a in range(32) if only_moving(a) == a}
    assert {"noop", "forward", "strafe_left", "turn_left_small", "forward+turn_right", "look_up"} <= moving
    assert not moving & {"use", "attack", "jump", "place", "forward+jump", "forward+attack", "sneak", "next_item"}
    assert only_moving(ACTION_ID["forward+attack"]) == 0


def test_the_share_of_shots_changes_no_other_draw_and_an_episode_is_the_same_whenever_it_is_played(
    episodes: list[Episode],
) -> None:
    plain, shots = config(shots=0.0), config(shots=0.1)
    plans = [shots.plan(i) for i in range(2000)]
    assert [replace(p, cuts=()) for p in plans] == [plain.plan(i) for i in range(2000)]
    several = [p.cuts for p in plans if p.cuts]
    assert 160 < len(several) < 240
    assert {len(cuts) for cuts in several} == {1, 2}
    for cuts in several:
        lengths = np.diff([-1, *cuts]) - 1
        assert SHOT[0] <= lengths.min() and lengths.max() <= SHOT[1]
    assert draw_cuts(3, 0, 0.0) == ()
    (again,) = generate_episodes(config(first_episode=5, episodes=1))
    assert np.array_equal(again.blocks, episodes[1].blocks) and np.array_equal(again.cuts, episodes[1].cuts)


class Touched(PaintEnv):
    """Can be started at a pose; a thing is moved at a step, or an event told, or a reward paid."""

    has_poses = True
    time_limit = 40

    def __init__(self, how: str = "", at: int = 5) -> None:
        super().__init__(length=60)
        self.how, self.at, self.started = how, at, []

    def reset(self, *, seed=None, options=None):
        self.started.append((options or {}).get("pose"))
        return super().reset(seed=seed, options=options)

    def step(self, action):
        seen, _, end, _, info = super().step(action)
        happens = self.t == self.at
        if happens and self.how == "event":
            info["events"] = [{"kind": "push"}]
        return seen, float(happens and self.how == "reward"), end, False, info

    def _info(self, frames, n):
        info = super()._info(frames, n)
        gone = self.how == "moved" and self.t >= self.at
        info["truth"]["objects"] = [{"id": 1, "class": "ball", "colour": "red", "position": (1.0 + gone, 0.0, 0.0)}]
        return info

    def pose(self):
        return (0.0, 0.0, 0.0, float(self.t))


class Uses:
    def act(self, env, obs, info, rng):
        return ACTION_ID["turn_left"]


def play_touched(how: str) -> tuple[Episode, Touched]:
    env = Touched(how)
    plan = EpisodePlan(0, "Paint", "random", 7, 0.0, 0, cuts=(12, 20))
    _, info = env.reset(seed=7, options={"map_seed": 7})
    return record_episode(env, Uses(), info, np.random.default_rng(0), plan, "train"), env


@pytest.mark.parametrize("how", ["event", "reward", "moved"])
def test_a_world_that_was_touched_is_not_cut(how: str) -> None:
    episode, env = play_touched(how)
    assert not episode.cuts.any() and env.started == [None]


def test_one_that_was_not_is_cut_at_the_planned_steps_and_ends_at_the_world_s_own_limit() -> None:
    episode, env = play_touched("")
    assert np.flatnonzero(episode.cuts).tolist() == [12, 20]
    assert len(env.started) == 3 and all(pose is not None for pose in env.started[1:])
    assert len(episode) == 40 and episode.truncated[-1] and not episode.truncated[:-1].any()


def test_objects_are_untouched_only_at_their_places() -> None:
    ball = {"id": 1, "class": "ball", "colour": "red", "position": (0.0, 1.0, 0.0)}
    here = {"objects": [ball]}
    assert untouched(here, {"objects": [{**ball, "position": np.array([0.005, 1.0, 0.0])}]})
    for other in ([], [ball, {**ball, "id": 2}], [{**ball, "colour": "blue"}], [{**ball, "position": (0.0, 1.1, 0.0)}]):
        assert not untouched(here, {"objects": other})
    assert untouched({}, {})


def test_new_poses_are_visited_places_with_another_view() -> None:
    visited = [(0.0, 0.0, 0.0, 10.0), (5.0, 0.0, 0.0, 90.0), (0.1, 0.0, 0.0, 90.0)]
    found = new_poses(visited, np.random.default_rng(0))
    assert {(x, y) for x, y, _ in found} <= {(a, b) for a, b, _, _ in visited}
    assert len(found) > 10
    for x, _, yaw in found:
        assert abs((yaw - 90 + 180) % 360 - 180) >= 60 or x == 5.0


def test_worlds_that_take_no_pose_are_refused_before_anything_is_played() -> None:
    with pytest.raises(ValueError, match="Crafter-v0 cannot be started at a pose"):
        next(generate_episodes(config(worlds="DoomRooms,Crafter")))
    with pytest.raises(ValueError, match="Paint-v0 cannot be started at a pose"):
        next(generate_episodes(config(worlds="paint_world:Paint-v0")))
    with pytest.raises(ValueError, match="shots is a share"):
        config(shots=1.5)


def test_shots_are_the_episode_without_its_cuts(cut: Episode) -> None:
    shots = cut.shots()
    begins = [0, *(np.flatnonzero(cut.cuts) + 1)]
    assert len(shots) == len(begins) and sum(map(len, shots)) == len(cut) - cut.cuts.sum()
    for shot, begin in zip(shots, begins):
        assert not shot.cuts.any()
        assert np.array_equal(shot.first, cut.observations[begin])
        assert np.array_equal(shot.actions, cut.actions[begin : begin + len(shot)])
    whole = shots[0]
    assert whole.shots() == [whole]
    together = list(shots_of([whole, cut]))
    assert [len(shot) for shot in together] == [len(whole), *map(len, shots)] and together[0] is whole


def test_a_cut_pays_nothing(cut: Episode) -> None:
    reward = cut.reward.copy()
    reward[np.flatnonzero(cut.cuts)[0]] = 1.0
    with pytest.raises(ValueError, match=r"a cut .* pays nothing"):
        replace(cut, reward=reward)


def test_a_recording_keeps_cuts_and_inspect_counts_them(tmp_path, episodes: list[Episode], cut: Episode) -> None:
    with RecordingWriter(tmp_path / "set") as writer:
        for episode in episodes:
            writer.write(episode)
    recording = Recording.open(tmp_path / "set", verify=True)
    assert all(np.array_equal(recording.episode(i).cuts, e.cuts) for i, e in enumerate(episodes))
    count, several = sum(int(e.cuts.sum()) for e in episodes), sum(bool(e.cuts.any()) for e in episodes)
    said = report(recording)
    assert f"shots: {several} of 2 episodes have several ({count} cuts)" in said
    assert f"{count} cut to ..." in said and "(cut)" in said and "(none of these)" not in said
    assert sheet(recording, [0]).ndim == 3

    number = next(i for i, e in enumerate(episodes) if e.cuts.any())
    blank = [""] * (len(cut) + 1)
    views = [f"view {t}" for t in range(len(cut) + 1)]
    write_captions(tmp_path / "set", [number], lambda *_: Captions("scene", views, blank, list(cut.facts)), "abc")
    again = Recording.open(tmp_path / "set", verify=True).episode(number)
    told = {t: text for t, text in enumerate(again.events) if text}
    assert told == {int(t) + 1: f"cut to view {t + 1}" for t in np.flatnonzero(cut.cuts)}
    assert read_facts(again.facts[min(told)])[2] == (EventFact(CUT),)


def test_no_import_reads_a_pause_as_a_cut() -> None:
    assert TABLE.matching(np.zeros(1, np.uint32), np.zeros((1, 2), np.float32)).tolist() == [0]


@pytest.mark.slow
def test_in_rooms_motion_is_unknown_across_a_cut() -> None:
    pytest.importorskip("vizdoom")
    episodes = generate_episodes(config(worlds="DoomRooms", motion=True, words=True, max_steps=60, episodes=6))
    episode = next(e for e in episodes if e.cuts.any())
    assert episode.motion is not None and episode.words is not None
    assert np.isnan(episode.motion[episode.cuts]).all()
    assert not np.isnan(episode.motion[~episode.cuts]).all((1, 2, 3)).any()
    for t in np.flatnonzero(episode.cuts):
        assert episode.words.event[t + 1].startswith("cut to ")
        assert not np.array_equal(episode.blocks[t, -1], episode.blocks[t - 1, -1])
