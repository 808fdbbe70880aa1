"""The start of a bank that a prompt is answered by: most statements, then what shapes a picture most, then the draw."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.bank import Bank, StartFacts
from worldsim.nearest import nearest_start
from worldsim.worlds import WORLDS

ROOMS = WORLDS["DoomRooms"]
VIEWS = (
    "the walls are red and the floor is white",
    "the walls are red and the floor is blue",
    "the walls are green and the floor is blue",
    "the walls are red and the floor is blue. you see a green ball",
    "the walls are green and the floor is blue. you see a red ball",
)


@pytest.fixture(scope="module")
def bank() -> Bank:
    facts = [StartFacts(i, "", "rooms and corridors", view) for i, view in enumerate(VIEWS)]
    return Bank({"DoomRooms": np.zeros((len(VIEWS), 16, 16, 3), np.uint8)}, {"DoomRooms": facts})


@pytest.mark.parametrize(
    ("prompt", "found", "agreed", "stated"),
    [
        ("red walls, white floor", {0}, 2, 2),
        ("red walls, a blue floor", {1, 3}, 2, 2),
        ("red walls, blue floor, a green ball", {3}, 3, 3),
        ("a green ball", {3}, 1, 1),
        ("a yellow floor and red walls", {0, 1, 3}, 1, 2),  # the floor cannot be had
        ("green walls and a white floor", {2, 4}, 1, 2),  # either could: the wall shapes more of the picture
        ("Doom rooms", {0, 1, 2, 3, 4}, 0, 0),
    ],
)
def test_most_statements_then_what_shapes_most_then_the_draw(
    bank: Bank, prompt: str, found: set[int], agreed: int, stated: int
) -> None:
    nearest = [nearest_start(bank, ROOMS, prompt, draw) for draw in range(12)]
    assert {each.start.facts.map_seed for each in nearest} == found
    assert {(each.agreed, each.stated) for each in nearest} == {(agreed, stated)}
    nothing = "the prompt states nothing to agree on"
    assert nearest[0].agreement == (f"agrees on {agreed} of {stated}" if stated else nothing)


def test_a_world_without_starts_is_told(bank: Bank) -> None:
    with pytest.raises(ValueError, match=r"has starts of DoomRooms only.*Table-v0.*`--start prompt`.*the box"):
        nearest_start(bank, WORLDS["Table"], "a red disc", 0)
    with pytest.raises(ValueError, match=r'has no bank of starts.*start="prompt"'):
        nearest_start(None, ROOMS, "red walls", 0)
