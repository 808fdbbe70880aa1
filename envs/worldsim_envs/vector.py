"""True worlds as a vector environment whose ``info["frames"]`` has one shape, whatever each lane is doing.

A single world shows one frame after ``reset`` and four after ``step``. Gymnasium's ``SyncVectorEnv`` stacks
infos by the shape of the first lane it meets, so a lane that resets inside ``step`` beside one that does not
makes it fail. Here, as in the learned environment, ``frames`` is always ``(N, 4, H, W, 3)``: a reset frame is
repeated, with ``n_frames`` 1. ``final_obs`` is a dense array beside its mask, where Gymnasium's is an array
of objects that its own conversion to tensors cannot take, and the caller's options are left as they are.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldsim.worlds import WORLDS, WorldSpec
from worldsim_envs.base import BLOCK_FRAMES


class TrueVectorEnv(SyncVectorEnv):
    """``SyncVectorEnv`` over true worlds, in any autoreset mode; takes the same arguments."""

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        return super().reset(seed=seed, options=None if options is None else dict(options))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        obs, reward, terminated, truncated, infos = super().step(actions)
        if "final_obs" in infos:
            dense = obs.copy()
            for lane in np.flatnonzero(infos["_final_obs"]):
                dense[lane] = infos["final_obs"][lane]
            infos["final_obs"] = dense
        return obs, reward, terminated, truncated, infos

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        frames = env_info.get("frames")
        if isinstance(frames, np.ndarray) and len(frames) < BLOCK_FRAMES:
            padding = np.repeat(frames[-1:], BLOCK_FRAMES - len(frames), axis=0)
            env_info = {**env_info, "frames": np.concatenate([frames, padding])}
        return super()._add_info(vector_infos, env_info, env_num)


def make_true_vector(
    spec: WorldSpec,
    num_envs: int = 1,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    max_episode_steps: int | None = None,
    time_limit: int | None = None,
    **kwargs: Any,
) -> TrueVectorEnv:
    """``num_envs`` true worlds of one kind; what ``gym.make_vec`` calls.

    ``max_episode_steps`` comes on top of ``time_limit``: the earlier truncates. ``kwargs`` go to the world.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs={num_envs}; a vector environment has at least one lane")
    limit = time_limit
    if max_episode_steps is not None:
        limit = min(max_episode_steps, time_limit or spec.time_limit)
    module, name = gym.spec(spec.env_id).entry_point.split(":")  # type: ignore[union-attr]
    world = getattr(import_module(module), name)
    return TrueVectorEnv([lambda: world(time_limit=limit, **kwargs)] * num_envs, autoreset_mode=autoreset_mode)


def __getattr__(name: str) -> Any:
    """``DoomRoomsVector`` and its like, the vector entry points of the registry."""
    world = name.removesuffix("Vector")
    if name.endswith("Vector") and world in WORLDS:
        return partial(make_true_vector, WORLDS[world])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
