"""The 32 actions, and the controls (held keys and camera motion) that the model is conditioned on.

The action ids are frozen because they are baked into weights. The model itself never sees an id: each id becomes a
multi-hot of held keys and a camera motion in degrees per step, so that a browser's held-key set or a recording with
mouse motion drives the same weights. An action that a world does not read becomes noop *before* keys are built.
Imports nothing but numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ACTION_MEANINGS: tuple[str, ...] = (
    "noop", "forward", "backward", "strafe_left", "strafe_right", "turn_left", "turn_right", "look_up", "look_down",
    "use", "attack", "jump", "place", "forward+turn_left", "forward+turn_right", "forward+jump", "forward+attack",
    "sneak", "next_item", "sleep", "place_stone", "place_table", "place_furnace", "place_plant", "make_wood_pickaxe",
    "make_stone_pickaxe", "make_iron_pickaxe", "make_wood_sword", "make_stone_sword", "make_iron_sword",
    "turn_left_small", "turn_right_small",
)  # fmt: skip
ACTION_ID: dict[str, int] = {name: i for i, name in enumerate(ACTION_MEANINGS)}
NUM_ACTIONS = len(ACTION_MEANINGS)

KEYS: tuple[str, ...] = (
    "forward", "backward", "strafe_left", "strafe_right", "use", "attack", "jump", "place", "sneak", "next_item",
    "sleep", "place_stone", "place_table", "place_furnace", "place_plant", "make_wood_pickaxe", "make_stone_pickaxe",
    "make_iron_pickaxe", "make_wood_sword", "make_stone_sword", "make_iron_sword", "sprint", "drop", "inventory",
)  # fmt: skip
KEY_BIT: dict[str, int] = {name: i for i, name in enumerate(KEYS)}
NUM_KEYS = 32  # width of the multi-hot; the bits past len(KEYS) are reserved

NO_ACTION = -1
"""Recorded action of the last frame of an episode: nothing was done any more."""
UNKNOWN_ACTION = -2
"""Recorded action where held keys and camera motion match none of the 32 ids."""


@dataclass(frozen=True)
class Camera:
    """Camera motion of the turning and looking actions, in degrees per step (left and up are positive)."""

    turn: float = 14.0
    turn_small: float = 3.5
    look: float = 14.0


def held_keys(action: int) -> int:
    """Key mask (bit i = ``KEYS[i]`` held) of an action id."""
    mask = 0
    for part in ACTION_MEANINGS[action].split("+"):
        if part in KEY_BIT:
            mask |= 1 << KEY_BIT[part]
    return mask


def camera_motion(action: int, camera: Camera) -> tuple[float, float]:
    """Yaw and pitch of an action id, in degrees per step; left and up are positive."""
    parts = ACTION_MEANINGS[action].split("+")
    motions = {
        "turn_left": (camera.turn, 0.0),
        "turn_right": (-camera.turn, 0.0),
        "look_up": (0.0, camera.look),
        "look_down": (0.0, -camera.look),
        "turn_left_small": (camera.turn_small, 0.0),
        "turn_right_small": (-camera.turn_small, 0.0),
    }
    return next((motions[p] for p in parts if p in motions), (0.0, 0.0))


@dataclass(frozen=True)
class ActionTable:
    """Controls of every action id in one world, as arrays to be indexed by id.

    ``keys`` is uint32 ``(32,)``, ``camera`` float32 ``(32, 2)`` (yaw, pitch in degrees per step). Ids that the world
    does not read hold the controls of noop, and ``canonical`` maps them to 0.
    """

    keys: np.ndarray
    camera: np.ndarray
    canonical: np.ndarray

    @classmethod
    def build(cls, reads: Sequence[int], camera: Camera) -> ActionTable:
        keys = np.zeros(NUM_ACTIONS, np.uint32)
        motion = np.zeros((NUM_ACTIONS, 2), np.float32)
        canonical = np.zeros(NUM_ACTIONS, np.int64)
        for action in reads:
            keys[action] = held_keys(action)
            motion[action] = camera_motion(action, camera)
            canonical[action] = action
        return cls(keys, motion, canonical)

    def matching(self, keys: np.ndarray, camera: np.ndarray) -> np.ndarray:
        """int16 ``(T,)`` ids of the actions whose controls are these key masks ``(T,)`` and camera motions ``(T, 2)``
        (to a thousandth of a degree); ``UNKNOWN_ACTION`` where there is none."""
        same = (keys[:, None] == self.keys) & (np.abs(camera[:, None] - self.camera) < 1e-3).all(-1)
        return np.where(same.any(1), same.argmax(1), UNKNOWN_ACTION).astype(np.int16)


def multi_hot(keys: np.ndarray) -> np.ndarray:
    """float32 ``(..., 32)`` multi-hot of uint32 key masks ``(...)``."""
    masks = np.asarray(keys, dtype=np.uint32)
    return ((masks[..., None] >> np.arange(NUM_KEYS, dtype=np.uint32)) & 1).astype(np.float32)


def check_actions(actions: object, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """``actions`` as int64 of ``shape``, or a ``ValueError`` that names the space (Gymnasium does not validate)."""
    given = np.asarray(actions)
    if given.shape != shape or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"action {actions!r} (dtype {given.dtype}, shape {given.shape}) is not in Discrete({n}); "
            f"expected integers of shape {shape} in [0, {n})"
        )
    if given.size and (given.min() < 0 or given.max() >= n):
        raise ValueError(f"action {actions!r} is not in Discrete({n}): accepted are the integers 0 to {n - 1}")
    return given.astype(np.int64)
