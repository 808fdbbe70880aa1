"""What the Doom worlds share: blocks of four rendered tics, the health bar, camera, objects, and what is
seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import vizdoom as vzd
from vizdoom import GameVariable

from worldsim.captions.facts import EventFact, Thing
from worldsim_envs.base import Advance, Start, TrueWorld
from worldsim_envs.camera import camera_to_world
from worldsim_envs.doom.game import (
    LOW_ROWS,
    STILL,
    TICS_PER_STEP,
    VARIABLES,
    DoomEngine,
    EngineConfig,
    Tic,
    View,
    button_values,
)
from worldsim_envs.doom.layout import UNITS_PER_METRE, MapLayout
from worldsim_envs.things import Sighting, seen_things

BAR_ROWS = 3
BAR_FULL = (220, 30, 30)
BAR_EMPTY = (24, 24, 24)
DEPTH_STEP = 7.21 / UNITS_PER_METRE
"""Metres per level of the engine's depth buffer, measured against walls at known distances."""
NEAR = 3.0
"""Things closer than this, in metres, are captioned as near."""
SMALLEST = 5
"""Least width and height, in pixels of a 120-row screen, of a thing that counts as seen."""
TICS_PER_SECOND = 35.0


def draw_health(frame: np.ndarray, health: float) -> np.ndarray:
    """Draws the health bar over the last three rows of ``frame``, in place; its length is ``health`` per
    cent."""
    width = round(frame.shape[1] * min(max(health, 0.0), 100.0) / 100.0)
    frame[-BAR_ROWS:, :width] = BAR_FULL
    frame[-BAR_ROWS:, width:] = BAR_EMPTY
    return frame


class DoomWorld(TrueWorld):
    """A true world on the Doom engine. Subclasses say which engine, and what happens in a step."""

    dynamics_later = True
    layout: MapLayout
    """Plan of the running episode's map."""
    can_kill: ClassVar[bool] = False
    """Worlds that can kill draw the health bar and flash the screen: what ends an episode must be seen."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.view = View.fit(self.frame_size)
        self._engine: DoomEngine | None = None
        self._buttons = {a: button_values(a, self.spec_world.camera) for a in self.spec_world.reads}
        self._state: Any = None  # vzd.GameState
        self._now: dict[GameVariable, float] = {}
        self._events: tuple[EventFact, ...] = ()
        self._ids: dict[int, int] = {}  # engine's object id -> ours, once a reseeding has renumbered them
        self._intrinsics = self.view.intrinsics

    # What a Doom world supplies

    def _engine_config(self) -> EngineConfig:
        raise NotImplementedError

    def _start_episode(self, engine: DoomEngine, start: Start) -> None:
        """Starts the engine's episode."""
        raise NotImplementedError

    def _outcome(self, before: Snapshot, after: Snapshot, tics: Sequence[Tic]) -> tuple[float, list[EventFact]]:
        """Reward and events of a block, from the engine's states before and after it."""
        raise NotImplementedError

    def _kind_of(self, name: str) -> tuple[str, str] | None:
        """(shape, colour) of an engine object by its class name, None for what is not worth naming."""
        raise NotImplementedError

    # The hooks of TrueWorld

    @property
    def engine(self) -> DoomEngine:
        """The engine, started when it is first needed."""
        if self._engine is None:
            self._engine = DoomEngine(self._engine_config(), self.view)
        return self._engine

    def _begin(self, start: Start) -> np.ndarray:
        self._events, self._ids = (), {}
        self._start_episode(self.engine, start)
        if start.pose is not None:
            self._warp(start.pose)
        tic = self._play(STILL, last_before_step=0)
        if tic.screen is None:
            raise RuntimeError(f"the Doom engine ended the episode of map seed {start.map_seed} before it began")
        return self._observe(tic, self._frame)

    def _advance(self, action: int) -> Advance:
        before = Snapshot(self._state, self._now, self._ids)
        dynamics = self._running().dynamics
        reseeds = dynamics is not None and dynamics[1] == self._steps
        tics: list[Tic] = []
        frames: list[np.ndarray] = []
        if dynamics is not None and reseeds:
            undone = self.engine.reseed(dynamics[0])
            if undone.finished:
                return self._finish(before, [undone], [self._observe(self._keep(undone), self._frame)])
        for buttons in self._buttons[action]:
            last = len(tics) == TICS_PER_STEP - 1
            tics.append(self._play(buttons, last_before_step=self._steps + 1 if last else None))
            if reseeds and len(tics) == 1:
                self._ids = _same_things(before, self._state.objects)
            frames.append(self._observe(tics[-1], frames[-1] if frames else self._frame))
            if tics[-1].finished:
                break
        return self._finish(before, tics, frames)

    def _finish(self, before: Snapshot, tics: list[Tic], frames: list[np.ndarray]) -> Advance:
        reward, events = self._outcome(before, Snapshot(self._state, self._now, self._ids), tics)
        self._events = tuple(events)
        return Advance(frames, reward, tics[-1].finished)

    def _play(self, buttons: Sequence[float], last_before_step: int | None) -> Tic:
        dynamics = self._running().dynamics
        if dynamics is not None and dynamics[1] == last_before_step:
            self.engine.prepare_reseed()
        return self._keep(self.engine.tic(buttons))

    def _keep(self, tic: Tic) -> Tic:
        """Keeps the tic's state; of the tic that ends an episode the engine tells only whether it killed."""
        if tic.state is not None:
            self._state = tic.state
            self._now = dict(zip(VARIABLES, tic.state.game_variables.tolist()))
        elif tic.dead:
            self._now = {**self._now, GameVariable.HEALTH: 0.0}
        return tic

    def close(self) -> None:
        """Ends the engine; harmless when repeated."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        super().close()

    def _observe(self, tic: Tic, previous: np.ndarray) -> np.ndarray:
        """The tic as an observation. Nor does the engine render the tic that ends an episode: it repeats
        the frame before, with the health bar of that tic, so that a death is seen."""
        frame = previous.copy() if tic.screen is None else self.view.resize(tic.screen)
        if self.can_kill and self.hud == "bar":
            draw_health(frame, self._now[GameVariable.HEALTH])
        return frame

    def _warp(self, pose: tuple[float, float, float]) -> None:
        """Puts the player on the nearest whole map unit, which is all that the engine takes."""
        x, y, yaw = pose
        units = round(x * UNITS_PER_METRE), round(y * UNITS_PER_METRE)
        refusal = f"pose={pose!r} is not free floor of map seed {self.map_seed}; choose another x, y (metres)"
        if not self.layout.is_floor(units[0] / UNITS_PER_METRE, units[1] / UNITS_PER_METRE):
            raise ValueError(refusal)
        self.engine.command(f"warp {units[0]} {units[1]}")
        to_the_right = (self.engine.variable(GameVariable.ANGLE) - yaw + 180) % 360 - 180
        self.engine.tic([*STILL[:-1], to_the_right])
        there = [self.engine.variable(v) for v in (GameVariable.POSITION_X, GameVariable.POSITION_Y)]
        if max(abs(there[0] - units[0]), abs(there[1] - units[1])) > 0.1:
            raise ValueError(refusal)

    # What is known of the moment

    @property
    def health(self) -> float:
        """The player's health, 0 (dead) to 100 or a little more."""
        return self._now[GameVariable.HEALTH]

    def pose(self) -> tuple[float, float, float, float]:
        """Camera position x, y, z in metres and yaw in degrees, anticlockwise from +x, in [0, 360)."""
        x, y = self._now[GameVariable.POSITION_X], self._now[GameVariable.POSITION_Y]
        z = self._now[GameVariable.CAMERA_POSITION_Z]
        return (
            x / UNITS_PER_METRE,
            y / UNITS_PER_METRE,
            z / UNITS_PER_METRE,
            self._now[GameVariable.ANGLE] % 360.0,
        )

    def truth(self) -> dict[str, Any]:
        """``camera`` (K, c2w, yaw, pitch), ``objects``, ``health``; ``depth`` and ``labels`` where asked
        for."""
        x, y, z, yaw = self.pose()
        pitch = self._now[GameVariable.PITCH]
        camera = {
            "K": self._intrinsics.copy(),
            "c2w": camera_to_world(x, y, z, yaw, pitch),
            "yaw": yaw,
            "pitch": pitch,
        }
        truth: dict[str, Any] = {"camera": camera, "objects": self._objects(), "health": self.health}
        if "depth" in self.truth_buffers:
            truth["depth"] = self._depth()
        if "labels" in self.truth_buffers:
            truth["labels"] = self._label_ids()
        return truth

    def _objects(self) -> list[dict[str, Any]]:
        visible = {label.object_id for label in self._state.labels if self._seen_at(label) is not None}
        objects = []
        for thing in self._state.objects:
            kind = self._kind_of(thing.name)
            if kind is None:
                continue
            position = np.array([thing.position_x, thing.position_y, thing.position_z]) / UNITS_PER_METRE
            velocity = np.array([thing.velocity_x, thing.velocity_y, thing.velocity_z])
            objects.append(
                {
                    "id": public_id(thing.id, self._ids),
                    "class": kind[0],
                    "colour": kind[1],
                    "position": position,
                    "velocity": velocity * (TICS_PER_SECOND / UNITS_PER_METRE),
                    "visible": thing.id in visible,
                }
            )
        return objects

    def _depth(self) -> np.ndarray:
        """float32 ``(H, W)``: distance along the optical axis in metres; the engine rounds levels down."""
        levels = self.view.resize(self._state.depth_buffer, nearest=True)
        return (levels.astype(np.float32) + 0.5) * np.float32(DEPTH_STEP)

    def _label_ids(self) -> np.ndarray:
        """int32 ``(H, W)``: object id per pixel, 0 for walls, -1 for floor and ceiling."""
        ids = np.zeros(256, np.int32)
        ids[1] = -1
        for label in self._state.labels:
            ids[label.value] = public_id(label.object_id, self._ids)
        return ids[self.view.resize(self._state.labels_buffer, nearest=True)]

    def _seen_at(self, label: vzd.Label) -> float | None:
        """Where across the observation (0 left, 1 right) the middle of a label lies, None where it is
        outside."""
        _, left, _, width = self.view.crop
        if label.x + label.width <= left or label.x >= left + width:
            return None
        return min(max((label.x + label.width / 2 - left) / width, 0.0), 1.0)

    def _things_seen(self) -> tuple[Thing, ...]:
        """Named things in sight, counted by kind; ``place`` where all of a kind stand on one side."""
        x, y, _, _ = self.pose()
        smallest = SMALLEST * self.view.screen[0] / LOW_ROWS
        found: list[tuple[float, Sighting]] = []
        for label in self._state.labels:
            kind, across = self._kind_of(label.object_name), self._seen_at(label)
            if kind is None or across is None or min(label.width, label.height) < smallest:
                continue
            dx = label.object_position_x / UNITS_PER_METRE - x
            dy = label.object_position_y / UNITS_PER_METRE - y
            distance = float(np.hypot(dx, dy))
            found.append((distance, Sighting(*kind, across, distance < NEAR)))
        return seen_things(sighting for _, sighting in sorted(found, key=lambda pair: pair[0]))


def public_id(engine_id: int, renumbered: dict[int, int]) -> int:
    """Object id that we give out: from 1 on, since 0 stands for walls in label pictures."""
    return renumbered.get(engine_id, engine_id + 1)


class Snapshot:
    """Objects by id, sectors and variables of the engine at one moment."""

    def __init__(self, state: vzd.GameState, variables: dict[GameVariable, float], ids: dict[int, int]) -> None:
        self.objects: dict[int, vzd.Object] = {public_id(thing.id, ids): thing for thing in state.objects}
        self.sectors: Sequence[vzd.Sector] = state.sectors
        self.variables = variables


def _same_things(before: Snapshot, after: Sequence[vzd.Object]) -> dict[int, int]:
    """Engine id -> id before, for the things that a loaded game has renumbered; a tic lies between."""
    ids: dict[int, int] = {}
    for old_id, old in before.objects.items():
        candidates = [new for new in after if new.name == old.name and new.id not in ids]
        new = min(candidates, key=lambda thing: _distance(thing, old), default=None)
        if new is not None and _distance(new, old) < UNITS_PER_METRE:
            ids[new.id] = old_id
    return ids


def _distance(a: vzd.Object, b: vzd.Object) -> float:
    return abs(a.position_x - b.position_x) + abs(a.position_y - b.position_y)
