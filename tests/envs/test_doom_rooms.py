"""DoomRooms against what is known of its maps: motion, camera, depth, doors, boxes, cones, goals, and what
is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("vizdoom")

import gymnasium as gym
from worldsim_envs.doom import DoomRoomsEnv, maps
from worldsim_envs.doom import rooms as rooms_module
from worldsim_envs.doom.layout import MapLayout, Passage, Placed, Room

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.actions import ACTION_ID
from worldsim.captions.facts import EventFact, Surface

STEP_LIMIT = 40


def surface(colour: str, pattern: str = "plain") -> Surface:
    return Surface(colour, pattern)


WEST = Room((0.0, 0.0, 12.0, 12.0), surface("red"), surface("green"), surface("blue"), 240, 4.0)
EAST = Room((15.0, 0.0, 27.0, 12.0), surface("yellow"), surface("white"), surface("cyan"), 240, 4.0)
DOOR = Passage(
    (0, 1),
    (12.0, 5.0, 15.0, 7.0),
    "x",
    surface("orange"),
    surface("purple"),
    surface("blue"),
    240,
    True,
    "cyan",
    (13.0, 5.0, 13.5, 7.0),
)
BARE = MapLayout(0, (WEST, EAST), (DOOR,), (), (6.0, 6.0, 0.0))


@pytest.fixture(scope="module")
def env() -> Iterator[DoomRoomsEnv]:
    world = gym.make("worldsim/DoomRooms-v0", disable_env_checker=True, truth=("depth", "labels")).unwrapped
    assert isinstance(world, DoomRoomsEnv)
    yield world
    world.close()


def begin(
    env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch, *things: Placed, yaw: float = 0.0, goal: str = ""
) -> dict:
    """Starts an episode in the middle of the western of two rooms, with ``things`` in them."""
    layout = replace(BARE, things=things, start=(6.0, 6.0, yaw))
    monkeypatch.setattr(rooms_module, "generate", lambda seed, goal: layout)
    _, info = env.reset(seed=0, options={"goal": goal})
    return info


def act(env: DoomRoomsEnv, name: str) -> tuple[float, dict]:
    _, reward, terminated, truncated, info = env.step(np.int64(ACTION_ID[name]))
    assert not terminated and not truncated
    return reward, info


def turned(before: dict, after: dict) -> float:
    return (after["truth"]["camera"]["yaw"] - before["truth"]["camera"]["yaw"] + 180) % 360 - 180


@pytest.mark.parametrize(
    ("action", "degrees"),
    [
        ("turn_left", 14), ("turn_right", -14), ("turn_left_small", 3.5), ("turn_right_small", -3.5),
        ("forward+turn_left", 14), ("forward+turn_right", -14), ("forward", 0), ("noop", 0),
    ],
)  # fmt: skip
def test_commanded_turns_are_made_exactly(
    env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch, action: str, degrees: float
) -> None:
    info = begin(env, monkeypatch)
    for _ in range(5):
        _, later = act(env, action)
        assert turned(info, later) == pytest.approx(degrees, abs=0.02)
        info = later


@pytest.mark.parametrize(
    ("action", "direction"), [("forward", (1, 0)), ("backward", (-1, 0)), ("strafe_left", (0, 1)),
    ("strafe_right", (0, -1))]
)  # fmt: skip
def test_walking_goes_where_the_camera_says(
    env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch, action: str, direction: tuple[int, int]
) -> None:
    begin(env, monkeypatch)
    for _ in range(4):
        _, info = act(env, action)
    moved = info["truth"]["camera"]["c2w"][:2, 3] - (6.0, 6.0)
    assert np.dot(moved, direction) > 1.0
    assert abs(moved[0] * direction[1] - moved[1] * direction[0]) < 0.05


def test_camera_projects_things_onto_their_pixels(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    things = [
        Placed("ball", "red", 9.0, 6.5, 0),
        Placed("diamond", "blue", 10.0, 4.0, 0),
        Placed("box", "white", 10.0, 7.5, 0),
    ]
    truth = begin(env, monkeypatch, *things)["truth"]
    camera = truth["camera"]
    assert camera["K"].shape == (3, 3) and camera["c2w"].shape == (4, 4)
    assert {o["class"] for o in truth["objects"]} == {"ball", "diamond", "box"}
    for thing in truth["objects"]:
        assert thing["visible"]
        rows, columns = np.nonzero(truth["labels"] == thing["id"])
        foot = (np.linalg.inv(camera["c2w"]) @ np.append(thing["position"], 1))[:3]
        u, v, _ = camera["K"] @ foot / foot[2]
        assert abs((columns.min() + columns.max() + 1) / 2 - u) < 1.0
        assert abs(rows.max() + 1 - v) < 1.5
        height = camera["K"][1, 1] * 1.0 / foot[2]
        assert abs((rows.max() + 1 - rows.min()) - height) < 3.0
        depth = np.median(truth["depth"][rows, columns])
        assert depth == pytest.approx(foot[2], abs=0.3)


def test_depth_is_the_distance_to_the_wall(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch)
    for x, wall in ((2.0, 12.0), (4.0, 12.0), (8.0, 12.0), (10.5, 12.0)):
        _, info = env.reset(seed=0, options={"pose": (x, 2.0, 0.0)})
        depth = info["truth"]["depth"]
        assert depth.dtype == np.float32 and depth.shape == (64, 64)
        assert depth[31, 32] == pytest.approx(wall - x, abs=0.3)


def test_red_is_red_in_the_picture(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch)
    obs, _ = env.reset(seed=0, options={"pose": (9.0, 2.0, 0.0)})
    wall, floor = obs[28:34].mean((0, 1)), obs[-4:].mean((0, 1))
    assert wall[0] > 3 * max(wall[1], wall[2]) and floor[1] > 2 * max(floor[0], floor[2])


@pytest.mark.parametrize("goal", ["", "collect the red ball", "collect the blue diamond"])
def test_goals_pay_for_their_kind_only(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch, goal: str) -> None:
    things = [
        Placed("ball", "red", 8.0, 6.0, 0),
        Placed("diamond", "green", 9.5, 6.0, 0),
        Placed("ball", "white", 2.0, 2.0, 0),
    ]
    info = begin(env, monkeypatch, *things, goal=goal)
    assert info["goal"] == goal
    picked = {}
    for _ in range(8):
        reward, info = act(env, "forward")
        for event in info["events"]:
            if event["kind"] == "pick_up":
                picked[event["colour"], event["shape"]] = reward
            if event["kind"] == "goal":
                assert goal and reward == 1.0
    ball = float(goal in ("", "collect the red ball"))
    assert picked == {("red", "ball"): ball, ("green", "diamond"): float(goal == "")}
    assert {(o["colour"], o["class"]) for o in info["truth"]["objects"]} == {("white", "ball")}


def test_a_goal_that_does_not_exist_is_refused(env: DoomRoomsEnv) -> None:
    with pytest.raises(ValueError, match="collect the red cone"):
        env.reset(seed=0, options={"goal": "collect the red cone"})


def test_a_door_stops_opens_and_is_passed(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch)
    for _ in range(10):
        act(env, "forward")
    assert env.pose()[0] < 13.0 and not env.open_doors()
    _, view, _ = env.facts()
    assert view.doors == ("cyan",)
    kinds = []
    for _ in range(3):
        _, info = act(env, "use")
        kinds += info["events"]
        if info["events"]:
            break
    assert kinds == [{"kind": "door_opens", "colour": "cyan", "shape": "door"}]
    for _ in range(STEP_LIMIT):
        act(env, "forward")
        if env.pose()[0] > 16.0:
            break
    assert env.layout.room_at(*env.pose()[:2]) == 1
    closing = []
    for _ in range(60):
        _, info = act(env, "noop")
        closing += [event["kind"] for event in info["events"]]
    assert closing == ["door_closes"]


def test_use_can_be_repeated_in_successive_steps(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch)
    act(env, "use")  # far from the door
    for _ in range(10):
        act(env, "forward")
    events = []
    for _ in range(3):
        events += act(env, "use")[1]["events"]
    assert events[0]["kind"] == "door_opens"


def test_a_box_is_pushed(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch, Placed("box", "purple", 8.0, 6.0, 0))
    pushes = []
    for _ in range(8):
        reward, info = act(env, "forward")
        assert reward == 0.0
        pushes += info["events"]
    assert pushes and all(event == {"kind": "push", "colour": "purple", "shape": "box"} for event in pushes)
    assert info["truth"]["objects"][0]["position"][0] > 8.5


def test_a_cone_is_shot(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch, Placed("cone", "orange", 9.0, 6.0, 0))
    seen: set[tuple[str, str]] = set()
    for _ in range(STEP_LIMIT):
        _, info = act(env, "attack")
        seen |= {(event["kind"], event["colour"]) for event in info["events"]}
        if not info["truth"]["objects"]:
            break
    assert {("shoot", ""), ("hit", ""), ("destroy", "orange")} <= seen


def test_what_is_seen_is_told(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    things = [
        Placed("ball", "red", 8.0, 6.0, 0), Placed("ball", "red", 10.0, 6.5, 0),
        Placed("cone", "white", 9.0, 8.0, 0), Placed("box", "blue", 2.0, 6.0, 0),
    ]  # fmt: skip
    begin(env, monkeypatch, *things)
    scene, view, events = env.facts()
    assert scene.rooms == 2 and scene.walls == (WEST.wall, EAST.wall) and events == ()
    assert {(t.shape, t.colour, t.count) for t in scene.things} == {
        ("ball", "red", 2), ("cone", "white", 1), ("box", "blue", 1),
    }  # fmt: skip
    assert (view.wall, view.floor, view.ceiling, view.light) == (
        WEST.wall,
        WEST.floor,
        WEST.ceiling,
        "bright",
    )
    told = {(t.shape, t.colour): (t.count, t.place, t.near) for t in view.things}
    assert told == {("ball", "red"): (2, "ahead", True), ("cone", "white"): (1, "left", False)}
    assert "red" in env.caption("descriptive")["view"]


def test_events_are_captioned(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch, Placed("ball", "green", 7.5, 6.0, 0))
    for _ in range(4):
        _, info = act(env, "forward")
        if info["events"]:
            break
    assert env.facts()[2] == (EventFact("pick_up", "green", "ball"),)
    assert "green" in info["caption"]["event"]


def test_caption_styles(env: DoomRoomsEnv) -> None:
    env.reset(seed=5)
    texts = [env.caption(style) for style in ("short", "medium", "descriptive")]
    assert texts == [env.caption(style) for style in ("short", "medium", "descriptive")]
    assert len(texts[0]["scene"]) < len(texts[2]["scene"])
    with pytest.raises(ValueError, match="poem"):
        env.caption("poem")


def test_starts_vary_in_place_and_yaw(env: DoomRoomsEnv) -> None:
    poses = []
    for seed in range(12):
        env.reset(seed=seed)
        x, y, _, yaw = env.pose()
        room = env.layout.room_at(x, y)
        assert room is not None and env.layout.rooms[room].holds(x, y, 0.5)
        assert (x, y) == pytest.approx(env.layout.start[:2], abs=1e-3)
        assert abs((yaw - env.layout.start[2] + 180) % 360 - 180) < 0.01
        poses.append((x, y, yaw))
    assert len({round(yaw) for *_, yaw in poses}) > 8


def test_every_generated_map_runs_and_holds_its_things(env: DoomRoomsEnv) -> None:
    for seed in range(20):
        _, info = env.reset(seed=0, options={"map_seed": seed})
        there = sorted((o["class"], o["colour"]) for o in info["truth"]["objects"])
        assert there == sorted((t.shape, t.colour) for t in maps.generate(seed).things)


def test_there_and_back_shows_the_same_picture(env: DoomRoomsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(env, monkeypatch, yaw=90.0)
    first, _ = env.reset(seed=0)
    for name in ["turn_left"] * 5 + ["turn_right"] * 5:
        act(env, name)
    assert np.abs(env._frame.astype(int) - first.astype(int)).mean() < 1.0
