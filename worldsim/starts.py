"""Given beginnings of lanes as the network takes them: frames to latents, actions to controls, both checked.

``actions[i]`` produced block i, so latent t of an episode that is given from its reset frame on carries
action t - 1, and its first latent none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from einops import rearrange

from worldsim.actions import NUM_ACTIONS, NUM_KEYS, multi_hot
from worldsim.model.conditioning import ACTED, FIRST, Controls
from worldsim.model.packaged import also_simulating
from worldsim.predictor import LaneStart


def check_start(start: LaneStart, frame_size: tuple[int, int], worlds: Sequence[str]) -> None:
    """Raises ``ValueError`` unless ``start`` is in one of ``worlds`` and has frames of ``frame_size`` that fit its
    actions, or no frames."""
    frames, n, k = start.frames, len(start.actions), start.world.frames_per_step
    if start.world.name not in worlds:
        raise ValueError(
            f"{start.world.env_id} is none of the worlds that this model simulates: {', '.join(worlds)}"
            + also_simulating(start.world.name)
        )
    if n and not 0 <= int(np.min(start.actions)) <= int(np.max(start.actions)) < NUM_ACTIONS:
        raise ValueError(f"start actions are ids from 0 to {NUM_ACTIONS - 1}, got {start.actions}")
    if frames is None:
        if n:
            raise ValueError(f"{n} actions were given without the frames that they produced")
        return
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (*frame_size, 3):
        raise ValueError(
            f"start frames are {frames.dtype} {frames.shape}; expected uint8 (F, {frame_size[0]}, {frame_size[1]}, 3)"
        )
    accepted = {1 + k * n, k * n} - {0}
    if len(frames) not in accepted:
        raise ValueError(
            f"{len(frames)} start frames with {n} actions; {start.world.env_id} has {k} frames per step and "
            f"takes {' or '.join(map(str, sorted(accepted, reverse=True)))} frames with them"
        )


def lane_draws(rng: np.random.Generator) -> tuple[int, int]:
    """What an episode takes from its lane's generator: the seed of its noise, in [0, 2^62), and a number in [0, 2^31)
    that picks its start in the bank or what its prompt leaves open. Always both, so that no option shifts later draws.
    """
    noise_seed, draw = rng.integers(2**62, size=2)
    return int(noise_seed), int(draw % 2**31)


def given_latents(
    encode: Callable[[torch.Tensor], torch.Tensor], frames: torch.Tensor, k: int, n: int
) -> list[torch.Tensor]:
    """Latents ``(M, C, h, w)`` in order of time of M prefixes ``(M, F, H, W, 3)`` with ``n`` blocks of ``k``
    frames, by ``encode`` of blocks ``(B, k or 1, H, W, 3)``."""
    first = frames.shape[1] - k * n  # 1 for an episode from its reset on, 0 for a clip from the middle
    latents = [encode(frames[:, :1])] if first else []
    if n:
        blocks = encode(rearrange(frames[:, first:], "m (n k) h w c -> (m n) k h w c", k=k))
        latents += list(rearrange(blocks, "(m n) c h w -> n m c h w", n=n))
    return latents


def given_controls(starts: Sequence[LaneStart], device: torch.device) -> Controls:
    """Controls ``(M, T)`` of the latents of starts that have equally many frames and actions."""
    start = starts[0]
    first = len(start.frames) - start.world.frames_per_step * len(start.actions)  # type: ignore[arg-type]
    actions = np.stack([np.asarray(s.actions, np.int64) for s in starts])
    keys = multi_hot(np.stack([s.world.table.keys[a] for s, a in zip(starts, actions)]))
    camera = np.stack([s.world.table.camera[a] for s, a in zip(starts, actions)])
    pad = ((0, 0), (first, 0))
    known = np.pad(np.full(actions.shape, ACTED, np.int64), pad, constant_values=FIRST)
    return Controls(
        torch.from_numpy(np.pad(keys, (*pad, (0, 0)))).to(device),
        torch.from_numpy(np.pad(camera, (*pad, (0, 0)))).to(device),
        torch.from_numpy(known).to(device),
    )


def first_controls(lanes: int, device: torch.device) -> Controls:
    """Controls ``(M, 1)`` of a latent that no action produced."""
    return Controls(
        torch.zeros(lanes, 1, NUM_KEYS, device=device),
        torch.zeros(lanes, 1, 2, device=device),
        torch.full((lanes, 1), FIRST, dtype=torch.int64, device=device),
    )
