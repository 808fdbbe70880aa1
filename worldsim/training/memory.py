"""Teaching a codec to carry pixels over: the decoder of a trained model goes on, shown the frame before.

The encoder stays as it is, so that latents and the world model that predicts them stay valid. What is decoded are the
world model's own predictions of the next latent (from true context, at full noise), true latents in some of the steps;
what is shown is the true frame before, or what the decoder itself made of it up to a few steps ago, so that it learns
to go on from its own pictures. Where the true world tells depth and camera, the flow is taught by the motion that
follows from them: learned from colours alone, a wall of bricks looks right one brick off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.actions import multi_hot
from worldsim.model.codec import Codec, to_pixels
from worldsim.model.memory import Carried, Shown, describe, fetched
from worldsim.model.transformer import WorldModel
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.arena import Arena, Column
from worldsim.training.clips import ClipConfig, assemble
from worldsim.training.codec import feature_loss, psnr
from worldsim.training.latents import encode_episode
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.objective import Draw, predict
from worldsim.training.presets import MemoryTrainConfig
from worldsim.training.sheets import save_rows

# B batch, T steps, C channels, H W size of a frame, h w latent cells

CLIP = 24
"""Latents of a clip in which the world model predicts."""


class Moments:
    """Steps of episodes in flat columns: row t of an episode holds its observation t and what led to it (zeros for the
    reset frame): the ``block`` of frames, the ``action``, true ``motion`` from the row before (NaN where unknown), the
    ``true`` and the ``predicted`` latent; ``before`` counts the rows of the same episode before it."""

    def __init__(self, size: tuple[int, int], latent_shape: tuple[int, ...]) -> None:
        h, w = latent_shape[1:]
        self.block = Column(torch.uint8, (4, *size, 3))
        self.action = Column(torch.float32, (50,))
        self.motion = Column(torch.float16, (2, h, w))
        self.true = Column(torch.float16, latent_shape)
        self.predicted = Column(torch.float16, latent_shape)
        self.before = Column(torch.int64)

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
        self.before.extend(torch.arange(rows))


@torch.no_grad()
def predict_each(world: WorldModel, arena: Arena) -> torch.Tensor:
    """What the model expects each latent of the arena's one episode to be, ``(T + 1, C, h, w)``: from pure noise, given
    the action and nearly clean latents before it. Even and odd frames are predicted in turns, from each other."""
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
    with torch.autocast(device.type, torch.bfloat16):
        text = clips.words.encode(world)
        for parity in (0, 1):
            wanted = torch.arange(CLIP, device=device) % 2 == parity
            tau = torch.where(wanted, 0.0, 0.95).expand(b, CLIP)
            draw = Draw(tau, causal, torch.zeros_like(clips.z), plain)
            x = predict(world, clips, text, tau[..., None, None, None] * clips.z, draw).x
            found[:, wanted] = x.float()[:, wanted]
    whole = torch.zeros(rows, *found.shape[2:], device=device)
    for row, start in enumerate(starts):  # later clips write first: what has more context behind it stays
        fresh = 0 if start == 0 else 4
        whole[start + fresh : start + CLIP] = found[row, fresh : rows - start]
    return whole.cpu()


class MemoryTraining:
    """A run over the moments of ``episodes`` of true worlds; ``held_out`` episodes serve the probes."""

    def __init__(
        self,
        config: MemoryTrainConfig,
        out: Path,
        begin: WorldSimulator,
        episodes: Iterator[Episode],
        held_out: list[Episode],
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.optim.seed)
        self.config, self.out, self.begin = config, out, begin
        write_run_card(out, config)
        self.codec = with_memory(begin.codec, config)
        self.loop = Loop(out, self.codec, config.optim, config.run)
        self.moments, self.held_out = None, held_out
        world = begin.world
        for episode in episodes:
            self.moments = self.moments or Moments(episode.frame_size, encode_episode(episode, begin.codec).z.shape[1:])
            self.moments.add(episode, begin.codec, world)
        if self.moments is None:
            raise ValueError("there are no episodes to learn from: give source.data or source.steps")
        self.probes = [_probe_moments(episode, begin.codec, world) for episode in held_out]

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator whose codec has a memory (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, rng, moments = self.config, self.loop.rng, self.moments
        assert moments is not None
        batch = config.optim.batch
        depth = int(rng.choice(len(config.depths), p=np.array(config.depths) / sum(config.depths))) + 1
        able = np.flatnonzero(moments.before.rows.numpy() >= depth)
        rows = torch.from_numpy(rng.choice(able, batch))
        blank = torch.from_numpy(rng.random(batch) < config.blank)
        truth = torch.from_numpy(rng.random(batch) < config.true_latents) | blank
        frame = _last(moments.block.rows[rows - depth])
        with self.loop.autocast():
            for back in range(depth - 1, 0, -1):
                with torch.no_grad():
                    y, _ = self._decode(moments, rows - back, frame, truth, ~blank)
                    frame = y[:, -1].permute(0, 3, 1, 2).float().clamp(-1, 1)
            y, carried = self._decode(moments, rows, frame, truth, ~blank)
            assert carried is not None
            return memory_loss(y.float(), carried, moments, rows, frame, ~blank, config)

    def _decode(
        self, moments: Moments, rows: torch.Tensor, frame: torch.Tensor, truth: torch.Tensor, known: torch.Tensor
    ) -> tuple[torch.Tensor, Carried | None]:
        z = torch.where(truth[:, None, None, None], moments.true.rows[rows], moments.predicted.rows[rows]).float()
        return self.codec.decode_with(self.codec.denormalise(z), 4, Shown(frame, known, moments.action.rows[rows]))

    def _probe(self, step: int) -> dict[str, float]:
        """Free rollouts of ``config.probe_steps`` on predicted latents, from true frames, on steps that move."""
        sums: dict[str, list[float]] = {}
        sheet = []
        for moments in self.probes:
            n = self.config.probe_steps
            starts = torch.arange(4, len(moments.before) - n, n)
            if not len(starts):
                continue
            frame = _last(moments.block.rows[starts])
            no = torch.zeros(len(starts), dtype=torch.bool)
            seen = [frame]
            for ahead in range(1, n + 1):
                rows = starts + ahead
                with self.loop.autocast():
                    y, carried = self._decode(moments, rows, frame, no, ~no)
                    drawn, _ = self._decode(moments, rows, frame, no, no)
                target = _last(moments.block.rows[rows])
                before = _last(moments.block.rows[rows - 1])
                moving = (target - before).abs().mean((1, 2, 3)) > 0.03
                frame = y[:, -1].permute(0, 3, 1, 2).float().clamp(-1, 1)
                seen.append(frame)
                assert carried is not None
                pictures = {"out": frame, "drawn": drawn[:, -1].permute(0, 3, 1, 2).float().clamp(-1, 1)}
                if ahead == 1:
                    pictures |= {"carried": carried.frame, "copy": before}
                for name, picture in pictures.items():
                    errors = (picture - target).square().mean((1, 2, 3))[moving]
                    sums.setdefault(f"{name}_{ahead}", []).extend(psnr(e) for e in errors)
            sheet += [
                torch.stack([_last(moments.block.rows[starts[:1] + i])[0] for i in range(n + 1)]),
                torch.stack([f[0] for f in seen]),
            ]
        save_rows(self.out / "sheets" / f"memory-{step:06d}.png", [_to_numpy(row) for row in sheet])
        wanted = ("copy_1", "carried_1", "drawn_1", "out_1", "drawn_4", "out_4", f"drawn_{n}", f"out_{n}")
        return {name: float(np.median(sums[name])) for name in wanted if sums.get(name)}

    def _simulator(self) -> WorldSimulator:
        simulator = WorldSimulator.create(replace(self.begin.config, codec=self.codec.config), bank=self.begin.bank)
        simulator.codec.load_state_dict(self.codec.state_dict())
        simulator.world.load_state_dict(self.begin.world.state_dict())
        return simulator

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")


def with_memory(codec: Codec, config: MemoryTrainConfig) -> Codec:
    """A codec with a memory that decodes nearly as ``codec`` does while it is shown nothing; its encoder is frozen.

    Of the decoder's deep blocks the first ``config.decoder_coarse_depth`` are taken.
    """
    fresh = Codec(replace(codec.config, memory=True, decoder_coarse_depth=config.decoder_coarse_depth))
    own = fresh.state_dict()
    fresh.load_state_dict(own | {name: value for name, value in codec.state_dict().items() if name in own})
    for module in (fresh.stems, fresh.encoder, fresh.to_latent):
        module.requires_grad_(False)
    return fresh


def memory_loss(
    y: torch.Tensor,
    carried: Carried,
    moments: Moments,
    rows: torch.Tensor,
    frame: torch.Tensor,
    known: torch.Tensor,
    config: MemoryTrainConfig,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses of decoded blocks ``y (B, 4, H, W, 3)``, of the carried frame, and of the flow against true motion.

    True motion counts only where following it explains the picture at least as well as copying does: overlays and what
    moves by itself do not move with the scene.
    """
    target = to_pixels(moments.block.rows[rows])
    error = y - target
    mse, last_mse = error.square().mean(), error[:, -1].square().mean()
    picture = error.abs().mean() + 2 * mse + config.features * feature_loss(y, target)
    picture = picture + error[:, -1].abs().mean() + config.features * feature_loss(y[:, -1:], target[:, -1:])
    goal = target[:, -1].permute(0, 3, 1, 2)
    seen = known[:, None, None, None].float()
    colours = ((carried.frame - goal).abs() * seen).mean()
    motion = moments.motion.rows[rows].float()
    told = torch.isfinite(motion).all(1, keepdim=True)
    motion = torch.where(told, motion, 0.0)
    with torch.no_grad():
        source = _last(moments.block.rows[rows - 1])
        cells = (motion.shape[2], motion.shape[3])
        by_motion = F.adaptive_avg_pool2d((fetched(source, motion)[:, 0] - goal).abs().mean(1, keepdim=True), cells)
        by_copy = F.adaptive_avg_pool2d((source - goal).abs().mean(1, keepdim=True), cells)
        told = told & (by_motion <= by_copy + 0.01) & known[:, None, None, None]
    flow = ((carried.flow - motion).abs().sum(1, keepdim=True) * told).sum() / told.sum().clamp(min=1)
    loss = picture + config.colours * colours + config.flow * flow
    metrics = {
        "psnr": 10 * torch.log10(4 / mse.detach()),
        "psnr_last": 10 * torch.log10(4 / last_mse.detach()),
        "colours": colours.detach(),
        "flow": flow.detach(),
        "share": carried.share.mean().detach(),
    }
    return loss, metrics


def _probe_moments(episode: Episode, codec: Codec, world: WorldModel) -> Moments:
    moments = Moments(episode.frame_size, encode_episode(episode, codec).z.shape[1:])
    moments.add(episode, codec, world)
    return moments


def _last(blocks: torch.Tensor) -> torch.Tensor:
    """float ``(B, 3, H, W)`` in [-1, 1] of the last frames of uint8 blocks."""
    return to_pixels(blocks[:, -1]).permute(0, 3, 1, 2)


def _to_numpy(frames: torch.Tensor) -> np.ndarray:
    return ((frames.permute(0, 2, 3, 1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
