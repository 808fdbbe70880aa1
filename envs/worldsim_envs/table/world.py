"""The table as an environment: a hand with the shared keyboard, goals, facts and truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pymunk

from worldsim.actions import ACTION_ID
from worldsim.captions.facts import EventFact, SceneFacts, Surface, ViewFacts
from worldsim.worlds import WORLDS
from worldsim_envs.base import Advance, Facts, Start, TrueWorld
from worldsim_envs.camera import camera_to_world
from worldsim_envs.table.bodies import Moving
from worldsim_envs.table.drawing import Picture
from worldsim_envs.table.layout import DEPTH, HAND_RADIUS, RIM, SWITCH_SIZE, TARGET_RADIUS, TableLayout, generate
from worldsim_envs.table.physics import STROKE_RADIUS, Control, TablePhysics
from worldsim_envs.things import Sighting, seen_things

CAMERA_HEIGHT = 1.0
"""Metres over the table; with this focal length a pinhole sees the plane as it is drawn."""
MOVES: dict[int, tuple[float, float]] = {
    ACTION_ID["forward"]: (0.0, 1.0),
    ACTION_ID["backward"]: (0.0, -1.0),
    ACTION_ID["strafe_left"]: (-1.0, 0.0),
    ACTION_ID["strafe_right"]: (1.0, 0.0),
}
FACINGS = {(1.0, 0.0): 0.0, (0.0, 1.0): 90.0, (-1.0, 0.0): 180.0, (0.0, -1.0): 270.0}
USE, STRIKE, PLANT, TOOL = (ACTION_ID[name] for name in ("use", "attack", "place", "next_item"))
PUSHED = 0.012
"""Metres that a thing which the hand meets must move in a block to count as pushed."""
PAINTED = 0.4
"""Share of the target that paint must cover."""
_SPOTS = np.stack(np.meshgrid(*[np.linspace(-1, 1, 17)] * 2), axis=-1).reshape(-1, 2)
_SPOTS = _SPOTS[(_SPOTS**2).sum(1) <= 1] * TARGET_RADIUS


class TableEnv(TrueWorld):
    """A table of 2-D physics seen from above: push, paint, bite, break, switch, plant, hide.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(9)`` (``"world"``): noop, forward (up the picture),
    backward, strafe_left, strafe_right move the hand; use bites an apple or switches the lamp in reach; attack strikes
    along where the hand faces, fast enough to break glass; place plants a seed; next_item changes between hand and
    brush. A hand pushes what it meets, a brush passes over things and paints. Other ids are noop.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``: the last of the step's four frames (20 Hz). A wider frame shows a wider table.

    ## Rewards
    +1 for every bite. With a goal instead: +1 when it is reached ("push the <colour> disc to the target", "paint the
    target", "eat an apple", "break the <colour> pane"), -1 for breaking another pane than the named one.

    ## Start
    A table drawn by ``map_seed``: discs, boxes, apples, panes of glass, sometimes a ball that rolls by itself, a switch
    with its lamp, a seed, a panel that hides what is under it, a target. Three tables in ten are tilted. What a goal
    needs is there. ``pose`` is the place of the hand and the direction that it faces.

    ## End
    Terminated when a goal is reached or a wrong pane breaks. Truncated after ``time_limit`` steps, 600 by default.

    ## Arguments
    ``gravity`` (m/s^2 down the picture), ``friction`` (m/s^2, the deceleration by the table top) and ``restitution``
    (0 to 1), each None for the table's own; the others as in ``TrueWorld``. There is no health bar.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["Table"]
    dynamics_later = True

    def __init__(
        self,
        *,
        gravity: float | None = None,
        friction: float | None = None,
        restitution: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        highest = {"gravity": (gravity, 10.0), "friction": (friction, 10.0), "restitution": (restitution, 1.0)}
        for name, (value, most) in highest.items():
            if value is not None and not 0 <= value <= most:
                raise ValueError(f"{name}={value!r}; expected None or a number from 0 to {most}")
        given = {"gravity": gravity, "friction": friction, "restitution": restitution}
        self._given: dict[str, Any] = {name: float(value) for name, value in given.items() if value is not None}
        self.layout: TableLayout
        """Plan of the running episode's table."""
        self.table: TablePhysics
        self._picture: Picture
        self._painted, self._strokes_seen = np.zeros(len(_SPOTS), bool), 0
        self._scene = SceneFacts(self.spec_world.name)
        self._events: tuple[EventFact, ...] = ()
        self._paths: dict[int, list[tuple[float, float]]] = {}

    # The hooks of TrueWorld

    def _begin(self, start: Start) -> np.ndarray:
        height, width = self.frame_size
        layout = replace(generate(start.map_seed, start.goal, width / height), **self._given)
        if start.pose is not None:
            layout = replace(layout, hand=self._free(start.pose, layout), facing=start.pose[2] % 360)
        self.layout, self._events, self._paths = layout, (), {}
        self.table = TablePhysics(layout, start.map_seed, start.first_dynamics)
        self._picture = Picture(self.frame_size, layout, start.map_seed)
        self._painted, self._strokes_seen = np.zeros(len(_SPOTS), bool), 0
        setting = self.spec_world.settings[0] if layout.gravity else self.spec_world.prompt
        walls = (Surface(layout.rim.colour, layout.rim.pattern),)
        self._scene = SceneFacts(self.spec_world.name, setting, walls=walls, things=layout.inventory())
        return self._picture.frame(self.table)

    def _free(self, pose: tuple[float, float, float], layout: TableLayout) -> tuple[float, float]:
        x, y, _ = pose
        low = RIM + HAND_RADIUS
        inside = low <= x <= layout.width - low and low <= y <= DEPTH - low
        near = [(item.x, item.y, item.size * (1.42 if item.shape == "box" else 1)) for item in layout.items]
        near += [(pane.x, pane.y, pane.length / 2) for pane in layout.panes]
        near += [(*layout.switch, SWITCH_SIZE)] if layout.switch else []
        if not inside or any(np.hypot(x - a, y - b) < size + HAND_RADIUS for a, b, size in near):
            raise ValueError(
                f"pose={pose!r} is not a free place of map seed {self.map_seed}; choose x and y in metres, from "
                f"{low:.3f} to {layout.width - low:.3f} and {DEPTH - low:.3f}, away from what lies on the table"
            )
        return x, y

    def _advance(self, action: int) -> Advance:
        table, reseeding = self.table, self._reseeding()
        if reseeding is not None:
            table.reseed(reseeding)
        table.events.clear()
        table.touched.clear()
        before = {thing.number: thing.body.position for thing in table.things}
        handle = table.handle.body.position.x if table.handle else 0.0
        direction = MOVES.get(action, (0.0, 0.0))
        if action in MOVES:
            table.facing = FACINGS[direction]
        elif action == USE:
            table.use()
        elif action == PLANT:
            table.plant()
        elif action == TOOL:
            table.take_brush()
        frames: list[np.ndarray] = []
        self._paths = {}
        for number in range(self.spec_world.frames_per_step):
            strikes = action == STRIKE and number < 2 and not table.brush
            table.frame(Control(*direction, strike=strikes))
            frames.append(self._picture.frame(table))
            for thing in table.things:
                self._paths.setdefault(thing.number, []).append(thing.place)
        self._note_pushes(before, handle)
        self._events = tuple(table.events)
        reward, reached = self._outcome()
        return Advance(frames, reward, reached)

    def _note_pushes(self, before: dict[int, pymunk.Vec2d], handle: float) -> None:
        table = self.table
        for thing in table.things:
            was = before.get(thing.number)
            if was is None or thing.number not in table.touched or thing.shape == "shard":
                continue
            if (thing.body.position - was).length > PUSHED:
                table.events.append(EventFact("push", thing.colour, thing.shape))
        if table.handle and abs(table.handle.body.position.x - handle) > PUSHED:
            table.events.append(EventFact("slide", "", "occluder"))

    def _outcome(self) -> tuple[float, bool]:
        """Reward of the block, and whether the goal ends the episode."""
        kinds = Counter(event.kind for event in self._events)
        words = self.goal.split()
        if not words:
            return float(kinds["bite"]), False
        broken = [event.colour for event in self._events if event.kind == "shatter"]
        if words[0] == "break" and broken and words[2] not in broken:
            return -1.0, True
        reached = {
            "push": self._on_target,
            "paint": self._target_painted,
            "eat": lambda: kinds["eat"] > 0,
            "break": lambda: bool(broken),
        }[words[0]]()
        if reached:
            self._events = (*self._events, EventFact("goal"))
        return float(reached), bool(reached)

    def _on_target(self) -> bool:
        colour = self.goal.split()[2]
        discs = [t for t in self.table.things if t.shape == "disc" and t.colour == colour]
        return any((disc.body.position - self._target).length < TARGET_RADIUS - disc.size / 2 for disc in discs)

    @property
    def _target(self) -> tuple[float, float]:
        assert self.layout.target is not None
        return self.layout.target

    def _target_painted(self) -> bool:
        return self.painted >= PAINTED

    @property
    def painted(self) -> float:
        """Share of the target that is painted, 0 where there is none."""
        if self.layout.target is None:
            return 0.0
        spots = _SPOTS + self.layout.target
        for (x0, y0, x1, y1), _ in self.table.strokes[self._strokes_seen :]:
            start, along = np.array([x0, y0]), np.array([x1 - x0, y1 - y0])
            t = ((spots - start) @ along / max(float(along @ along), 1e-12)).clip(0, 1)
            self._painted |= np.hypot(*(spots - start - t[:, None] * along).T) <= STROKE_RADIUS
        self._strokes_seen = len(self.table.strokes)
        return float(self._painted.mean())

    # What is known of the moment

    def _describe(self) -> Facts:
        light = "bright" if self.table.lit else "dark"
        biggest_first = sorted(self._named(), key=lambda named: -float(np.ptp(named[2], axis=0).prod()))
        things = seen_things(
            Sighting(shape, colour, float(footprint[:, 0].mean() / self.layout.width))
            for shape, colour, footprint in biggest_first
            if not self.table.hides(footprint)
        )
        return self._scene, ViewFacts(self.layout.rim, self.layout.top, light=light, things=things), self._events

    def _named(self) -> list[tuple[str, str, np.ndarray]]:
        """Shape, colour and footprint of what captions name; the panel itself is never hidden."""
        found = [(t.shape, t.colour, t.footprint) for t in self.table.things if t.shape != "shard"]
        found += [(shape, "", footprint) for _, shape, footprint, _ in self._rooted()]
        if self.table.handle:
            found.append(("occluder", "", self.table.handle.footprint))
        return found

    def _rooted(self) -> list[tuple[int, str, np.ndarray, float]]:
        """Number, shape, footprint and state (growth, or 1 for light) of what does not move: plants and the switch."""
        plants = self.table.plants
        found = [(p.number, "plant" if p.growth else "seed", p.footprint, p.growth) for p in plants]
        if self.layout.switch:
            half = np.full(2, SWITCH_SIZE)
            footprint = np.stack([self.layout.switch - half, self.layout.switch + half])
            found.append((self.table.switch_number, "switch", footprint, float(self.table.lit)))
        return found

    def pose(self) -> tuple[float, float, float, float]:
        """Place of the hand, and the direction that it faces."""
        x, y = self.table.hand.body.position
        return x, y, 0.0, self.table.facing

    def truth(self) -> dict[str, Any]:
        """``camera``, ``objects``, ``hand``, ``light``; ``depth`` and ``labels`` where asked for. Things that move have
        a ``path``: their places float ``(n, 2)`` after each of the step's frames in which they were there, metres."""
        height, width = self.frame_size
        focal = height * CAMERA_HEIGHT / DEPTH
        truth: dict[str, Any] = {
            "camera": {
                "K": np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]),
                "c2w": camera_to_world(self.layout.width / 2, DEPTH / 2, CAMERA_HEIGHT, 90.0, -90.0),
                "yaw": 90.0,
                "pitch": -90.0,
            },
            "objects": [self._object(thing) for thing in self.table.things] + self._places(),
            "hand": {
                "id": self.table.hand.number,
                "position": np.array(self.table.hand.body.position),
                "velocity": np.array(self.table.hand.body.velocity),
                "facing": self.table.facing,
                "brush": self.table.brush,
            },
            "light": self.table.lit,
        }
        if "depth" in self.truth_buffers:
            truth["depth"] = np.full(self.frame_size, CAMERA_HEIGHT, np.float32)
        if "labels" in self.truth_buffers:
            truth["labels"] = self._picture.labels(self.table)
        return truth

    def _object(self, thing: Moving) -> dict[str, Any]:
        x, y = thing.body.position
        return {
            "id": thing.number,
            "class": thing.shape,
            "colour": thing.colour,
            "position": np.array([x, y, 0.0]),
            "velocity": np.array([*thing.body.velocity, 0.0]),
            "visible": not self.table.hides(thing.footprint),
            "angle": float(np.degrees(thing.body.angle) % 360),
            "mass": thing.mass,
            "left": thing.left,
            "path": np.array(self._paths.get(thing.number, []), float).reshape(-1, 2),
        }

    def _places(self) -> list[dict[str, Any]]:
        """Plants, switch and panel as objects: they have a state and no mass."""
        places = [
            {
                "id": number,
                "class": shape,
                "colour": "",
                "position": np.array([*footprint.mean(0), 0.0]),
                "velocity": np.zeros(3),
                "visible": not self.table.hides(footprint),
                "state": state,
            }
            for number, shape, footprint, state in self._rooted()
        ]
        if self.table.handle and self.table.panel:
            left, low, right, high = self.table.panel
            places.append(
                {
                    "id": self.table.panel_number,
                    "class": "occluder",
                    "colour": "",
                    "position": np.array([(left + right) / 2, (low + high) / 2, 0.0]),
                    "velocity": np.array([self.table.handle.body.velocity.x, 0.0, 0.0]),
                    "visible": True,
                    "state": 0.0,
                }
            )
        return places
