"""The pixel U-Net as a ``Predictor``: lanes with the last four frames and controls, one generated frame per
step.

As in the paper one environment step is one generated frame, held for the block's four video frames. The
frame itself serves as latent. There is no reward model (the paper's is a network of its own): reward is 0
and termination never happens, which flatters the baseline's speed. It has no text either: a start without
frames is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.actions import multi_hot
from worldsim.baselines.unet import PixelUNet
from worldsim.diffusion.noise import gaussian
from worldsim.model.prepacked import can_prepack, prepack
from worldsim.predictor import BLOCK_FRAMES, Block, LaneStart, TextKind

# B lanes, S context frames, C channels, H W frame, K numbers of a control


@dataclass
class _Lane:
    seed: int = 0
    step: int = 0
    frames_SCHW: Tensor = field(default_factory=lambda: torch.zeros(0))
    controls_SK: Tensor = field(default_factory=lambda: torch.zeros(0))


class UNetPredictor:
    """``lanes`` worlds in one pixel U-Net; see the module's docstring. Frame sizes are multiples of 8.

    ``bfloat16`` runs it under autocast, ``prepacked`` a bfloat16 copy whose weights are laid out once (see
    ``prepacked.prepack``; ``ValueError`` where that is impossible).
    """

    def __init__(
        self,
        net: PixelUNet,
        lanes: int = 1,
        frame_size: tuple[int, int] = (64, 64),
        device: str | torch.device = "cpu",
        bfloat16: bool = False,
        prepacked: bool = False,
    ) -> None:
        if any(size % 8 for size in frame_size):
            raise ValueError(f"frame_size={frame_size}; the U-Net halves three times and needs multiples of 8")
        self.device = torch.device(device)
        self.net = net.to(self.device).eval()
        self.lanes, self.frame_size, self.bfloat16 = lanes, frame_size, bfloat16
        self._cast: torch.dtype = torch.float32
        if prepacked:
            if not can_prepack(self.device, torch.bfloat16):
                raise ValueError("prepacked=True: weights can be laid out in bfloat16 on an x86 processor alone")
            self.net, self.bfloat16, self._cast = copy.deepcopy(self.net).bfloat16(), False, torch.bfloat16
            prepack(self.net)
        self.latent_shape = (3, *frame_size)
        self.reward_values = torch.zeros(1)
        self._lanes = [_Lane() for _ in range(lanes)]

    def begin(self, lanes: Sequence[int], starts: Sequence[LaneStart]) -> Block:
        """Begins each of ``lanes`` from its frames; ``ValueError`` for a start from text alone."""
        for lane, start in zip(lanes, starts, strict=True):
            self._lanes[lane] = self._begun(start)
        return self._block(list(lanes))

    def step(self, keys: Tensor, camera: Tensor) -> Block:
        """Advances every lane by one generated frame; ``begin`` every lane first."""
        if any(lane.frames_SCHW.numel() == 0 for lane in self._lanes):
            raise RuntimeError("step() before every lane has begun; call begin() first")
        control_BK = torch.cat([keys, camera / 14.0], -1).to(self.device, torch.float32)
        for lane, control_K in zip(self._lanes, control_BK):
            lane.controls_SK = torch.cat([lane.controls_SK[1:], control_K[None]])
        seeds = torch.tensor([lane.seed for lane in self._lanes], device=self.device)
        steps = torch.tensor([lane.step for lane in self._lanes], device=self.device)
        noise = gaussian(seeds, steps, "latent", self.latent_shape)
        context = torch.stack([lane.frames_SCHW for lane in self._lanes])
        controls = torch.stack([lane.controls_SK for lane in self._lanes])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            made_BCHW = self.net.sample(*(x.to(self._cast) for x in (noise, context, controls))).float()
        for lane, frame_CHW in zip(self._lanes, made_BCHW):
            lane.frames_SCHW = torch.cat([lane.frames_SCHW[1:], frame_CHW[None]])
            lane.step += 1
        return self._block(list(range(self.lanes)))

    def set_text(self, lanes: Sequence[int], texts: Sequence[str], kind: TextKind, steps: int = 4) -> None:
        """Does nothing: the baseline has no text."""

    def get_state(self, lane: int) -> dict[str, Any]:
        """The lane's seed, step, frames and controls."""
        held = self._lanes[lane]
        return {
            "seed": held.seed, "step": held.step,
            "frames": held.frames_SCHW.cpu().clone(), "controls": held.controls_SK.cpu().clone(),
        }  # fmt: skip

    def set_state(self, lane: int, state: dict[str, Any]) -> None:
        """Continues from ``get_state`` of this or an equal predictor."""
        self._lanes[lane] = _Lane(
            state["seed"], state["step"], state["frames"].to(self.device), state["controls"].to(self.device)
        )

    def reconstruct(self, frames: Tensor) -> Tensor:
        """The frames themselves: it works in pixels."""
        return frames.clone()

    def _begun(self, start: LaneStart) -> _Lane:
        if start.frames is None:
            raise ValueError("the pixel U-Net has no text: start it from frames (start='bank' or init_frames)")
        k, n, size = start.world.frames_per_step, len(start.actions), self.net.config.context
        table = start.world.table
        first = len(start.frames) - k * n
        if first not in (0, 1) or len(start.frames) == 0:
            raise ValueError(
                f"{len(start.frames)} frames do not fit {n} actions of {k} frames each, with or without a first frame"
            )
        observations = start.frames[:1] if first else start.frames[:0]
        observations = np.concatenate([observations, start.frames[first + k - 1 :: k]])[-size:]
        pixels = torch.from_numpy(np.ascontiguousarray(observations)).to(self.device).float().div(127.5).sub(1)
        frames_SCHW = pixels.permute(0, 3, 1, 2)
        frames_SCHW = torch.cat([frames_SCHW[:1].expand(size - len(frames_SCHW), -1, -1, -1), frames_SCHW])
        ids = table.canonical[start.actions[-size:]]
        given = np.concatenate([multi_hot(table.keys[ids]), table.camera[ids] / 14.0], -1)
        controls_SK = torch.zeros(size, self.net.config.controls, device=self.device)
        if len(ids):
            controls_SK[-len(ids) :] = torch.from_numpy(given).to(self.device, torch.float32)
        return _Lane(start.seed, 0, frames_SCHW.contiguous(), controls_SK)

    def _block(self, lanes: list[int]) -> Block:
        latent = torch.stack([self._lanes[lane].frames_SCHW[-1] for lane in lanes])
        pixels = latent.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        zeros = torch.zeros(len(lanes), device=self.device)
        return Block(
            frames=pixels[:, None].expand(-1, BLOCK_FRAMES, -1, -1, -1).contiguous(),
            latent=latent.clone(),
            reward=zeros,
            termination=zeros.clone(),
            terminated=zeros.bool(),
            hallucination=torch.full_like(zeros, torch.nan),
            valid=torch.isfinite(latent).flatten(1).all(1),
            reward_distribution=torch.ones(len(lanes), 1, device=self.device),
        )
