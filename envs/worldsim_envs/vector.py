"""True worlds as a vector environment whose ``info["frames"]`` has one shape, whatever each lane is doing.

A single world shows one frame after ``reset`` and four after ``step``. Gymnasium's ``SyncVectorEnv`` stacks
infos by the shape of the first lane it meets, so a lane that resets inside ``step`` beside one that does not
makes it fail. Here, as in the learned environment, ``frames`` is always ``(N, 4, H, W, 3)``: a reset frame is
repeated, with ``n_frames`` 1. ``final_obs`` is a dense array beside its mask, where Gymnasium's is an array
of objects that its own conversion to tensors cannot take, and the caller's options are left as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv

from worldsim_envs.base import BLOCK_FRAMES


class TrueVectorEnv(SyncVectorEnv):
    """``SyncVectorEnv`` over true worlds, in any autoreset mode; takes the same arguments."""

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        return super().reset(seed=seed, options=None if options is None else dict(options))

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        obs, reward, terminated, truncated, infos = super().step(actions)
        if "final_obs" in infos:
            dense = obs.copy()
            for lane in np.flatnonzero(infos["_final_obs"]):
                dense[lane] = infos["final_obs"][lane]
            infos["final_obs"] = dense
        return obs, reward, terminated, truncated, infos

    def _add_info(
        self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int
    ) -> dict[str, Any]:
        frames = env_info.get("frames")
        if isinstance(frames, np.ndarray) and len(frames) < BLOCK_FRAMES:
            padding = np.repeat(frames[-1:], BLOCK_FRAMES - len(frames), axis=0)
            env_info = {**env_info, "frames": np.concatenate([frames, padding])}
        return super()._add_info(vector_infos, env_info, env_num)
