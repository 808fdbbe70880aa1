"""Crafter: repeatable whatever the process did before, achievements as events, goals, frames of other shapes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("crafter")

from crafter import constants
from true_episodes import assert_equal, play
from worldsim_envs.crafter import CrafterEnv
from worldsim_envs.crafter.game import CrafterGame
from worldsim_envs.crafter.world import ENGINE_ACTION, achievement
from worldsim_envs.policies import make_policy

from worldsim.actions import ACTION_ID
from worldsim.worlds import WORLDS

SPEC = WORLDS["Crafter"]
USE = np.int64(ACTION_ID["use"])


@pytest.fixture(scope="module")
def env() -> CrafterEnv:
    return CrafterEnv(truth=("labels", "depth"))


def explore(env: CrafterEnv, seed: int, steps: int) -> list:
    """(action, reward, events, inventory) of an explorer's steps."""
    obs, info = env.reset(seed=seed)
    policy, rng, taken = make_policy("explorer", SPEC), np.random.default_rng(seed), []
    for _ in range(steps):
        action = policy.act(env, obs, info, rng)
        obs, reward, terminated, _, info = env.step(np.int64(action))
        taken.append((action, reward, info["events"], dict(info["truth"]["inventory"])))
        if terminated:
            break
    return taken


def test_every_action_that_the_engine_has_is_read_once():
    assert set(ENGINE_ACTION) == set(SPEC.reads)
    assert sorted(ENGINE_ACTION.values()) == list(range(len(constants.actions)))


def test_goals_are_the_engines_achievements():
    assert sorted(achievement(goal) for goal in SPEC.goals[1:]) == sorted(constants.achievements)


def test_long_episodes_repeat_though_objects_lie_elsewhere_in_memory(env: CrafterEnv):
    """Creatures come and go by chance: their order must not hang on their addresses."""
    first = play(env, 3, steps=250)
    ballast = [object() for _ in range(100_000)]
    other = CrafterEnv(truth=("labels", "depth"))
    assert_equal(first, play(other, 3, steps=250))
    assert len(ballast) == 100_000


def test_a_map_that_was_kept_is_the_one_that_the_engine_draws(env: CrafterEnv):
    ours = {theirs: np.int64(ours) for ours, theirs in ENGINE_ACTION.items()}
    engine = CrafterGame((64, 64))
    engine._seed, engine._episode = 11, 0
    drawn = [engine.framed(engine.reset()), *(engine.framed(engine.step(i % 6)[0]) for i in range(40))]
    for _ in range(2):  # drawn, then kept: nothing that was done in the first episode is left
        first, _ = env.reset(seed=0, options={"map_seed": 11})
        played = [first, *(env.step(ours[i % 6])[0] for i in range(40))]
        np.testing.assert_array_equal(played, drawn)


def test_a_pose_is_a_free_tile_and_where_the_player_faces(env: CrafterEnv):
    env.reset(seed=0, options={"map_seed": 11})
    ground = env.ground()
    assert ground[32, 31] == env.game.tile(32, 32)[0] and ground.shape == (64, 64)
    tree = tuple(np.argwhere(ground == "tree")[0])
    for yaw in (0.0, 90.0, 180.0, 270.0):
        _, info = env.reset(seed=0, options={"map_seed": 11, "pose": (33, 30, yaw)})
        assert env.pose() == (33.0, 30.0, 0.0, yaw)
        assert info["truth"]["camera"]["c2w"][:2, 3] == pytest.approx((33, 30))
    for pose in ((*tree, 0.0), (-1, 3, 0.0), (33.5, 30, 0.0), (33, 30, 45.0)):
        with pytest.raises(ValueError, match="is not a free place of map seed 11; choose x and y from"):
            env.reset(seed=0, options={"map_seed": 11, "pose": pose})


def test_a_step_is_one_frame(env: CrafterEnv):
    env.reset(seed=0)
    obs, *_, info = env.step(np.int64(0))
    assert info["n_frames"] == 1 and info["frames"].shape == (4, 64, 64, 3)
    assert all((frame == obs).all() for frame in info["frames"])
    assert env.metadata["render_fps"] == 5.0


def test_moves_go_where_they_say(env: CrafterEnv):
    for name, (dx, dy) in {
        "forward": (0, 1), "backward": (0, -1), "strafe_left": (-1, 0), "strafe_right": (1, 0),
    }.items():  # fmt: skip
        env.reset(seed=1)
        x, y, _, _ = env.pose()
        column, row = env.game.player.pos
        free = env.game.tile(column + dx, row - dy)
        env.step(np.int64(ACTION_ID[name]))
        can_walk = free[0] in constants.walkable and free[1] is None
        assert env.pose()[:2] == ((x + dx, y + dy) if can_walk else (x, y))
        assert env.pose()[3] == np.degrees(np.arctan2(dy, dx)) % 360


def test_the_explorer_lives_on_the_land_and_its_deeds_are_events_and_rewards(env: CrafterEnv):
    taken = [step for seed in range(3) for step in explore(env, seed, 250)]
    kinds = {event["kind"] for _, _, events, _ in taken for event in events}
    assert {"pick_up", "place", "craft"} <= kinds
    for _, reward, events, _ in taken:
        if any(event["kind"] == "damage" for event in events):
            assert reward < 1.0
        if reward >= 1.0:
            assert {"pick_up", "place", "craft", "eat", "destroy"} & {event["kind"] for event in events}
    logs = [step for step in taken if any(event["shape"] == "log" for event in step[2])]
    assert logs and all(inventory["wood"] >= 1 for *_, inventory in logs)


def test_a_goal_pays_whenever_it_is_done_and_nothing_else_does():
    env = CrafterEnv(goal="collect wood")
    paid, logs = 0.0, 0
    for seed in range(3):
        for _, reward, events, _ in explore(env, seed, 120):
            paid += reward
            logs += sum(event["shape"] == "log" and event["kind"] == "pick_up" for event in events)
            assert reward in (0.0, 1.0)
    assert paid == logs > 1


def test_death_is_seen_and_ends_the_episode(env: CrafterEnv):
    env.reset(seed=0)
    env.game.player.health = 1
    env.game.player._recover = -16.0
    env.game.player.inventory["food"] = 0
    _, reward, terminated, truncated, info = env.step(np.int64(0))
    assert terminated and not truncated and reward < 0
    assert {"kind": "death", "colour": "", "shape": ""} in info["events"]
    assert info["truth"]["inventory"]["health"] == 0


@pytest.mark.parametrize("size", [(64, 64), (64, 112), (112, 64), (128, 128), (256, 320)])
def test_longer_sides_show_more_tiles_and_nothing_is_stretched(size):
    env = CrafterEnv(frame_size=size, truth=("labels",))
    obs, info = env.reset(seed=5)
    assert obs.shape == (*size, 3) and info["truth"]["labels"].shape == size
    unit = min(size) // 9
    across, down = env.game.ground_shown
    assert (across, across * unit <= size[1]) == (size[1] // unit, True) and down <= size[0] // unit
    column, row, _ = info["truth"]["camera"]["K"] @ [0, 0, 1.0]
    left, above = env.game.border
    assert (int(column) - left) // unit == across // 2 and (int(row) - above) // unit == down // 2


def test_labels_and_captions_name_what_is_in_sight(env: CrafterEnv):
    for seed in range(4):
        _, info = env.reset(seed=seed)
        labels = info["truth"]["labels"]
        for creature in info["truth"]["objects"]:
            assert bool((labels == creature["id"]).any()) is creature["visible"]
        named = {thing.shape for thing in env.facts()[1].things}
        assert {c["class"] for c in info["truth"]["objects"] if c["visible"]} <= named


def test_reseeding_changes_what_happens_by_chance_from_then_on(env: CrafterEnv):
    plain, later = play(env, 2, steps=60), play(env, 2, {"dynamics_seed": (7, 20)}, steps=60)
    assert_equal(plain[:21], later[:21])
    assert any((a[0] != b[0]).any() for a, b in zip(plain[21:], later[21:]))


def test_frames_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="ninth of the shorter side"):
        CrafterEnv(frame_size=(16, 64))
