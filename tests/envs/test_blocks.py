"""The block world: pictures against projections, each frame against its tick, digging, building, bodies, goals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import worldsim_envs.blocks as package
from true_episodes import needs
from worldsim_envs.blocks import BlocksEnv
from worldsim_envs.blocks.names import GOALS, NODES, SETTINGS
from worldsim_envs.blocks.screen import Window
from worldsim_envs.blocks.textures import TEXTURES
from worldsim_envs.policies import make_policy

from worldsim import engines
from worldsim.actions import ACTION_ID
from worldsim.worlds import WORLDS

SPEC = WORLDS["Blocks"]
LUA = Path(package.__file__).parent / "game" / "mods" / "worldsim"


@pytest.fixture(scope="module")
def env() -> Iterator[BlocksEnv]:
    needs("Blocks")
    env = BlocksEnv()
    yield env
    env.close()


def step(env: BlocksEnv, *names: str) -> tuple:
    for name in names:
        result = env.step(np.int64(ACTION_ID[name]))
    return result


CLEARING, ROCK_AND_SAND = 3, 1
"""Map seeds, by day: level ground with nothing in the way for some metres; stone and sand where goals ask for them."""


def start_for(env: BlocksEnv, goal: str) -> dict:
    _, info = env.reset(seed=0, options={"map_seed": ROCK_AND_SAND, "goal": goal})
    assert (info["truth"]["biome"], info["truth"]["light"]) == (GOALS[goal].biome, "bright")
    return info


def test_what_lua_registers_has_a_name_and_a_picture() -> None:
    lua = (LUA / "nodes.lua").read_text()
    nodes = set(re.findall(r'^(?:cube|plant|register)\("(\w+)"', lua, re.M)) - {"water_flowing"}
    assert nodes == set(NODES)
    assert set(re.findall(r'(?:picture|cube|plant)\("(\w+)"', lua)) <= set(TEXTURES)
    biomes = re.search(r"local BIOMES = \{(.*)\}", (LUA / "terrain.lua").read_text())
    assert biomes is not None and set(re.findall(r"\w+", biomes[1])) == set(SETTINGS)
    assert {SPEC.prompt, *SPEC.settings} == set(SETTINGS.values()) and tuple(GOALS) == SPEC.goals[1:]


def test_without_its_programs_the_world_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(engines, "GAMES", "/nowhere")
    with pytest.raises(ImportError, match=r"not found: minetest, Xvfb\. .* apt-get install minetest xvfb"):
        BlocksEnv()


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (48, 96), (96, 64), (16, 160)])
def test_the_lens_sees_seventy_degrees_of_a_four_to_three_screen(size: tuple[int, int]) -> None:
    window = Window(*size)
    up, across = (np.degrees(2 * np.arctan(side / 2 / window.focal)) for side in size)
    assert up <= 70 + 1e-9 and across <= np.degrees(2 * np.arctan(np.tan(np.radians(35)) * 4 / 3)) + 1e-9
    assert max(up / 70, np.tan(np.radians(across / 2)) / np.tan(np.radians(35)) * 3 / 4) == pytest.approx(1)
    rows, columns = window.size
    assert (rows - 20, columns) == (size[0] * window.scale, size[1] * window.scale)


def clearing(env: BlocksEnv) -> dict:
    return env.reset(seed=0, options={"map_seed": CLEARING})[1]


def corners(position: np.ndarray) -> np.ndarray:
    return position + np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_a_block_is_drawn_where_the_camera_projects_it(size: tuple[int, int]) -> None:
    needs("Blocks")
    env = BlocksEnv(frame_size=size)
    clearing(env)
    before, *_ = step(env, "look_down", "look_down", "noop")
    after, *_, info = step(env, "place")
    truth = info["truth"]
    (change,) = truth["changes"]
    assert (change["kind"], change["node"]) == ("place", "planks") and truth["inventory"]["planks"] == 31
    points = np.linalg.inv(truth["camera"]["c2w"]) @ np.c_[corners(change["position"]), np.ones(8)].T
    assert (points[2] > 0).all()
    x, y, _ = truth["camera"]["K"] @ (points[:3] / points[2])
    rows, columns = np.nonzero(np.abs(after.astype(int) - before).sum(2) > 40)
    height, width = size
    assert columns.min() == pytest.approx(max(x.min(), 0), abs=1.6)
    assert columns.max() + 1 == pytest.approx(min(x.max(), width), abs=1.6)
    assert rows.min() == pytest.approx(max(y.min(), 0), abs=1.6)
    assert rows.max() + 1 == pytest.approx(min(y.max(), height), abs=1.6)
    env.close()


def test_each_frame_shows_its_own_tick(env: BlocksEnv) -> None:
    """Four small turns are the four ticks of a whole one, so that each frame is known beforehand."""
    env.reset(seed=1, options={"map_seed": 1})
    small = [step(env, "turn_left_small")[4] for _ in range(4)]
    step(env, "turn_right")
    whole = step(env, "turn_left")[4]
    for tick in range(4):
        others = [np.abs(whole["frames"][tick].astype(int) - other["frames"][-1]).mean() for other in small]
        assert others[tick] < 0.05 and int(np.argmin(others)) == tick
    assert whole["truth"]["camera"]["yaw"] == pytest.approx(small[-1]["truth"]["camera"]["yaw"])


def test_a_body_walks_jumps_and_does_not_pass_through_blocks(env: BlocksEnv) -> None:
    info = clearing(env)
    start, yaw = info["truth"]["player"]["position"], np.radians(info["truth"]["camera"]["yaw"])
    *_, info = step(env, "forward")
    moved = info["truth"]["player"]["position"] - start
    np.testing.assert_allclose(moved, [0.864 * np.cos(yaw), 0.864 * np.sin(yaw), 0], atol=1e-6)
    *_, info = step(env, "backward")
    np.testing.assert_allclose(info["truth"]["player"]["position"], start, atol=1e-6)
    *_, info = step(env, "jump")
    heights = [info["truth"]["player"]["position"][2]]
    while not info["truth"]["player"]["on_ground"]:
        *_, info = step(env, "noop")
        heights.append(info["truth"]["player"]["position"][2])
    assert 1.0 < max(heights) - start[2] < 1.3 and heights[-1] == start[2]

    *_, info = step(env, "look_down", "look_down", "look_down", "place")
    (change,) = info["truth"]["changes"]
    stand = info["truth"]["player"]["position"]
    for _ in range(4):
        *_, info = step(env, "forward")
        here = info["truth"]["player"]["position"]
        assert np.abs(here[:2] - change["position"][:2]).max() > 0.8 - 1e-3  # half a block and half a body
    assert np.linalg.norm(here - stand) < 4 * 0.864 - 0.2  # it was in the way


def test_digging_takes_its_time_shows_cracks_and_pays_its_goal(env: BlocksEnv) -> None:
    start_for(env, "dig a stone block")
    before, *_ = step(env, "look_down", "look_down", "look_down", "look_down", "noop")
    node = env.truth()["pointed"]["node"]
    assert node in ("stone", "coal_ore", "iron_ore")
    cracked, reward, *_, info = step(env, "attack")
    assert reward == 0 and info["events"] == [] and (before != cracked).any()
    healed, *_ = step(env, "noop")
    np.testing.assert_array_equal(before, healed)  # work that stops is lost
    _, reward, terminated, _, info = step(env, "attack", "attack")
    assert reward == float(node == "stone") and not terminated
    kinds = [event["kind"] for event in info["events"]]
    assert kinds == (["dig", "goal"] if reward else ["dig"])
    assert info["truth"]["changes"][0]["node"] == node and info["truth"]["inventory"]["stone"] >= 32


def test_what_is_dug_can_be_placed(env: BlocksEnv) -> None:
    start_for(env, "dig a sand block")
    *_, info = step(env, "look_down", "look_down", "look_down", "attack")
    assert [event["shape"] for event in info["events"] if event["kind"] == "dig"] == ["sand block"] * 2
    held = []
    for _ in range(5):
        *_, info = step(env, "next_item")
        held.append(info["truth"]["wielded"])
    assert held == ["stone", "lamp", "sand", "planks", "stone"]
    step(env, "next_item", "next_item")
    *_, info = step(env, "place")
    assert info["truth"]["changes"][0]["node"] == "sand" and info["truth"]["inventory"]["sand"] == 1
    assert info["caption"]["event"]


def test_a_lamp_that_comes_back_is_one_lamp(env: BlocksEnv) -> None:
    clearing(env)
    *_, info = step(env, "look_down", "look_down", "next_item", "next_item", "place")
    place = info["truth"]["changes"][0]["position"].tolist()
    *_, info = step(env, "attack")  # digs the lamp, and the ground below it, which is filled first
    placed: list = []
    while place not in placed and len(placed) < 4:
        *_, info = step(env, "place")
        placed += [change["position"].tolist() for change in info["truth"]["changes"]]
    assert placed[-1] == place
    there = [thing["class"] for thing in info["truth"]["objects"] if thing["position"].tolist() == place]
    assert there == ["lamp"]


def test_looking_ends_before_the_zenith(env: BlocksEnv) -> None:
    env.reset(seed=0)
    *_, info = step(env, *["look_up"] * 7)
    assert info["truth"]["camera"]["pitch"] == pytest.approx(75)
    *_, info = step(env, *["look_down"] * 12)
    assert info["truth"]["camera"]["pitch"] == pytest.approx(-75)


def test_a_goal_starts_where_its_things_are(env: BlocksEnv) -> None:
    biomes = [env.reset(seed=s, options={"goal": "dig a tree trunk"})[1]["truth"]["biome"] for s in range(3)]
    assert biomes.count("forest") >= 2


def test_poses_are_taken_and_water_is_refused(env: BlocksEnv) -> None:
    _, info = env.reset(seed=0, options={"map_seed": 2})
    x, y, _ = info["truth"]["player"]["position"]
    first, info = env.reset(seed=0, options={"map_seed": 2, "pose": (x, y, 90.0)})
    assert info["truth"]["camera"]["yaw"] == pytest.approx(90) and env.pose()[:2] == (x, y)
    again, _ = env.reset(seed=5, options={"map_seed": 2, "pose": (x, y, 90.0)})
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ValueError, match=r"pose=\(1000.0, 0.0, 0.0\) of map seed 2: it lies outside of the map"):
        env.reset(seed=0, options={"map_seed": 2, "pose": (1000, 0, 0)})
    with pytest.raises(ValueError, match="there is water"):
        env.reset(seed=0, options={"map_seed": 1, "pose": (0, 0, 0)})
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        env.step(np.int64(1))  # the episode before is over, and none has begun
    assert env.reset(seed=0, options={"map_seed": 2})[1]["truth"]["player"]["position"][:2].tolist() == [x, y]


def test_there_are_no_buffers() -> None:
    needs("Blocks")
    with pytest.raises(ValueError, match="neither depth nor labels"):
        BlocksEnv(truth=("depth",))


@pytest.mark.slow
def test_the_explorer_digs_builds_and_walks(env: BlocksEnv) -> None:
    kinds: set[str] = set()
    gone = []
    for seed in range(2):
        obs, info = env.reset(seed=seed)
        start = info["truth"]["player"]["position"]
        policy, rng = make_policy("explorer", SPEC), np.random.default_rng(seed)
        for _ in range(150):
            obs, *_, info = env.step(np.int64(policy.act(env, obs, info, rng)))
            kinds |= {event["kind"] for event in info["events"]}
        gone.append(float(np.linalg.norm(info["truth"]["player"]["position"] - start)))
    assert {"dig", "place"} <= kinds and max(gone) > 5
