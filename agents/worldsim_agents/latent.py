"""True worlds seen through a model's codec, so that one policy acts on latents in the dream and in truth.

The learned environment with ``obs_type="latent"`` returns the current latent itself, without decoding a
picture. These wrappers give the same observation in a true world: the codec's normalised latent of the last
block (of the reset frame as a single image), float32 ``(C, h, w)``. All lanes of a vector environment are
encoded in one batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

if TYPE_CHECKING:
    from worldsim.model.weights import WorldSimulator
    from worldsim.worlds import WorldSpec


class LatentEncoder:
    """Encodes blocks and reset frames with a model's codec, on the device of its weights.

    ``block_frames`` is the k of the world: how many frames of ``info["frames"]`` a block holds.
    """

    def __init__(self, model: WorldSimulator, block_frames: int, frame_size: tuple[int, int]) -> None:
        self.codec, self.block_frames = model.codec, block_frames
        self.codec.check_size(*frame_size)
        stride, channels = self.codec.config.stride, self.codec.config.latent_channels
        shape = (channels, frame_size[0] // stride, frame_size[1] // stride)
        # a broadcast view: bounds of a batched box would otherwise take as much room as the latents
        bound = np.broadcast_to(np.float32(np.inf), shape)
        self.space = gym.spaces.Box(-bound, bound, dtype=np.float32)

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray, images: np.ndarray) -> np.ndarray:
        """float32 ``(N, C, h, w)`` of ``frames`` uint8 ``(N, F, H, W, 3)``; where ``images`` bool ``(N,)`` is
        set only the first frame counts, as a single image."""
        latents = np.empty((len(frames), *self.space.shape), np.float32)
        device = next(self.codec.parameters()).device
        for rows, length in ((images, 1), (~images, self.block_frames)):
            if rows.any():
                chosen = torch.from_numpy(np.ascontiguousarray(frames[rows, :length])).to(device)
                latents[rows] = self.codec.encode(chosen).cpu().numpy()
        return latents


class LatentObservation(gym.Wrapper):
    """A true world whose observation is the codec's normalised latent of its last block, ``(C, h, w)``."""

    def __init__(self, env: gym.Env, model: WorldSimulator) -> None:
        super().__init__(env)
        size = _frame_size(env.observation_space)
        world: WorldSpec = env.get_wrapper_attr("spec_world")
        self.encoder = LatentEncoder(model, world.frames_per_step, size)
        self.observation_space = self.encoder.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        _, info = self.env.reset(seed=seed, options=options)
        return self._encode(info, image=True), info

    def step(self, action: Any) -> tuple[np.ndarray, SupportsFloat, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, info = self.env.step(action)
        return self._encode(info, image=False), reward, terminated, truncated, info

    def _encode(self, info: dict[str, Any], image: bool) -> np.ndarray:
        return self.encoder(info["frames"][None], np.array([image]))[0]


class LatentVectorObservation(VectorWrapper):
    """The same for a vector environment in any autoreset mode: ``(N, C, h, w)``, one batched encode a step.

    A lane that was reset inside `step` gets the latent of its reset frame, and its ``final_obs`` that of the
    block which ended the episode. Needs ``info["frames"]`` as ``(N, 4, H, W, 3)``.
    """

    def __init__(self, env: VectorEnv, model: WorldSimulator, frames_per_step: int) -> None:
        super().__init__(env)
        self.encoder = LatentEncoder(model, frames_per_step, _frame_size(env.single_observation_space))
        self.single_observation_space = self.encoder.space
        self.observation_space = batch_space(self.encoder.space, env.num_envs)
        self.mode = AutoresetMode(env.metadata["autoreset_mode"])
        self._ended = np.zeros(env.num_envs, bool)
        self._latents = np.zeros((env.num_envs, *self.encoder.space.shape), np.float32)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        mask = (options or {}).get("reset_mask")
        rows = np.ones(self.num_envs, bool) if mask is None else np.array(mask)  # the environment may pop it
        _, infos = self.env.reset(seed=seed, options=options)
        self._latents = self._latents.copy()
        self._latents[rows] = self.encoder(infos["frames"][rows], np.ones(rows.sum(), bool))
        self._ended[rows] = False
        return self._latents.copy(), infos

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        _, rewards, terminated, truncated, infos = self.env.step(actions)
        done, frames = terminated | truncated, infos["frames"]
        if self.mode is AutoresetMode.SAME_STEP and done.any():
            played = np.where(done[:, None, None, None, None], infos["final_info"]["frames"], frames)
            final = self.encoder(played, np.zeros(self.num_envs, bool))
            self._latents = final.copy()
            self._latents[done] = self.encoder(frames[done], np.ones(done.sum(), bool))
            final[~done] = 0
            infos = {**infos, "final_obs": final, "_final_obs": done.copy()}
        else:
            # in NEXT_STEP a lane that ended in the step before shows its reset frame now
            images = self._ended if self.mode is AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
            self._latents = self.encoder(frames, images)
            self._ended = done.copy()
        return self._latents.copy(), rewards, terminated, truncated, infos


def _frame_size(space: gym.Space) -> tuple[int, int]:
    if not isinstance(space, gym.spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3:
        raise ValueError(f"expected an environment that shows uint8 (H, W, 3) frames; its observations are {space}")
    return space.shape[0], space.shape[1]
