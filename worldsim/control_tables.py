"""Controls of every world and action id as tensors, so that a step of many lanes in many worlds needs no loop."""

from __future__ import annotations

import functools

import numpy as np
import torch

from worldsim.actions import NUM_ACTIONS, NUM_KEYS, multi_hot
from worldsim.worlds import WORLDS


@functools.cache
def control_tables() -> tuple[torch.Tensor, torch.Tensor]:
    """Keys float32 ``(worlds, 32, 32)`` and camera motions float32 ``(worlds, 32, 2)`` by world index and action id."""
    count = 1 + max(spec.index for spec in WORLDS.values())
    keys = np.zeros((count, NUM_ACTIONS, NUM_KEYS), np.float32)
    camera = np.zeros((count, NUM_ACTIONS, 2), np.float32)
    for spec in WORLDS.values():
        keys[spec.index] = multi_hot(spec.table.keys)
        camera[spec.index] = spec.table.camera
    return torch.from_numpy(keys), torch.from_numpy(camera)
