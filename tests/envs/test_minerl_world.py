"""MineRL's old gym API behind the shared actions, against a stand-in that keeps what it is told.

MineRL itself cannot be installed beside this project; the stand-in has its API: old four-value steps, dict actions with
a camera in degrees, lists of names, ``pov``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from worldsim_envs.minerl import MineRLWorld, make_minerl

from worldsim.actions import ACTION_ID


class Space:
    """A space of old gym, as far as MineRL's actions need it."""

    def __init__(self, values: tuple[str, ...] = (), **spaces: Any) -> None:
        if values:
            self.values = np.array(values)
        if spaces:
            self.spaces = spaces


HELD = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint")
OBTAIN = Space(
    **dict.fromkeys(HELD, Space()),
    camera=Space(),
    place=Space(("none", "dirt", "stone", "cobblestone", "crafting_table", "furnace", "torch")),
    equip=Space(("none", "air", "wooden_axe", "iron_pickaxe")),
    craft=Space(("none", "torch", "stick", "planks", "crafting_table")),
    nearbyCraft=Space(("none", "wooden_pickaxe", "stone_pickaxe", "iron_pickaxe", "furnace")),
    nearbySmelt=Space(("none", "iron_ingot", "coal")),
)
TREECHOP = Space(**dict.fromkeys(HELD, Space()), camera=Space())
BASALT = Space(
    **dict.fromkeys((*HELD, "use", "drop", "inventory", "ESC", "swapHands", "pickItem"), Space()),
    **{f"hotbar.{slot}": Space() for slot in range(1, 10)},
    camera=Space(),
)


class OldEnv:
    """Each tick pays 1 and shows its number; done after ``length`` ticks."""

    def __init__(self, actions: Space, length: int = 1000, shape: tuple[int, int] = (64, 64), info: dict | None = None):
        self.action_space, self.length, self.shape, self.info = actions, length, shape, info or {}
        self.told: list[dict[str, Any]] = []
        self.seeds: list[int] = []
        self.closed = False

    def seed(self, seed: int) -> None:
        self.seeds.append(seed)

    def reset(self) -> dict[str, Any]:
        self.told = []
        return self._obs()

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        self.told.append(action)
        return self._obs(), 1.0, len(self.told) >= self.length, self.info

    def close(self) -> None:
        self.closed = True

    def _obs(self) -> dict[str, Any]:
        return {"pov": np.full((*self.shape, 3), len(self.told), np.uint8), "inventory": {"dirt": np.array(2)}}


def ticks(actions: Space, name: str) -> list[dict[str, Any]]:
    """What the environment is told in a step, without what is nothing."""
    env = OldEnv(actions)
    world = MineRLWorld(env)
    world.reset()
    world.step(np.int64(ACTION_ID[name]))
    assert len(env.told) == 4 and all(set(tick) == set(actions.spaces) for tick in env.told)
    return [
        {k: (v.tolist() if k == "camera" else v) for k, v in tick.items() if np.any(np.asarray(v) != _none(v))}
        for tick in env.told
    ]


def _none(value: Any) -> Any:
    return "none" if isinstance(value, str) else 0


@pytest.mark.parametrize(
    ("name", "first", "later"),
    [
        ("noop", {}, {}),
        ("forward", {"forward": 1}, {"forward": 1}),
        ("strafe_right", {"right": 1}, {"right": 1}),
        ("forward+jump", {"forward": 1, "jump": 1}, {"forward": 1, "jump": 1}),
        ("turn_left", {"camera": [0.0, -3.5]}, {"camera": [0.0, -3.5]}),
        ("look_down", {"camera": [3.5, 0.0]}, {"camera": [3.5, 0.0]}),
        ("turn_right_small", {"camera": [0.0, 0.875]}, {"camera": [0.0, 0.875]}),
        ("forward+turn_right", {"forward": 1, "camera": [0.0, 3.5]}, {"forward": 1, "camera": [0.0, 3.5]}),
        ("place", {"place": "dirt"}, {}),
        ("place_stone", {"place": "stone"}, {}),
        ("place_furnace", {"place": "furnace"}, {}),
        ("make_stone_pickaxe", {"nearbyCraft": "stone_pickaxe"}, {}),
        ("next_item", {"equip": "wooden_axe"}, {}),
        ("use", {}, {}),  # not there
        ("make_iron_sword", {}, {}),
        ("sleep", {}, {}),
    ],
)
def test_an_action_becomes_what_minerl_is_told(name: str, first: dict, later: dict) -> None:
    assert ticks(OBTAIN, name) == [first, later, later, later]


def test_only_what_the_environment_can_do_is_read() -> None:
    chop = MineRLWorld(OldEnv(TREECHOP), actions="world")
    assert chop.action_meanings[:3] == ("noop", "forward", "backward") and len(chop.reads) == chop.action_space.n
    assert not {"use", "place", "next_item", "make_wood_pickaxe"} & set(chop.action_meanings)
    assert {"attack", "jump", "sneak", "forward+attack", "turn_left_small"} <= set(chop.action_meanings)
    obtain = MineRLWorld(OldEnv(OBTAIN), actions="world")
    assert {"place", "place_table", "make_iron_pickaxe", "next_item"} <= set(obtain.action_meanings)
    assert "make_wood_sword" not in obtain.action_meanings


def test_newer_environments_place_by_use_and_turn_their_hotbar() -> None:
    assert ticks(BASALT, "place") == [{"use": 1}, {}, {}, {}] == ticks(BASALT, "use")
    env = OldEnv(BASALT)
    world = MineRLWorld(env)
    world.reset()
    for _ in range(10):
        world.step(np.int64(ACTION_ID["next_item"]))
    slots = [name for tick in env.told for name, value in tick.items() if name.startswith("hotbar") and value]
    assert slots == [f"hotbar.{slot}" for slot in (2, 3, 4, 5, 6, 7, 8, 9, 1, 2)]


def test_a_step_is_four_ticks_and_rewards_are_summed() -> None:
    world = MineRLWorld(OldEnv(TREECHOP), time_limit=2)
    obs, info = world.reset()
    assert info["frames"].shape == (1, 64, 64, 3) and info["n_frames"] == 1 and obs.max() == 0
    obs, reward, terminated, truncated, info = world.step(np.int64(1))
    assert info["frames"][:, 0, 0, 0].tolist() == [1, 2, 3, 4] and obs[0, 0, 0] == 4 and reward == 4.0
    assert (terminated, truncated) == (False, False) and info["obs"]["inventory"]["dirt"] == 2
    assert world.step(np.int64(0))[2:4] == (False, True)
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(np.int64(0))


@pytest.mark.parametrize("limited", [False, True])
def test_an_end_inside_of_a_step_pads_its_block(limited: bool) -> None:
    world = MineRLWorld(OldEnv(TREECHOP, length=6, info={"TimeLimit.truncated": limited}))
    world.reset()
    world.step(np.int64(0))
    _, reward, terminated, truncated, info = world.step(np.int64(0))
    assert info["frames"][:, 0, 0, 0].tolist() == [5, 6, 6, 6] and info["n_frames"] == 2 and reward == 2.0
    assert (terminated, truncated) == (not limited, limited)


def test_frames_are_cut_never_stretched() -> None:
    class Marked(OldEnv):
        def _obs(self) -> dict[str, Any]:
            picture = np.zeros((360, 640, 3), np.uint8)
            picture[:, 140:500] = 200  # the square in the middle
            return {"pov": picture}

    obs, _ = MineRLWorld(Marked(BASALT), frame_size=(64, 64)).reset()
    assert obs.shape == (64, 64, 3) and (obs == 200).all()


def test_seeds_reach_the_environment_and_gymnasiums_checker_is_content() -> None:
    env = OldEnv(OBTAIN)
    world = MineRLWorld(env, render_mode="rgb_array")
    world.reset(seed=7)
    assert env.seeds == [7]
    check_env(world)
    world.close()
    assert env.closed


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a dict of vector.*Obfuscated environments"):
        MineRLWorld(OldEnv(Space(vector=Space())))
    with pytest.raises(ValueError, match="accepted are 'keyboard', 'world'"):
        MineRLWorld(OldEnv(TREECHOP), actions="all")
    world = MineRLWorld(OldEnv(TREECHOP))
    with pytest.raises(ValueError, match=r"unknown reset options \['goal'\]"):
        world.reset(options={"goal": ""})
    world.reset()
    with pytest.raises(ValueError, match="not in Discrete"):
        world.step(np.int64(32))


def test_without_minerl_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "minerl", None)
    with pytest.raises(ImportError, match="needs a Java runtime, an old gym and the network"):
        make_minerl("MineRLTreechop-v0")
