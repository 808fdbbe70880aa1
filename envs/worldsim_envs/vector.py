"""True worlds as a vector environment whose ``info["frames"]`` has one shape, whatever each lane is doing.

A single world shows one frame after ``reset`` and four after ``step``. Gymnasium's ``SyncVectorEnv`` stacks
infos by the shape of the first lane it meets, so a lane that resets inside ``step`` beside one that does not
makes it fail. Here, as in the learned environment, ``frames`` is always ``(N, 4, H, W, 3)``: a reset frame is
repeated, with ``n_frames`` 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv

from worldsim_envs.base import BLOCK_FRAMES


class TrueVectorEnv(SyncVectorEnv):
    """``SyncVectorEnv`` over true worlds, in any autoreset mode; takes the same arguments."""

    def _add_info(
        self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int
    ) -> dict[str, Any]:
        frames = env_info.get("frames")
        if isinstance(frames, np.ndarray) and len(frames) < BLOCK_FRAMES:
            padding = np.repeat(frames[-1:], BLOCK_FRAMES - len(frames), axis=0)
            env_info = {**env_info, "frames": np.concatenate([frames, padding])}
        return super()._add_info(vector_infos, env_info, env_num)
