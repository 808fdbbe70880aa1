"""The block world as an environment: the shared keyboard, goals, facts, truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.actions import ACTION_MEANINGS
from worldsim.captions.facts import EventFact, SceneFacts, Surface, ViewFacts
from worldsim.engines import install_command, missing
from worldsim.worlds import WORLDS
from worldsim_envs.base import Advance, Facts, Start, TrueWorld
from worldsim_envs.blocks.game import BlocksGame
from worldsim_envs.blocks.names import GOALS, NODES, PLANTS, SETTINGS, THINGS
from worldsim_envs.camera import camera_to_world
from worldsim_envs.things import Sighting, seen_things

KEYS: dict[str, str] = {
    "forward": "f", "backward": "b", "strafe_left": "l", "strafe_right": "r", "jump": "j", "sneak": "s", "attack": "a",
    "place": "p", "next_item": "n",
}  # fmt: skip
"""Part of an action's name -> letter of the mod's key."""
ONCE = frozenset("pn")
"""Keys that are pressed in a step's first tick only."""
NEAR = 8.0
"""Metres within which a thing counts as near."""


NOTHING = {"node": "", "distance": 0.0, "position": [0.0] * 3, "face": [0.0] * 3}
"""What is pointed at where nothing is in reach."""


class BlocksEnv(TrueWorld):
    """A Minecraft-like block world on Luanti: walk, look, jump, swim, dig and build.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(20)`` (``"world"``): noop, forward, backward, strafe_left,
    strafe_right (4.3 m/s), turn_left, turn_right, look_up, look_down (14 degrees a step; the pitch ends at 75 up and
    down), attack (digs what is looked at within 4.5 m: soft nodes and plants in half a step, wood in one and a half,
    stone in two, showing cracks), jump (1.25 m high; swims up in water), place (puts what is in hand against the face
    that is looked at), forward+turn_left, forward+turn_right, forward+jump, forward+attack, sneak (crouches),
    next_item (takes the next thing of the inventory in hand), turn_left_small, turn_right_small (3.5 degrees). Other
    ids are noop.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``: the last of the step's four frames (20 Hz). The lens sees 70 degrees from top to
    bottom of a 4:3 screen, of which frames are the largest centre part. Neither hand nor inventory are drawn.

    ## Rewards
    0. With a goal ("dig a tree trunk", "place a lamp", ...): +1 whenever it is done.

    ## Start
    On dry land drawn by ``map_seed``: grassland, forest, desert, snow or mountains, by day, at dusk or at night, with
    32 planks in hand, and 32 stone blocks and 8 lamps; a goal chooses the land that it needs, where the map has it.
    ``pose`` is x, y in metres from the map's middle and the yaw; it is refused in water.

    ## End
    Nothing terminates; truncated after ``time_limit`` steps, 600 by default.

    ## Arguments
    ``split, frame_size, actions, goal, time_limit, render_mode``: see ``TrueWorld``. ``truth`` has no buffers here
    (``ValueError``). There is no health bar.

    ## Real time
    The engine runs in real time, but is stopped between ticks of 1/20 s and waits for each command, and a frame is
    taken when the client shows the tick's own mark. So frames and truth belong together exactly, and equal seeds and
    actions give equal truth. Frames are equal bit for bit in the tests too, but that is not promised: the client builds
    land in threads of its own, which are waited for, and they are the engine's.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["Blocks"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.truth_buffers:
            raise ValueError(
                f"truth={self.truth_buffers!r}: the block world has neither depth nor labels per pixel; "
                "its info['truth'] holds camera, objects, player and what is looked at"
            )
        lacking = missing(self.spec_world)
        if lacking:
            raise ImportError(
                f"{self.spec_world.env_id} runs on Luanti (Minetest 5.6) and a display in memory; not found: "
                f"{', '.join(lacking)}. Install them with: {install_command(self.spec_world)}"
            )
        self._game = BlocksGame(*self.frame_size)
        self._told: dict[str, Any] = {}
        self._ids: dict[str, int] = {}
        self._events: tuple[EventFact, ...] = ()
        self._facts_of_scene = SceneFacts(self.spec_world.name)

    # The hooks of TrueWorld

    def _begin(self, start: Start) -> np.ndarray:
        want = GOALS[start.goal].biome if start.goal else "-"
        frame, self._told = self._game.begin(start.map_seed, want, start.pose)
        self._ids, self._events = {}, ()
        self._facts_of_scene = SceneFacts(self.spec_world.name, SETTINGS[self._told["biome"]])
        return frame

    def _advance(self, action: int) -> Advance:
        k = self.spec_world.frames_per_step
        letters = "".join(KEYS.get(part, "") for part in ACTION_MEANINGS[action].split("+"))
        held = "".join(letter for letter in letters if letter not in ONCE)
        yaw, pitch = (float(angle) / k for angle in self.spec_world.table.camera[action])
        frames, self._told = self._game.step([letters, *[held] * (k - 1)], yaw, pitch)
        happened = self._told["events"]
        reward = 0.0
        if self.goal:
            goal = GOALS[self.goal]
            reward = float(sum(event["kind"] == goal.kind and event["node"] in goal.nodes for event in happened))
        self._events = (*map(_event, happened), *([EventFact("goal")] if reward else []))
        return Advance(frames, reward, False)

    def close(self) -> None:
        """Ends the game; harmless when repeated."""
        self._game.close()
        super().close()

    # What is known of the moment

    def pose(self) -> tuple[float, float, float, float]:
        """Place of the feet, and the yaw."""
        x, y, z = self._told["feet"]
        return x, y, z, self._told["yaw"] % 360

    def _describe(self) -> Facts:
        told = self._told
        pointed = told.get("pointed")
        wall = Surface()
        if pointed is not None and pointed["face"][2] == pointed["position"][2]:  # a face at the side
            wall = NODES[pointed["node"]].surface
        under = "water" if told["in_water"] else told["ground"]
        floor = NODES[under].surface if under in NODES else Surface()
        sightings = []
        for thing in told["things"]:
            across = self._across(thing)
            if across is not None:
                distance = np.linalg.norm(np.subtract(thing["position"], told["eye"]))
                sightings.append(Sighting(*THINGS[thing["class"]], across, bool(distance < NEAR)))
        view = ViewFacts(wall, floor, light=told["light"], things=seen_things(sightings))
        return self._facts_of_scene, view, self._events

    def _across(self, thing: dict[str, Any]) -> float | None:
        """Where a thing is in the picture, 0 (left) to 1; None where it cannot be seen."""
        place = np.linalg.inv(self._c2w()) @ np.append(thing["position"], 1.0)
        if not thing["clear"] or place[2] <= 0.1:
            return None
        column, row, depth = self._game.window.K @ place[:3]
        across, down = column / depth / self.frame_size[1], row / depth / self.frame_size[0]
        return float(across) if 0 <= across < 1 and 0 <= down < 1 else None

    def _c2w(self) -> np.ndarray:
        x, y, z = self._told["eye"]
        return camera_to_world(x, y, z, self._told["yaw"], self._told["pitch"])

    def truth(self) -> dict[str, Any]:
        """``camera``, ``objects``, ``player``, ``pointed``, ``inventory``, ``wielded``, ``ground``, ``biome``,
        ``light``, ``changes`` (nodes dug and placed in the step). Where nothing is in reach, ``pointed`` has the
        node "" and zeros: vector environments need the same numbers of every lane."""
        told = self._told
        return {
            "camera": {
                "K": self._game.window.K, "c2w": self._c2w(), "yaw": told["yaw"] % 360, "pitch": told["pitch"],
            },
            "objects": [self._object(thing) for thing in told["things"]],
            "player": {
                "position": np.array(told["feet"]), "velocity": np.array(told["velocity"]),
                "on_ground": told["on_ground"], "in_water": told["in_water"],
            },
            "pointed": _pointed(told.get("pointed") or NOTHING),
            "inventory": {name: int(count) for name, count in sorted(told["inventory"].items())},
            "wielded": told["wielded"],
            "ground": told["ground"],
            "biome": told["biome"],
            "light": told["light"],
            "changes": [_placed(event, "kind", "node") for event in told["events"]],
        }  # fmt: skip

    def _object(self, thing: dict[str, Any]) -> dict[str, Any]:
        shape, colour = THINGS[thing["class"]]
        return {
            "id": self._ids.setdefault(thing["key"], len(self._ids) + 1),
            "class": shape,
            "colour": colour,
            "position": np.array(thing["position"]),
            "velocity": np.zeros(3),
            "visible": self._across(thing) is not None,
        }


def _pointed(told: dict[str, Any]) -> dict[str, Any]:
    places = {name: np.array(told[name], np.float64) for name in ("position", "face")}
    return {"node": told["node"], "distance": float(told["distance"]), **places}


def _placed(told: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {**{name: told[name] for name in fields}, "position": np.array(told["position"])}


def _event(event: dict[str, Any]) -> EventFact:
    name = NODES[event["node"]]
    kind = "pick_up" if event["node"] in PLANTS else event["kind"]
    return EventFact(kind, name.colour, name.shape)
