"""What the Doom worlds share: engine, blocks of four rendered tics, the health bar, camera and objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import vizdoom as vzd
from vizdoom import GameVariable

from worldsim_envs.base import Advance, Start, TrueWorld
from worldsim_envs.doom.game import (
    VARIABLES,
    DoomEngine,
    EngineConfig,
    Tic,
    View,
    button_values,
)
from worldsim_envs.doom.layout import UNITS_PER_METRE

BAR_ROWS = 3
BAR_FULL = (220, 30, 30)
BAR_EMPTY = (24, 24, 24)
_INDEX = {variable: i for i, variable in enumerate(VARIABLES)}
DEPTH_STEP = 8.0 / UNITS_PER_METRE
"""Metres per level of the engine's depth buffer."""


def draw_health(frame: np.ndarray, health: float) -> np.ndarray:
    """Draws the health bar over the last three rows of ``frame``, in place; its length is ``health`` per cent."""
    width = round(frame.shape[1] * min(max(health, 0.0), 100.0) / 100.0)
    frame[-BAR_ROWS:, :width] = BAR_FULL
    frame[-BAR_ROWS:, width:] = BAR_EMPTY
    return frame


class DoomWorld(TrueWorld):
    """A true world on the Doom engine. Subclasses say which engine, and what happens in a step."""

    can_kill: ClassVar[bool] = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.view = View.fit(self.frame_size)
        self._engine: DoomEngine | None = None
        self._buttons = {a: button_values(a, self.spec_world.camera) for a in self.spec_world.reads}
        self._tic: Tic | None = None
        self._state: vzd.GameState | None = None
        self._health = 100.0

    # What a Doom world supplies

    def _engine_config(self) -> EngineConfig:
        raise NotImplementedError

    def _new_episode(self, engine: DoomEngine, start: Start) -> Tic:
        """Starts the engine's episode; returns its first tic."""
        raise NotImplementedError

    def _after_block(self, before: vzd.GameState, after: vzd.GameState, tics: Sequence[Tic]) -> float:
        """Reads what happened in a block from the states around it; returns the block's reward."""
        raise NotImplementedError

    def _kind_of(self, name: str) -> tuple[str, str] | None:
        """(class, colour) of an engine object by its class name, None for what is not worth naming."""
        raise NotImplementedError

    # The hooks of TrueWorld

    @cached_property
    def engine(self) -> DoomEngine:
        """The engine, started at the first reset."""
        self._engine = DoomEngine(self._engine_config(), self.view)
        return self._engine

    def _begin(self, start: Start) -> np.ndarray:
        tic = self._new_episode(self.engine, start)
        if start.dynamics_seed is not None:
            self.engine.command(f"viz_set_seed {start.dynamics_seed}")
        if start.pose is not None:
            tic = self._warp(start.pose)
        if tic.state is None or tic.screen is None:
            raise RuntimeError(
                f"the Doom engine ended the episode of map seed {start.map_seed} before it began"
            )
        self._state = tic.state
        return self._observe(tic)

    def _advance(self, action: int) -> Advance:
        before = self._state
        assert before is not None
        tics: list[Tic] = []
        frames: list[np.ndarray] = []
        for buttons in self._buttons[action]:
            tic = self.engine.tic(buttons)
            tics.append(tic)
            frames.append(self._observe(tic, frames[-1] if frames else self._frame))
            if tic.state is not None:
                self._state = tic.state
            if tic.finished:
                break
        after = self._state
        assert after is not None
        reward = self._after_block(before, after, tics)
        return Advance(frames, reward, tics[-1].finished)

    def _observe(self, tic: Tic, previous: np.ndarray | None = None) -> np.ndarray:
        """The tic as an observation. The engine does not render the tic that ends an episode: it repeats the frame
        before, with the health bar of that tic, so that a death is seen."""
        if tic.screen is not None:
            frame = self.view.resize(tic.screen)
        else:
            assert previous is not None
            frame = previous.copy()
        if tic.state is not None:
            self._health = float(tic.state.game_variables[_INDEX[GameVariable.HEALTH]])
        elif tic.dead:
            self._health = 0.0
        if self.can_kill and self.hud == "bar":
            draw_health(frame, self._health)
        return frame

    def _warp(self, pose: tuple[float, float, float]) -> Tic:
        x, y, yaw = pose
        self.engine.command(f"warp {x * UNITS_PER_METRE:.4f} {y * UNITS_PER_METRE:.4f}")
        turn = (self.engine.variable(GameVariable.ANGLE) - yaw + 180) % 360 - 180
        buttons = [0.0] * 6 + [turn]
        return self.engine.tic(buttons)

    def close(self) -> None:
        """Ends the engine; harmless when repeated."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            self.__dict__.pop("engine", None)

    # Truth

    def pose(self) -> tuple[float, float, float, float]:
        """Camera position x, y, z in metres and yaw in degrees, anticlockwise from +x, in [0, 360)."""
        v = self._variables()
        x, y = v[GameVariable.POSITION_X], v[GameVariable.POSITION_Y]
        z = v[GameVariable.CAMERA_POSITION_Z]
        return x / UNITS_PER_METRE, y / UNITS_PER_METRE, z / UNITS_PER_METRE, v[GameVariable.ANGLE] % 360.0

    def truth(self) -> dict[str, Any]:
        """``camera`` (K, c2w, yaw, pitch), ``objects``, ``health``; ``depth`` and ``labels`` where asked for."""
        state = self._state
        assert state is not None
        x, y, z, yaw = self.pose()
        pitch = float(self._variables()[GameVariable.PITCH])
        visible = {label.object_id for label in state.labels}
        objects = []
        for thing in state.objects:
            kind = self._kind_of(thing.name)
            if kind is None:
                continue
            position = np.array([thing.position_x, thing.position_y, thing.position_z]) / UNITS_PER_METRE
            velocity = (
                np.array([thing.velocity_x, thing.velocity_y, thing.velocity_z]) * 35.0 / UNITS_PER_METRE
            )
            objects.append(
                {
                    "id": int(thing.id), "class": kind[0], "colour": kind[1], "position": position,
                    "velocity": velocity, "visible": thing.id in visible,
                }
            )  # fmt: skip
        truth: dict[str, Any] = {
            "camera": {
                "K": self.view.intrinsics, "c2w": camera_to_world(x, y, z, yaw, pitch), "yaw": yaw, "pitch": pitch,
            },
            "objects": objects,
            "health": self._health,
        }  # fmt: skip
        if "depth" in self.truth_buffers:
            truth["depth"] = (
                self.view.resize(state.depth_buffer, nearest=True).astype(np.float32) * DEPTH_STEP
            )
        if "labels" in self.truth_buffers:
            truth["labels"] = self._label_ids(state)
        return truth

    def _label_ids(self, state: vzd.GameState) -> np.ndarray:
        """int32 ``(H, W)``: object id per pixel, 0 for walls, -1 for floor and ceiling."""
        ids = np.zeros(256, np.int32)
        ids[1] = -1
        for label in state.labels:
            ids[label.value] = label.object_id
        return ids[self.view.resize(state.labels_buffer, nearest=True)]

    def _variables(self) -> dict[GameVariable, float]:
        assert self._state is not None
        return dict(zip(VARIABLES, self._state.game_variables.tolist()))


def camera_to_world(x: float, y: float, z: float, yaw: float, pitch: float) -> np.ndarray:
    """c2w, float64 ``(4, 4)``: OpenCV axes (x right, y down, z forward) to the world's (x east, y north, z up)."""
    a, p = np.radians(yaw), np.radians(pitch)
    forward = np.array([np.cos(a) * np.cos(p), np.sin(a) * np.cos(p), np.sin(p)])
    right = np.array([np.sin(a), -np.cos(a), 0.0])
    down = np.cross(forward, right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, down, forward], 1)
    matrix[:3, 3] = x, y, z
    return matrix
