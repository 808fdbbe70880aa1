"""What the Doom worlds add to the contract of the true worlds: health bar, warping, reseeding, rendering; and refusals,
which are the base class's and tried on one of them."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.actions import ACTION_ID
from worldsim.worlds import SPLITS

pytest.importorskip("vizdoom")

from true_episodes import assert_equal, play
from worldsim_envs.base import Start
from worldsim_envs.doom.world import BAR_EMPTY, BAR_FULL, BAR_ROWS, DoomWorld, draw_health

DEADLY = ("DoomTakeCover", "DoomHealthGathering")


def make(name: str, **kwargs: object) -> DoomWorld:
    env = gym.make(f"worldsim/{name}-v0", disable_env_checker=True, **kwargs).unwrapped
    assert isinstance(env, DoomWorld)
    return env


@pytest.fixture(scope="module")
def cover() -> Iterator[DoomWorld]:
    env = make("DoomTakeCover")
    yield env
    env.close()


def test_seeds_draw_maps_of_the_split() -> None:
    for split, (low, high) in SPLITS.items():
        env = make("DoomBasic", split=split)
        seeds = []
        for seed in range(5):
            env.reset(seed=seed)
            seeds.append(env.map_seed)
        assert all(low <= s < high for s in seeds) and len(set(seeds)) == 5
        env.close()


def test_dynamics_seed_changes_only_what_moves_by_itself(cover: DoomWorld) -> None:
    plain = play(cover, 6, steps=40)
    one = play(cover, 6, {"dynamics_seed": 1}, steps=40)
    assert_equal(one, play(cover, 6, {"dynamics_seed": 1}, steps=40))
    two = play(cover, 6, {"dynamics_seed": (2, 5)}, steps=40)
    np.testing.assert_array_equal(plain[0][0], one[0][0])
    for before in range(6):
        np.testing.assert_array_equal(plain[before][0], two[before][0])
    assert any((a[0] != b[0]).any() for a, b in zip(plain, one))
    assert any((a[0] != b[0]).any() for a, b in zip(plain[6:], two[6:]))


@pytest.mark.parametrize("name", ["DoomRooms", "DoomMyWayHome"])
def test_reseeding_a_world_without_chance_changes_nothing(name: str) -> None:
    env = make(name)
    walk = [13, 1, 1, 5, 14, 1, 0, 1]
    outcomes = []
    for options in (None, {"dynamics_seed": (9, 0)}, {"dynamics_seed": (9, 3)}):
        _, info = env.reset(seed=2, options=options)
        frames, objects = [info["frames"]], []
        for action in walk:
            *_, info = env.step(np.int64(action))
            frames.append(info["frames"])
            objects.append(sorted(thing["id"] for thing in info["truth"]["objects"]))
        outcomes.append((frames, objects))
    for frames, objects in outcomes[1:]:
        assert objects == outcomes[0][1]
        assert all((a == b).all() for a, b in zip(frames, outcomes[0][0]))
    env.close()


def test_world_actions_are_the_keyboards() -> None:
    keyboard, world = make("DoomBasic"), make("DoomBasic", actions="world")
    assert world.action_space == gym.spaces.Discrete(4)
    assert world.action_meanings == ("noop", "strafe_left", "strafe_right", "attack")
    assert len(keyboard.action_meanings) == 32
    for index, name in enumerate(world.action_meanings):
        for env in (keyboard, world):
            env.reset(seed=0)
        *_, a = world.step(np.int64(index))
        *_, b = keyboard.step(np.int64(ACTION_ID[name]))
        np.testing.assert_array_equal(a["frames"], b["frames"])
    keyboard.close()
    world.close()


@pytest.mark.parametrize("action", [32, -1, 1.5, [0], None, "noop"])
def test_wrong_actions_are_refused(cover: DoomWorld, action: object) -> None:
    cover.reset(seed=0)
    with pytest.raises(ValueError, match=r"Discrete\(32\)"):
        cover.step(action)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mapseed": 3}, "mapseed"),
        ({"map_seed": -1}, "map_seed"),
        ({"map_seed": 1.5}, "map_seed"),
        ({"pose": (1, 2)}, "pose"),
        ({"pose": (1, 2, float("nan"))}, "pose"),
        ({"pose": (900.0, 2.0, 0.0)}, "free floor"),
        ({"dynamics_seed": "x"}, "dynamics_seed"),
        ({"dynamics_seed": (1, 2, 3)}, "dynamics_seed"),
        ({"goal": "collect the red ball"}, "goal"),
    ],
)
def test_bad_reset_options_are_refused_by_name(cover: DoomWorld, options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        cover.reset(seed=0, options=options)
    cover.reset(seed=0)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"split": "dev"},
        {"frame_size": (64,)},
        {"frame_size": (8, 64)},
        {"actions": "all"},
        {"hud": "full"},
        {"goal": "win"},
        {"time_limit": 0},
        {"truth": ("albedo",)},
        {"render_mode": "human"},
    ],
)
def test_bad_arguments_are_refused_by_name(kwargs: dict) -> None:
    from worldsim_envs.doom import DoomBasicEnv

    with pytest.raises(ValueError, match=next(iter(kwargs))):
        DoomBasicEnv(**kwargs)


def test_stepping_before_reset_or_after_the_end_is_refused() -> None:
    env = make("DoomBasic", time_limit=2)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.int64(0))
    env.reset(seed=0)
    assert env.step(np.int64(0))[2:4] == (False, False)
    assert env.step(np.int64(0))[2:4] == (False, True)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.int64(0))
    env.close()


def test_the_worlds_own_time_limit_holds() -> None:
    env = make("DoomBasic")
    env.reset(seed=0)
    flags = [env.step(np.int64(0))[2:4] for _ in range(75)]
    assert flags == [(False, False)] * 74 + [(False, True)]
    env.close()


def bar_length(frame: np.ndarray) -> int:
    """Columns of the health bar that are full; all of its rows must agree."""
    rows = frame[-BAR_ROWS:]
    full, empty = (rows == BAR_FULL).all(-1), (rows == BAR_EMPTY).all(-1)
    assert (full | empty).all() and (full == full[0]).all()
    return int(full[0].sum())


@pytest.mark.parametrize("name", DEADLY)
def test_health_bar_is_as_long_as_the_health_to_the_end(name: str) -> None:
    env = make(name)
    obs, _ = env.reset(seed=3)
    lengths = {bar_length(obs)}
    terminated = truncated = False
    while not (terminated or truncated):
        obs, reward, terminated, truncated, info = env.step(np.int64(0))
        assert bar_length(obs) == round(64 * env.health / 100)
        lengths.add(bar_length(obs))
    assert terminated and not truncated and env.health == 0 and bar_length(obs) == 0
    assert len(lengths) > 1
    n = info["n_frames"]
    assert 1 <= n <= 4 and info["frames"].shape == (4, 64, 64, 3)
    for padded in info["frames"][n - 1 :]:
        np.testing.assert_array_equal(padded, obs)
    assert {"death"} <= {event["kind"] for event in info["events"]}
    assert reward == n - (100 if name == "DoomHealthGathering" else 0)
    env.close()


def test_blocks_that_an_end_cuts_short_are_padded(cover: DoomWorld) -> None:
    cut = 0
    for seed in range(6):
        cover.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            obs, _, terminated, truncated, info = cover.step(np.int64(0))
        n = info["n_frames"]
        cut += n < 4
        assert (info["frames"][n - 1 :] == obs).all()
        assert bar_length(info["frames"][n - 1]) == 0
        if n > 1:
            assert bar_length(info["frames"][n - 2]) > 0
    assert cut > 1


def test_draw_health_rounds_and_clips() -> None:
    for health, length in ((100.0, 64), (120.0, 64), (50.0, 32), (1.0, 1), (0.0, 0), (-5.0, 0)):
        assert bar_length(draw_health(np.full((64, 64, 3), 7, np.uint8), health)) == length


def test_no_bar_without_hud_or_danger() -> None:
    for name, kwargs in (("DoomTakeCover", {"hud": "none"}), ("DoomRooms", {}), ("DoomBasic", {})):
        env = make(name, **kwargs)
        obs, _ = env.reset(seed=0)
        assert not (obs[-BAR_ROWS:] == BAR_FULL).all(-1).any()
        env.close()


def test_basic_is_won_by_shooting_when_aligned() -> None:
    env = make("DoomBasic")
    _, info = env.reset(seed=0)
    for _ in range(75):
        monster = info["truth"]["objects"][0]
        camera = info["truth"]["camera"]
        x = (np.linalg.inv(camera["c2w"]) @ np.append(monster["position"], 1))[0]
        aligned = abs(x) < 0.5
        name = "attack" if aligned else "strafe_right" if x > 0 else "strafe_left"
        _, reward, terminated, truncated, info = env.step(np.int64(ACTION_ID[name]))
        if terminated or truncated:
            break
    assert terminated and not truncated and 106 - 5 - 4 <= reward <= 106 - 1
    assert {"kind": "destroy", "colour": "", "shape": "monster"} in info["events"]
    env.close()


def test_pose_is_reached_exactly() -> None:
    env = make("DoomMyWayHome")
    for yaw in (0.0, 37.0, 250.5):
        _, info = env.reset(seed=0, options={"pose": (7.0, -5.0, yaw)})
        camera = info["truth"]["camera"]
        np.testing.assert_allclose(camera["c2w"][:3, 3], (7.0, -5.0, 41 / 32), atol=1e-3)
        assert abs((camera["yaw"] - yaw + 180) % 360 - 180) < 0.01
    env.close()


def test_a_pose_between_whole_map_units_is_the_nearest_of_them() -> None:
    env = make("DoomMyWayHome")
    _, info = env.reset(seed=0, options={"pose": (7.013, -5.021, 37.0)})
    np.testing.assert_allclose(info["truth"]["camera"]["c2w"][:2, 3], (7.0, -161 / 32), atol=1e-3)
    env.close()


def test_frames_of_another_aspect_are_cropped_and_never_stretched() -> None:
    wide, square = make("DoomRooms", frame_size=(120, 160)), make("DoomRooms", frame_size=(120, 120))
    a, _ = wide.reset(seed=1)
    b, _ = square.reset(seed=1)
    np.testing.assert_array_equal(a[:, 20:140], b)
    small, _ = (env := make("DoomRooms", frame_size=(60, 60))).reset(seed=1)
    area = b.reshape(60, 2, 60, 2, 3).mean((1, 3))
    assert np.abs(small - area).max() <= 1.0
    for e in (wide, square, env):
        e.close()


def test_large_frames_render_at_the_higher_resolution() -> None:
    env = make("DoomRooms", frame_size=(128, 128))
    env.reset(seed=1)
    assert env.view.screen == (240, 320)
    env.close()


def test_nothing_is_left_in_the_working_folder(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = make("DoomBasic")
    env.reset(seed=0)
    folder = env.engine.folder
    assert folder.exists()
    env.close()
    env.close()
    assert not folder.exists()
    assert not list(tmp_path.iterdir())


def test_start_is_a_record_of_what_was_asked(cover: DoomWorld) -> None:
    cover.reset(seed=0, options={"map_seed": 9, "dynamics_seed": (4, 2)})
    assert cover._start == Start(9, "", None, (4, 2))
