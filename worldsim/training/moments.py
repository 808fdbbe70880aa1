"""Steps of true worlds with what a world model expects of each: the data that a codec's memory learns from."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.actions import multi_hot
from worldsim.model.codec import Codec, CodecConfig, to_pixels
from worldsim.model.motion import ACTION, TRAVEL, describe
from worldsim.model.transformer import WorldModel
from worldsim.passes import native_autocast
from worldsim.recording.episode import Episode
from worldsim.training.arena import Arena, Column
from worldsim.training.clips import ClipConfig, assemble
from worldsim.training.latents import encode_episode
from worldsim.training.objective import Draw, predict
from worldsim.worlds import WORLDS

# B batch, T steps, C channels, H W size of a frame, h w latent cells

CLIP = 24
"""Latents of a clip in which the world model predicts."""


class Moments:
    """Steps of episodes in flat columns: row t of an episode holds its observation t and what led to it (zeros for the
    reset frame): the ``block`` of frames, the ``action``, true ``motion`` from the row before (NaN where unknown), the
    ``true`` and the ``predicted`` latent, the lens's ``reach`` (0 without one), and the camera's ``travel``, on
    ``device``; ``before`` counts the rows of the same episode before it.

    Rows are numbers on the host. ``size`` is that of a frame, ``config`` of the codec.
    """

    def __init__(self, size: tuple[int, int], config: CodecConfig, device: torch.device | None = None) -> None:
        latent = (config.latent_channels, size[0] // config.stride, size[1] // config.stride)
        self.block = Column(torch.uint8, (4, *size, 3), device)
        self.action = Column(torch.float32, (ACTION,), device)
        self.motion = Column(torch.float16, (2, *latent[1:]), device)
        self.true = Column(torch.float16, latent, device)
        self.predicted = Column(torch.float16, latent, device)
        self.reach = Column(torch.float32, (), device)
        self.travel = Column(torch.float32, (TRAVEL,), device)
        self.before = Column(torch.int64)

    def __len__(self) -> int:
        return len(self.before)

    def actions(self, rows: torch.Tensor) -> torch.Tensor:
        """``(B, 2 A)``: the actions that led to rows that are no first ones, and those before."""
        return torch.cat([self.action.take(rows), self.action.take(rows - 1)], dim=1)

    def last(self, rows: torch.Tensor) -> torch.Tensor:
        """float ``(B, 3, H, W)`` in [-1, 1]: the last frames of rows, on the device."""
        return to_pixels(self.block.take(rows)[:, -1]).permute(0, 3, 1, 2)

    def add(self, episode: Episode, codec: Codec, world: WorldModel) -> None:
        encoded = encode_episode(episode, codec)
        arena = Arena(encoded.z.shape[1:])
        arena.add(encoded)
        rows = len(episode) + 1
        self.block.extend(
            torch.from_numpy(np.concatenate([np.repeat(episode.first[None, None], 4, 1), episode.blocks]))
        )
        keys = torch.from_numpy(multi_hot(episode.keys))
        action = describe(keys, torch.from_numpy(episode.camera))
        self.action.extend(torch.cat([torch.zeros_like(action[:1]), action]))
        h, w = encoded.z.shape[2:]
        motion = episode.motion if episode.motion is not None else np.full((rows - 1, 2, h, w), np.nan, np.float16)
        self.motion.extend(torch.cat([torch.full((1, 2, h, w), torch.nan).half(), torch.from_numpy(motion)]))
        self.true.extend(encoded.z)
        self.predicted.extend(predict_each(world, arena).half())
        self.reach.extend(torch.full((rows,), WORLDS[episode.world].reach(*episode.frame_size)))
        self.travel.extend(travel_of(episode))
        self.before.extend(torch.arange(rows))


def travel_of(episode: Episode) -> torch.Tensor:
    """float32 ``(T + 1, 4)``: how far the camera truly went in each step (see ``TRAVEL``), at rest at the reset."""
    place, yaw = torch.from_numpy(episode.pose[:, :3]), torch.deg2rad(torch.from_numpy(episode.pose[:, 3]))
    step = place[1:] - place[:-1]
    ahead, left = torch.stack([yaw.cos(), yaw.sin()], 1)[1:], torch.stack([-yaw.sin(), yaw.cos()], 1)[1:]
    gone = torch.stack([-(step[:, :2] * left).sum(1), -step[:, 2], (step[:, :2] * ahead).sum(1)], 1)
    travel = torch.cat([torch.zeros(1, TRAVEL), torch.cat([gone, torch.ones(len(gone), 1)], 1)])
    travel[0, -1] = 1.0
    known = WORLDS[episode.world].lens is not None
    return torch.where(travel.isfinite().all(1, keepdim=True) & known, travel, 0.0)


@torch.no_grad()
def predict_each(world: WorldModel, arena: Arena) -> torch.Tensor:
    """What the model expects each latent of the arena's one episode to be, ``(T + 1, C, h, w)``: from pure noise, given
    the action and nearly clean latents before it. Even and odd frames are predicted in turns, from each other, also for
    a model whose engines keep what they expect (``cache_mode``): how it came by what it remembers matters little."""
    rows = int(arena.lengths.rows[0])
    starts = np.arange(0, rows, CLIP - 4)
    config = ClipConfig(length=CLIP, drop_text=0.0, drop_action=0.0, no_view=0.0)
    clips = assemble(arena, np.zeros(len(starts), np.int64), starts, config, np.random.default_rng(0))
    device = next(world.parameters()).device
    clips = clips.to(device)
    b = len(starts)
    causal, plain = (
        torch.zeros(b, dtype=torch.int64, device=device),
        torch.zeros(b, CLIP, dtype=torch.int64, device=device),
    )
    found = clips.z.clone()
    with native_autocast(device):
        text = clips.words.encode(world)
        for parity in (0, 1):
            wanted = torch.arange(CLIP, device=device) % 2 == parity
            tau = torch.where(wanted, 0.0, 0.95).expand(b, CLIP)
            draw = Draw(tau, causal, torch.zeros_like(clips.z), plain)
            x = predict(world, clips, text, tau[..., None, None, None] * clips.z, draw).x
            found[:, wanted] = x.float()[:, wanted]
    whole = torch.zeros(rows, *found.shape[2:], device=device)
    for row, start in enumerate(starts):  # the first latents of a clip have little context: the clip before has them
        fresh = 0 if start == 0 else 4
        whole[start + fresh : start + CLIP] = found[row, fresh : rows - start]
    return whole
