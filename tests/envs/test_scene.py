"""The scene: the camera against projections, pushes, the screen that hides, goals, what moves by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from true_episodes import assert_equal, needs, play
from worldsim_envs.policies import make_policy
from worldsim_envs.scene import SceneEnv
from worldsim_envs.scene.camera import HIGHEST, LOWEST
from worldsim_envs.scene.layout import Body, SceneLayout, generate
from worldsim_envs.scene.physics import FPS, ScenePhysics

from worldsim.actions import ACTION_ID
from worldsim.captions.facts import Surface
from worldsim.worlds import WORLDS

SPEC = WORLDS["Scene"]
EMPTY = SceneLayout(Surface("grey", "plain"), Surface("white", "plain"), "black", (-1.0, -1.0), yaw=90.0, pitch=-30.0)


@pytest.fixture(scope="module", autouse=True)
def can_draw() -> None:
    needs("Scene")


@pytest.fixture(scope="module")
def env() -> Iterator[SceneEnv]:
    env = SceneEnv(truth=("labels", "depth"))
    env.reset(seed=0)
    yield env
    env.close()


def step(env: SceneEnv, name: str) -> tuple:
    return env.step(np.int64(ACTION_ID[name]))


def scene(*bodies: Body, **changes) -> ScenePhysics:
    return ScenePhysics(replace(EMPTY, bodies=bodies, **changes), (64, 64), 0)


def test_bodies_are_drawn_where_the_camera_projects_them(env: SceneEnv):
    checked = 0
    for seed in range(6):
        _, info = env.reset(seed=seed)
        truth = info["truth"]
        for body in truth["objects"]:
            if body["class"] == "occluder":
                continue
            point = np.linalg.inv(truth["camera"]["c2w"]) @ np.append(body["position"], 1)
            column, row, depth = truth["camera"]["K"] @ point[:3]
            column, row = column / depth, row / depth
            rows, columns = np.nonzero(truth["labels"] == body["id"])
            if not (6 < column < 58 and 6 < row < 58) or len(rows) < 30:
                continue
            assert abs(rows.mean() + 0.5 - row) < 2 and abs(columns.mean() + 0.5 - column) < 2
            front = np.median(truth["depth"][rows, columns])
            assert 0 < depth - front < 0.2  # the surface, before the middle
            checked += 1
    assert checked > 6


def test_turning_circles_by_the_degrees_of_the_action_and_comes_round(env: SceneEnv):
    _, info = env.reset(seed=3)
    yaw, first = info["truth"]["camera"]["yaw"], info["truth"]["camera"]["c2w"]
    *_, info = step(env, "turn_left")
    assert (info["truth"]["camera"]["yaw"] - yaw) % 360 == pytest.approx(14.0)
    *_, info = step(env, "turn_right")
    np.testing.assert_allclose(info["truth"]["camera"]["c2w"], first, atol=1e-9)
    for _ in range(20):
        *_, info = step(env, "look_up")
    assert info["truth"]["camera"]["pitch"] == LOWEST
    for _ in range(20):
        *_, info = step(env, "look_down")
    assert info["truth"]["camera"]["pitch"] == HIGHEST


def test_the_pusher_moves_as_the_camera_sees_it(env: SceneEnv):
    for name, (ahead, left) in {"forward": (1, 0), "strafe_left": (0, 1), "strafe_right": (0, -1)}.items():
        env.reset(seed=0, options={"map_seed": 2, "pose": (*free_place(2), 30.0)})
        x, y, _, yaw = env.pose()
        step(env, name)
        dx, dy = env.pose()[0] - x, env.pose()[1] - y
        a = np.radians(yaw)
        assert ahead * (dx * np.cos(a) + dy * np.sin(a)) + left * (-dx * np.sin(a) + dy * np.cos(a)) > 0.08


def free_place(seed: int) -> tuple[float, float]:
    """Somewhere with 0.3 m around it in the scene of a map seed."""
    layout, rng = generate(seed), np.random.default_rng(0)
    taken = [(b.x, b.y, b.size * 1.42) for b in layout.bodies] + ([(*layout.screen[:2], 0.45)] if layout.screen else [])
    while True:
        x, y = rng.uniform(-0.8, 0.8, 2)
        if all(np.hypot(x - a, y - b) > size + 0.3 for a, b, size in taken):
            return float(x), float(y)


def test_what_is_pushed_moves_and_heavy_things_move_less():
    gone = []
    for heavy in (False, True):
        running = scene(Body("cube", "red", 0.0, 0.0, 0.12, heavy=heavy), pusher=(-0.4, 0.0))
        for _ in range(8):
            running.frame((2.6, 0.0))
        for _ in range(FPS):
            running.frame((0.0, 0.0))
        assert 1 in running.touched
        gone.append(running.position(1)[0])
    assert gone[0] > gone[1] + 0.05 and gone[1] > 0.05


def test_momentum_goes_over_in_a_collision_of_balls():
    """In the frame in which two balls of equal mass meet, one gains what the other loses, but for friction."""
    running = scene(Body("ball", "red", -0.35, 0.0, 0.12), Body("ball", "blue", 0.0, 0.0, 0.12))
    running.frames = 1  # no kick
    running.data.qvel[running.model.body("b0").dofadr[0]] = 1.0
    speeds = []
    while not speeds or speeds[-1][1] < 0.05:
        running.frame((0.0, 0.0))
        speeds.append((running.velocity(1)[0], running.velocity(2)[0]))
        assert len(speeds) < 20
    (before, at_rest), (first, second) = speeds[-2:]
    assert before > 0.6 and abs(at_rest) < 0.01 and first < before - 0.05
    rubbed_off = 0.6 * 9.81 / FPS  # at most, by sliding friction on the floor within the frame
    assert before - rubbed_off < first + second < before + 0.01


def test_a_screen_hides_and_slides():
    env = SceneEnv(truth=("labels",))
    env.reset(seed=0)
    layout = SceneLayout(
        EMPTY.floor, EMPTY.backdrop, "black", (-0.62, 0.0), yaw=90.0, pitch=-12.0,
        bodies=(Body("cube", "red", 0.0, 0.45, 0.12),), screen=(0.0, 0.0, 0.0),
    )  # fmt: skip
    env._stage(layout, 0)
    *_, info = env.step(np.int64(0))
    assert not info["truth"]["objects"][0]["visible"] and "cube" not in {t.shape for t in env.facts()[1].things}
    kinds = set()
    for _ in range(9):
        *_, info = step(env, "strafe_right")
        kinds |= {event["kind"] for event in info["events"]}
    assert "slide" in kinds and info["truth"]["objects"][0]["visible"]
    env.close()


def test_only_balls_move_by_themselves_and_the_dynamics_seed_is_theirs(env: SceneEnv):
    with_ball = next(s for s in range(50) if any(b.shape == "ball" for b in generate(s).bodies))
    options = {"map_seed": with_ball}
    plain = play(env, 0, options, steps=14)
    assert_equal(plain, play(env, 0, options, steps=14))
    later = play(env, 0, options | {"dynamics_seed": (5, 6)}, steps=14)
    assert_equal(plain[:7], later[:7])
    assert any((a[0] != b[0]).any() for a, b in zip(plain[7:], later[7:]))


@pytest.mark.parametrize("goal", SPEC.goals[1:6])
def test_what_a_goal_needs_stands_there(goal: str):
    _, _, colour, shape, *_ = goal.split()
    for seed in range(10):
        layout = generate(seed, goal)
        assert layout.target is not None and (shape, colour) in {(b.shape, b.colour) for b in layout.bodies}
        assert len({b.colour for b in layout.bodies}) == len(layout.bodies)


def test_a_body_on_the_target_pays_and_ends_the_goal():
    layout = SceneLayout(
        EMPTY.floor, EMPTY.backdrop, "black", (-0.5, 0.0), yaw=0.0, pitch=-30.0,
        bodies=(Body("cube", "red", -0.2, 0.0, 0.1),), target=(0.4, 0.0),
    )  # fmt: skip
    for goal, ends in (
        ("", False),
        ("push the red cube to the target", True),
        ("push the blue ball to the target", None),
    ):
        env = SceneEnv(goal=goal)
        env.reset(seed=0)
        env._stage(layout, 0)
        outcomes = []
        for _ in range(6):
            _, reward, terminated, *_ = step(env, "forward")
            outcomes.append((reward, terminated))
            if terminated:
                break
        paid = [reward for reward, _ in outcomes]
        assert sum(paid) == (0.0 if ends is None else 1.0) and outcomes[-1][1] is bool(ends)
        env.close()


def test_the_explorer_pushes_and_goes_round(env: SceneEnv):
    kinds: set[str] = set()
    yaws = []
    for seed in range(2):
        obs, info = env.reset(seed=seed)
        policy, rng = make_policy("explorer", SPEC), np.random.default_rng(seed)
        for _ in range(80):
            obs, *_, info = env.step(np.int64(policy.act(env, obs, info, rng)))
            kinds |= {event["kind"] for event in info["events"]}
            yaws.append(info["truth"]["camera"]["yaw"])
    assert "push" in kinds and np.ptp(yaws) > 60


def test_pose_must_be_free(env: SceneEnv):
    env.reset(seed=1)
    body = env.layout.bodies[0]
    with pytest.raises(ValueError, match="free place of map seed"):
        env.reset(seed=1, options={"pose": (body.x, body.y, 0.0)})
    with pytest.raises(ValueError, match="free place"):
        env.reset(seed=1, options={"pose": (1.19, 0.0, 0.0)})
