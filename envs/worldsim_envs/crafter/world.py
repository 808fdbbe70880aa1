"""Crafter as an environment: the shared keyboard, facts, truth."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from crafter import constants

from worldsim.actions import ACTION_ID
from worldsim.captions.facts import EventFact, SceneFacts, Surface, ViewFacts
from worldsim.worlds import WORLDS
from worldsim_envs.base import Advance, Facts, Start, TrueWorld
from worldsim_envs.camera import camera_to_world
from worldsim_envs.crafter.game import AREA, CrafterGame
from worldsim_envs.things import Sighting, seen_things

ENGINE_ACTION: dict[int, int] = {
    ACTION_ID[ours]: constants.actions.index(theirs)
    for ours, theirs in {
        "noop": "noop", "strafe_left": "move_left", "strafe_right": "move_right", "forward": "move_up",
        "backward": "move_down", "use": "do",
        **{name: name for name in constants.actions if name.startswith(("sleep", "place_", "make_"))},
    }.items()
}  # fmt: skip
ITEM_SHAPES: dict[str, str] = {
    "wood": "log", "stone": "cobblestone", "coal": "coal", "iron": "iron ore", "diamond": "diamond", "drink": "drink",
    "sapling": "sapling", "wood_pickaxe": "wooden pickaxe", "stone_pickaxe": "stone pickaxe",
    "iron_pickaxe": "iron pickaxe", "wood_sword": "wooden sword", "stone_sword": "stone sword",
    "iron_sword": "iron sword", "table": "table", "furnace": "furnace", "plant": "sapling", "cow": "cow",
    "zombie": "zombie", "skeleton": "skeleton",
}  # fmt: skip
"""The engine's names of things -> shapes of the lexicon."""
GROUND: dict[str, tuple[str, str]] = {
    "grass": ("green", "grass"), "sand": ("yellow", "sand"), "path": ("brown", "dirt"), "stone": ("grey", "stone"),
    "water": ("blue", "water"), "lava": ("orange", "lava"),
}  # fmt: skip
"""Material under or around the player -> colour and pattern of a surface."""
NAMED_TILES = {"tree": "tree", "coal": "coal", "iron": "iron ore", "diamond": "diamond", "table": "table",
               "furnace": "furnace"}  # fmt: skip
FACING = {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}
"""Yaw in degrees -> the engine's direction, whose y is down."""
WALLS = ("stone", "water", "lava")
AROUND = 0.15
"""Share of the tiles in sight from which a material counts as what surrounds the player."""


class CrafterEnv(TrueWorld):
    """Crafter (Hafner 2021): forage, build, craft and survive on a map of grass, water, sand and caves.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(17)`` (``"world"``): noop, forward (up the picture),
    backward, strafe_left, strafe_right, use (the engine's "do": collect, drink, eat, fight), sleep, place_stone,
    place_table, place_furnace, place_plant, and the six make_* actions. Other ids are noop.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``. Turn-based: a step is one frame. A tile is a ninth of the shorter side; the
    rows below the ground show the inventory.

    ## Rewards
    The engine's: +1 for each of the 22 achievements when it is first unlocked, and a tenth of every change of health.
    With a goal (``"collect wood"``, ``"kill zombie"``, ..., one for each achievement): +1 whenever it is done.

    ## Start
    A map of 64 x 64 tiles drawn by ``map_seed``, by day, with full health. What happens later depends on the frame size
    too: the engine moves creatures as far as the view reaches, and draws the noise of the night by chance. ``pose`` is
    the tile that the player stands on (x to the right, y up the picture, whole numbers) and where it faces (a multiple
    of 90 degrees, 0 to the right); refused where the tile is not free.

    ## End
    Terminated when health is 0, which the inventory shows; truncated after ``time_limit`` steps, 10,000 by default.

    ## Arguments
    ``split, frame_size, actions, goal, time_limit, truth, render_mode``: see ``TrueWorld``. Sides of at least 63 pixels
    are needed to read the inventory. The engine draws health itself, so ``hud`` changes nothing.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["Crafter"]
    any_yaw = False
    dynamics_later = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if min(self.frame_size) < 18:
            raise ValueError(f"frame_size={self.frame_size}: a tile is a ninth of the shorter side, at least 2 pixels")
        self.game = CrafterGame(self.frame_size)
        self._done: dict[str, int] = {}
        self._were: dict[int, np.ndarray] = {}  # where creatures stood before the last step
        self._events: tuple[EventFact, ...] = ()

    # The hooks of TrueWorld

    def _begin(self, start: Start) -> np.ndarray:
        frame = self._placed(start)
        if start.dynamics is not None and start.dynamics[1] == 0:
            self.game.reseed(start.dynamics[0])
        self._done, self._events, self._were = dict(self.game.player.achievements), (), {}
        return frame

    def _placed(self, start: Start) -> np.ndarray:
        """The first frame, with the player at the start's pose; ``ValueError`` where it cannot stand there."""
        frame = None
        if start.pose is None:
            frame = self.game.begin(start.map_seed)
        elif not any((start.pose[0] % 1, start.pose[1] % 1, start.pose[2] % 90)):
            x, y, yaw = map(round, start.pose)
            frame = self.game.begin(start.map_seed, (x, AREA[1] - 1 - y), FACING[yaw % 360])
        if frame is None:
            raise ValueError(
                f"pose={start.pose!r} is not a free place of map seed {start.map_seed}; choose x and y from the whole "
                f"numbers 0 to {AREA[0] - 1} where ground() is {', '.join(constants.walkable)} and nothing stands, and "
                "0, 90, 180 or 270 degrees"
            )
        return frame

    def _advance(self, action: int) -> Advance:
        reseeding = self._reseeding()
        if reseeding is not None:
            self.game.reseed(reseeding)
        self._were = {number: np.array([*self._place(c.pos), 0.0]) for number, _, c in self.game.creatures()}
        player = self.game.player
        health = player.health
        frame, reward, dead, _ = self.game.step(ENGINE_ACTION[action])
        done = {name: count for name, count in player.achievements.items() if count > self._done[name]}
        self._done = dict(player.achievements)
        events = [_event(name) for name in done]
        if player.health < health:
            events.append(EventFact("death" if dead else "damage"))
        elif player.health > health:
            events.append(EventFact("heal"))
        if self.goal:
            reward = float(achievement(self.goal) in done)
            events += [EventFact("goal")] if reward else []
        self._events = tuple(event for event in events if event is not None)
        return Advance([self.game.framed(frame)], float(reward), bool(dead))

    # What is known of the moment

    def ground(self) -> np.ndarray:
        """The map: materials of all tiles, str ``(64, 64)``, at ``[x, y]`` as ``pose`` counts them."""
        return self.game.ground()[:, ::-1]

    def pose(self) -> tuple[float, float, float, float]:
        """Tile of the player (x to the right, y up the picture), and where it faces."""
        x, y = self._place(self.game.player.pos)
        across, down = self.game.player.facing
        return x, y, 0.0, float(np.degrees(np.arctan2(-down, across)) % 360)

    @staticmethod
    def _place(tile: Any) -> tuple[float, float]:
        return float(tile[0]), float(AREA[1] - 1 - tile[1])

    def _describe(self) -> Facts:
        game = self.game
        tiles = list(game.seen_tiles())
        materials = Counter(game.tile(*tile)[0] for tile in tiles)
        under = game.tile(*game.player.pos)[0]
        around = max(WALLS, key=lambda material: materials[material])
        around = around if materials[around] > AROUND * len(tiles) else ""
        things = [
            *((NAMED_TILES[m], tile) for tile in tiles if (m := game.tile(*tile)[0]) in NAMED_TILES),
            *((name, tuple(thing.pos)) for _, name, thing in game.creatures() if tuple(thing.pos) in tiles),
        ]
        left, across = game.player.pos[0] - game.ground_shown[0] // 2, game.ground_shown[0]
        nearest_first = sorted(things, key=lambda thing: np.abs(np.array(thing[1]) - game.player.pos).sum())
        seen = seen_things(Sighting(shape, "", (x - left + 0.5) / across) for shape, (x, _) in nearest_first)
        light = "bright" if game.daylight > 0.6 else "dim" if game.daylight > 0.3 else "dark"
        wall = Surface(*GROUND[around]) if around else Surface()
        floor = Surface(*GROUND[under]) if under in GROUND else Surface()
        scene = SceneFacts(self.spec_world.name, self.spec_world.prompt)
        return scene, ViewFacts(wall, floor, light=light, things=seen), self._events

    def truth(self) -> dict[str, Any]:
        """``camera`` (straight above the player), ``objects``, ``inventory``, ``achievements``, ``sleeping``,
        ``daylight``; ``depth`` and ``labels`` where asked for."""
        game, player = self.game, self.game.player
        across, down = game.ground_shown
        x, y, _, _ = self.pose()
        left, above = game.border
        focal = float(game.unit)
        centre = (left + (across // 2 + 0.5) * focal, above + (down // 2 + 0.5) * focal)
        truth: dict[str, Any] = {
            "camera": {
                "K": np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]]),
                "c2w": camera_to_world(x, y, 1.0, 90.0, -90.0),
                "yaw": 90.0,
                "pitch": -90.0,
            },
            "objects": self._objects(),
            "inventory": dict(player.inventory),
            "achievements": dict(player.achievements),
            "sleeping": bool(player.sleeping),
            "daylight": game.daylight,
        }
        if "depth" in self.truth_buffers:
            truth["depth"] = np.ones(self.frame_size, np.float32)
        if "labels" in self.truth_buffers:
            truth["labels"] = self._labels()
        return truth

    def _objects(self) -> list[dict[str, Any]]:
        seen = set(self.game.seen_tiles())
        return [
            {
                "id": number,
                "class": name,
                "colour": "",
                "position": (place := np.array([*self._place(thing.pos), 0.0])),
                "velocity": (place - self._were.get(number, place)) * self.spec_world.fps,
                "visible": tuple(thing.pos) in seen,
                "health": float(thing.health),
            }
            for number, name, thing in self.game.creatures()
        ]

    def _labels(self) -> np.ndarray:
        """int32 ``(H, W)``: creature per pixel, 0 for what blocks and for the inventory, -1 for ground to walk on."""
        game = self.game
        labels = np.zeros(self.frame_size, np.int32)
        numbers = {tuple(thing.pos): number for number, _, thing in game.creatures()}
        across, down = game.ground_shown
        corner = game.player.pos - np.array([across, down]) // 2
        left, above = game.border
        for x, y in game.seen_tiles():
            row, column = above + (y - corner[1]) * game.unit, left + (x - corner[0]) * game.unit
            walkable = game.tile(x, y)[0] in constants.walkable
            labels[row : row + game.unit, column : column + game.unit] = numbers.get((x, y), -1 if walkable else 0)
        return labels


def achievement(goal: str) -> str:
    """The engine's name of what a goal asks for."""
    return goal.replace("kill", "defeat").replace(" ", "_")


def _event(name: str) -> EventFact | None:
    """What an achievement's doing is called; None for waking up, which has no words."""
    verb, _, thing = name.partition("_")
    kind = {"collect": "pick_up", "place": "place", "make": "craft", "eat": "eat", "defeat": "destroy"}.get(verb)
    return EventFact(kind, "", ITEM_SHAPES[thing]) if kind else None
