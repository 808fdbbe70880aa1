from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
from true_episodes import needs
from worldsim_envs.policies import RandomPolicy, WithNoise, make_policy
from worldsim_envs.policies.floorplan import Floorplan, read_walls
from worldsim_envs.policies.scripted import CURVES, FORWARD, TURNS, steer, wrapped

from worldsim.actions import ACTION_ID, ACTION_MEANINGS
from worldsim.recording.generate import GenerateConfig, generate_episodes
from worldsim.worlds import WORLDS

pytest.importorskip("vizdoom")
CAMERA = {name: WORLDS["DoomRooms"].table.camera[i, 0] for i, name in enumerate(ACTION_MEANINGS)}


def played(world: str, policy: str, episodes: int, max_steps: int, **changes):
    settings = {"noise": 0.0, "goals": 0.0, "workers": 0, "seed": 3, **changes}
    return list(
        generate_episodes(
            GenerateConfig(worlds=world, policies=policy, episodes=episodes, max_steps=max_steps, **settings)
        )
    )


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name == "pose") for f in fields(a))


@pytest.mark.parametrize("world", WORLDS)
def test_explorers_move_and_use_what_the_world_reads(world):
    needs(world)
    (episode,) = played(world, "explorer", 1, 75)
    assert set(episode.actions.tolist()) <= set(WORLDS[world].reads)
    assert np.ptp(episode.pose[:, :2], axis=0).max() > (0.3 if world in ("Table", "Scene") else 1.0)  # metres
    assert len(set(episode.actions.tolist())) >= 3


@pytest.mark.parametrize("world", ["DoomRooms", "DoomTakeCover", "DoomHealthGathering"])
def test_an_episode_does_not_depend_on_what_its_process_played_before(world):
    first, second, third = played(world, "explorer:0.5,random:0.5", 3, 40, noise=0.1, goals=0.5)
    (alone,) = played(world, "explorer:0.5,random:0.5", 1, 40, noise=0.1, goals=0.5, first_episode=2)
    assert same(alone, third) and not same(first, third) and not same(second, third)


@pytest.mark.slow
def test_the_explorer_of_rooms_sees_more_rooms_than_random_play():
    def rooms(policy: str) -> float:
        from worldsim_envs.doom.maps import generate

        seen = []
        for episode in played("DoomRooms", policy, 3, 200):
            layout = generate(episode.map_seed, episode.goal)
            seen.append(len({layout.room_at(x, y) for x, y, _, _ in episode.pose} - {None}))
        return float(np.mean(seen))

    assert rooms("explorer") >= rooms("random") + 1


@pytest.mark.slow
def test_the_explorer_of_rooms_does_what_there_is_to_do_and_turns_to_both_sides_alike():
    episodes = played("DoomRooms", "explorer", 6, 525, goals=1.0)
    actions = np.concatenate([episode.actions for episode in episodes])
    left = sum(CAMERA[ACTION_MEANINGS[a]] for a in actions if CAMERA[ACTION_MEANINGS[a]] > 0)
    right = -sum(CAMERA[ACTION_MEANINGS[a]] for a in actions if CAMERA[ACTION_MEANINGS[a]] < 0)
    assert 0.4 < left / (left + right) < 0.6
    assert set(actions.tolist()) == set(WORLDS["DoomRooms"].reads)
    kinds = {word for e in episodes for fact in e.facts for word in KINDS if f'"kind":"{word}"' in fact}
    assert kinds == set(KINDS)
    assert sum(e.reward.sum() > 0 for e in episodes) >= 2


KINDS = ("door_opens", "pick_up", "push", "shoot")


def test_some_episodes_of_rooms_begin_before_a_door_and_use_it(monkeypatch):
    from worldsim_envs.doom.maps import generate
    from worldsim_envs.policies import rooms

    def gaps(episodes) -> list[float]:
        """Metres from the first place of each episode to the nearest door of its map."""
        found = []
        for episode in episodes:
            doors = [p.centre for p in generate(episode.map_seed, "").passages if p.door]
            found += [min(np.hypot(*np.subtract(door, episode.pose[0, :2])) for door in doors)] if doors else []
        return found

    monkeypatch.setattr(rooms, "AT_DOORS", 0.0)
    assert np.median(gaps(played("DoomRooms", "explorer", 6, 1))) > 2.8  # as the maps begin
    monkeypatch.setattr(rooms, "AT_DOORS", 1.0)
    episodes = played("DoomRooms", "explorer", 6, 24)
    before = gaps(episodes)
    assert len(before) >= 3 and max(before) < 2.8
    assert sum(any('"kind":"door_opens"' in fact for fact in e.facts) for e in episodes) == len(before)
    assert same(episodes[0], played("DoomRooms", "explorer", 1, 24)[0])
    assert max(gaps(played("DoomRooms", "explorer", 6, 1, noise=0.05))) < 2.8  # the noise passes the wish on


def test_a_start_that_the_world_refuses_is_that_of_the_map(monkeypatch):
    from worldsim_envs.policies.rooms import RoomsExplorer

    (wanted,) = played("DoomRooms", "random", 1, 2)
    monkeypatch.setattr(RoomsExplorer, "start", lambda self, world, rng: (-500.0, -500.0, 0.0))
    (episode,) = played("DoomRooms", "explorer", 1, 2)
    assert np.array_equal(episode.pose[0], wanted.pose[0])


def test_basic_ends_in_hits_and_in_misses():
    episodes = played("DoomBasic", "explorer", 10, 75)
    hits = [episode.reward[-1] > 50 for episode in episodes]
    shots = sum(int((episode.actions == ACTION_ID["attack"]).sum()) for episode in episodes)
    assert sum(hits) >= 5 and shots > sum(hits)


def test_random_actions_are_held_for_one_to_eight_steps():
    spec = WORLDS["DoomRooms"]
    policy, rng = RandomPolicy(spec), np.random.default_rng(0)
    actions = np.array([policy.act(None, None, {}, rng) for _ in range(4000)])
    assert set(actions.tolist()) == set(spec.reads)
    runs = np.diff(np.flatnonzero(np.diff(actions)))
    assert runs.min() == 1 and 4 < runs.mean() < 5.5


class Still:
    def act(self, env, obs, info, rng):
        return 0


def test_noise_replaces_its_share_of_actions():
    rng = np.random.default_rng(0)
    policy = WithNoise(Still(), np.arange(1, 5), 0.25)
    actions = np.array([policy.act(None, None, {}, rng) for _ in range(4000)])
    assert 0.22 < (actions > 0).mean() < 0.28 and set(actions.tolist()) == {0, 1, 2, 3, 4}


def test_steering():
    assert [wrapped(a) for a in (190, -190, 180, -180, 540)] == [-170, 170, 180, 180, 180]
    assert steer(3, 5) == FORWARD and steer(30, 20) == CURVES[0] and steer(-30, 20) == CURVES[1]
    assert steer(30, 1) == TURNS[0]  # inside of the circle that a curve would walk
    assert steer(-120, 20) == TURNS[1]


def box(x0, y0, x1, y1):
    return [(x0, y0, x1, y0), (x1, y0, x1, y1), (x1, y1, x0, y1), (x0, y1, x0, y0)]


def test_ways_lead_through_the_gap():
    plan = Floorplan.of_walls(np.array([*box(0, 0, 20, 10), (10, 0, 10, 7)], float))
    way = plan.way((2, 2), (18, 2), np.random.default_rng(0))
    assert way[-1] == (18, 2) and max(y for _, y in way) > 7.5
    points = np.concatenate([np.linspace(a, b, 50) for a, b in zip([(2, 2), *way], way)])
    assert not ((np.abs(points[:, 0] - 10) < 0.4) & (points[:, 1] < 7)).any()
    low, high = plan.bounds(5.0)
    assert 0.5 < low < 1.3 and 8.7 < high < 9.5


def test_there_is_no_way_through_a_closed_wall():
    plan = Floorplan.of_walls(np.array([*box(0, 0, 20, 10), (10, 0, 10, 10)], float))
    assert plan.way((2, 2), (18, 2), np.random.default_rng(0)) == [(18, 2)]
    points = [plan.random_point((2, 2), np.random.default_rng(i)) for i in range(20)]
    assert all(x < 9.5 for x, _ in points)


@pytest.mark.parametrize("world", ["DoomMyWayHome", "DoomHealthGathering", "DoomTakeCover"])
def test_the_player_starts_on_free_cells_of_the_stock_floorplans(world):
    from worldsim_envs.policies.scenarios import stock_floorplan

    name = {"DoomMyWayHome": "my_way_home", "DoomHealthGathering": "health_gathering"}.get(world, "take_cover")
    plan = stock_floorplan(name)
    for episode in played(world, "random", 3, 5):
        x, y = episode.pose[0, :2]
        row, column = int((y - plan.origin[1]) / 0.5), int((x - plan.origin[0]) / 0.5)
        assert plan.free[row, column]


def test_a_file_that_is_no_wad_is_refused(tmp_path):
    path = tmp_path / "map.wad"
    path.write_bytes(b"ZZZZ" + bytes(40))
    with pytest.raises(ValueError, match=r"map.wad is not a WAD"):
        read_walls(path)
    path.write_bytes(b"PW")
    with pytest.raises(ValueError, match=r"map.wad is not a WAD"):
        read_walls(path)


def test_unknown_policies_are_refused():
    with pytest.raises(ValueError, match="unknown policy 'exploer'"):
        make_policy("exploer", WORLDS["DoomRooms"])


class Frames(gym.Env):
    """Random frames with the actions of DoomBasic: something to train an agent on for a moment."""

    def __init__(self, actions=4, channels=3):
        self.observation_space = gym.spaces.Box(0, 255, (64, 64, channels), np.uint8)
        self.action_space = gym.spaces.Discrete(actions)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def saved_agent(path, **spaces) -> str:
    from stable_baselines3 import PPO

    PPO("CnnPolicy", Frames(**spaces), n_steps=8, batch_size=8, seed=0, device="cpu").save(path)
    return str(path)


@pytest.mark.slow
def test_saved_agents_play(tmp_path):
    pytest.importorskip("stable_baselines3")
    single = saved_agent(tmp_path / "single.zip")
    stacked = saved_agent(tmp_path / "stacked.zip", actions=32, channels=6)
    for path in (single, stacked):
        (a,) = played("DoomBasic", f"sb3={path}", 1, 12)
        (b,) = played("DoomBasic", f"sb3={path}", 1, 12)
        assert same(a, b) and a.policy == f"sb3={path}"
        assert set(a.actions.tolist()) <= set(WORLDS["DoomBasic"].reads)


def test_saved_agents_that_do_not_fit_are_refused(tmp_path):
    pytest.importorskip("stable_baselines3")
    spec = WORLDS["DoomBasic"]
    with pytest.raises(ValueError, match=r"chooses among 5 actions; DoomBasic takes 4"):
        make_policy("sb3=" + saved_agent(tmp_path / "five.zip", actions=5), spec)
    with pytest.raises(FileNotFoundError, match="there is no saved agent"):
        make_policy("sb3=nowhere.zip", spec)
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(ValueError, match=r"text.zip is no archive of PPO"):
        make_policy(f"sb3={tmp_path / 'text.zip'}", spec)
