"""Worlds as data: what is baked into weights is pinned, splits never meet, names are found or refused."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import pytest

from worldsim.actions import ACTION_MEANINGS
from worldsim.worlds import SPLITS, WORLDS, split_of, world_named

# name: (index, frames per step, frames per second, time limit in steps)
PINNED = {
    "DoomRooms": (0, 4, 35, 525),
    "DoomTakeCover": (1, 4, 35, 525),
    "DoomHealthGathering": (2, 4, 35, 525),
    "DoomMyWayHome": (3, 4, 35, 525),
    "DoomBasic": (4, 4, 35, 75),
}


@pytest.mark.parametrize("name", PINNED)
def test_what_is_baked_into_weights_is_pinned(name: str) -> None:
    spec = WORLDS[name]
    assert (spec.index, spec.frames_per_step, spec.fps, spec.time_limit) == PINNED[name]


def test_every_world_has_a_row_of_its_own_in_the_embedding() -> None:
    rows = [spec.index for spec in WORLDS.values()]
    assert len(set(rows)) == len(rows) and set(range(16)) >= set(rows)


def test_frames_per_step_is_one_or_four() -> None:
    assert {spec.frames_per_step for spec in WORLDS.values()} <= {1, 4}


def test_splits_are_the_documented_ranges_and_disjoint() -> None:
    assert SPLITS == {"train": (0, 1_000_000), "val": (1_000_000, 1_100_000), "test": (2_000_000, 2_100_000)}
    for (_, (low_a, high_a)), (_, (low_b, high_b)) in combinations(SPLITS.items(), 2):
        assert high_a <= low_b or high_b <= low_a


@pytest.mark.parametrize(
    ("seed", "split"),
    [(0, "train"), (999_999, "train"), (1_000_000, "val"), (1_099_999, "val"), (1_100_000, None),
     (1_999_999, None), (2_000_000, "test"), (2_099_999, "test"), (2_100_000, None), (-1, None)],
)  # fmt: skip
def test_split_of_a_map_seed(seed: int, split: str | None) -> None:
    assert split_of(seed) == split


@pytest.mark.parametrize("name", ["DoomRooms", "worldsim/DoomRooms", "worldsim/DoomRooms-v0", "DoomRooms-v0"])
def test_a_world_is_found_by_any_of_its_names(name: str) -> None:
    assert world_named(name) is WORLDS["DoomRooms"]


def test_an_unknown_world_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(ValueError, match=r"'DoomRoom'.*worldsim/DoomRooms-v0"):
        world_named("DoomRoom")


def test_world_actions_are_noop_and_then_the_read_ids_in_order() -> None:
    names = [ACTION_MEANINGS[i] for i in WORLDS["DoomBasic"].world_actions]
    assert names == ["noop", "strafe_left", "strafe_right", "attack"]
    for spec in WORLDS.values():
        ids = spec.world_actions.tolist()
        assert ids[0] == 0 and ids == sorted(set(ids)) and set(ids) == set(spec.reads)


def test_the_goals_of_the_rooms_name_every_colour_and_collectible() -> None:
    goals = WORLDS["DoomRooms"].goals
    assert goals[0] == "" and len(goals) == len(set(goals)) == 1 + 8 * 2
    assert "collect the red ball" in goals and "collect the cyan diamond" in goals


def test_specifications_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        WORLDS["DoomBasic"].fps = 20.0  # type: ignore[misc]
