"""The explorer of Crafter: walks to what is in sight and does with it what can be done, crafts what it can."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from crafter import constants

from worldsim.actions import ACTION_ID
from worldsim_envs.crafter.game import AREA
from worldsim_envs.policies.scripted import NOOP, Script, Scripted

MOVES: dict[tuple[int, int], int] = {
    (-1, 0): ACTION_ID["strafe_left"], (1, 0): ACTION_ID["strafe_right"], (0, -1): ACTION_ID["forward"],
    (0, 1): ACTION_ID["backward"],
}  # fmt: skip
USE, SLEEP = ACTION_ID["use"], ACTION_ID["sleep"]
WANTED = ("tree", "water", "stone", "coal", "iron", "diamond", "cow", "zombie", "skeleton", "plant", "grass")
WEIGHTS = (0.3, 0.05, 0.25, 0.3, 0.3, 0.3, 0.05, 0.1, 0.05, 0.05, 0.04)
"""How much each is wanted where it is in sight."""
NEEDS = {"stone": "wood_pickaxe", "coal": "wood_pickaxe", "iron": "stone_pickaxe", "diamond": "iron_pickaxe"}
FIGHTS = ("cow", "zombie", "skeleton")

Tile = tuple[int, int]


class CrafterExplorer(Scripted):
    """Collects, drinks, eats, fights, places, crafts, sleeps when tired, and wanders to see more of the map."""

    @property
    def game(self) -> Any:
        return self.world.game

    @property
    def tile(self) -> Tile:
        x, y = self.game.player.pos
        return int(x), int(y)

    @property
    def position(self) -> tuple[float, float]:
        x, y, _, _ = self.world.pose()
        return x, y

    def script(self) -> Script:
        while True:
            acted = False
            for action in self.round():
                acted = True
                yield action
            if not acted:
                yield NOOP  # shut in with nothing to do: the world must move on

    def round(self) -> Script:
        """What comes next; nothing where nothing can be done."""
        if self.game.player.inventory["energy"] < 3 and self.chance(0.5):
            yield from self.sleep()
        yield from self.craft()
        if self.chance(0.15):
            yield from self.wander()
        else:
            yield from self.fetch(self.choose())

    def choose(self) -> str:
        """What to go for: danger first, then what the body needs, else anything in sight that can be had."""
        have = self.game.player.inventory
        if any(abs(x - self.tile[0]) + abs(y - self.tile[1]) <= 3 for x, y in self.places("zombie")):
            return "zombie"
        for need, what in (("drink", "water"), ("food", "cow")):
            if have[need] < 5 and self.places(what):
                return what
        can = [i for i, what in enumerate(WANTED) if self.places(what) and have.get(NEEDS.get(what, "health"), 1)]
        weights = np.array([WEIGHTS[i] for i in can])
        return WANTED[can[int(self.rng.choice(len(can), p=weights / weights.sum()))]] if can else ""

    # deeds ----------------------------------------------------------------------------------------------------------

    def fetch(self, what: str) -> Script:
        """Walks beside something in sight and uses it."""
        places = self.places(what)
        if not places:
            yield from self.wander()
            return
        place = places[int(self.rng.integers(min(len(places), 3)))]
        yield from self.go_beside(place)
        times = 8 if what in FIGHTS else int(self.rng.integers(1, 4)) if what in ("water", "grass") else 1
        for _ in range(times):
            if what in FIGHTS and not self.is_at(what, place):
                near = [p for p in self.places(what) if np.abs(np.array(p) - self.tile).sum() <= 2]
                if not near:
                    return
                place = near[0]
                yield from self.go_beside(place)
            if not self.faces(place):
                return
            yield USE

    def craft(self) -> Script:
        """Places and makes what the inventory allows, in the order of use."""
        have, near = self.game.player.inventory, self.game.materials_near()
        deeds = []
        if have["wood"] >= 5 and "table" not in near:
            deeds.append("place_table")
        if "table" in near:
            for tool in ("pickaxe", "sword"):
                deeds += [f"make_{m}_{tool}" for m in ("wood", "stone", "iron") if not have[f"{m}_{tool}"]]
            deeds += ["place_furnace"] * (have["stone"] >= 4 and "furnace" not in near)
        deeds += ["place_plant"] * (have["sapling"] > 0 and self.chance(0.3))
        deeds += ["place_stone"] * (have["stone"] > 2 and self.chance(0.15))
        for deed in deeds:
            if self.affords(deed):
                yield ACTION_ID[deed]

    def sleep(self) -> Script:
        yield SLEEP
        for _ in range(60):
            if not self.game.player.sleeping:
                return
            yield NOOP

    def wander(self) -> Script:
        """Straight on in one direction, round what is in the way."""
        x, y = self.tile
        dx, dy = self.rng.integers(-9, 10, 2)
        yield from self.walk((int(np.clip(x + dx, 0, AREA[0] - 1)), int(np.clip(y + dy, 0, AREA[1] - 1))), patience=14)

    # skills ---------------------------------------------------------------------------------------------------------

    def places(self, what: str) -> list[Tile]:
        """Tiles in sight of a material or creature, nearest first."""
        found = [tile for tile in self.game.seen_tiles() if self.is_at(what, tile)]
        return sorted(found, key=lambda tile: abs(tile[0] - self.tile[0]) + abs(tile[1] - self.tile[1]))

    def is_at(self, what: str, tile: Tile) -> bool:
        material, thing = self.game.tile(*tile)
        return what in (material if thing is None else None, type(thing).__name__.lower())

    def faces(self, tile: Tile) -> bool:
        dx, dy = self.game.player.facing
        return (self.tile[0] + dx, self.tile[1] + dy) == tile

    def affords(self, deed: str) -> bool:
        kind, _, name = deed.partition("_")
        uses = getattr(constants, kind)[name]["uses"]
        return all(self.game.player.inventory[item] >= count for item, count in uses.items())

    def go_beside(self, place: Tile) -> Script:
        """Next to ``place``, facing it."""
        yield from self.walk(place, patience=12, beside=True)
        gap = (place[0] - self.tile[0], place[1] - self.tile[1])
        if gap in MOVES and not self.faces(place):
            yield MOVES[gap]

    def walk(self, place: Tile, patience: int, beside: bool = False) -> Iterator[int]:
        for _ in range(patience):
            if self.tile == place or (beside and abs(place[0] - self.tile[0]) + abs(place[1] - self.tile[1]) == 1):
                return
            step = self.first_step(place)
            if step is None:
                return
            yield MOVES[step]

    def first_step(self, place: Tile) -> Tile | None:
        """Direction of the shortest way over walkable tiles in sight to ``place`` or as near as one gets."""
        seen, came = set(self.game.seen_tiles()), {self.tile: self.tile}
        queue, best = deque([self.tile]), self.tile
        while queue:
            tile = queue.popleft()
            if abs(tile[0] - place[0]) + abs(tile[1] - place[1]) < abs(best[0] - place[0]) + abs(best[1] - place[1]):
                best = tile
            for dx, dy in MOVES:
                near = (tile[0] + dx, tile[1] + dy)
                if near in seen and near not in came and self.free(near):
                    came[near] = tile
                    queue.append(near)
        if best == self.tile:
            return None
        while came[best] != self.tile:
            best = came[best]
        return best[0] - self.tile[0], best[1] - self.tile[1]

    def free(self, tile: Tile) -> bool:
        material, thing = self.game.tile(*tile)
        return material in constants.walkable and thing is None
