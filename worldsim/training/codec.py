"""Training of the codec: L1, MSE and feature losses on blocks and single images.

In a share of the steps the latents are shifted by a few pixels, less than a cell or about one, and must decode to the
shifted picture (equivariance as in EQ-VAE, Kouzelis et al. 2025): motion then is motion in the latents too, which is
what the transformer has to predict. The feature loss compares oriented edges and local contrast at three scales, with
the fixed filters of a steerable pyramid's first band (Simoncelli and Freeman 1995): a perceptual term that needs no
downloaded network. Latents get a little noise and are held near unit scale while training; their statistics are
measured at the end and stored with the weights, so that everything downstream sees zero mean and unit variance per
channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from worldsim.model.codec import Codec, to_pixels
from worldsim.recording.episode import Episode
from worldsim.training.configs import CodecTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.pool import EpisodePool, Feeder
from worldsim.training.shares import check_held
from worldsim.training.sheets import save_rows
from worldsim.training.state import save_state

_EDGES = torch.tensor(
    [
        [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]],
        [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]],
        [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]],
    ]
)


def feature_loss(x_BKHWC: torch.Tensor, y_BKHWC: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of edges (horizontal, vertical, Laplacian) of the luma at three scales."""
    luma = torch.tensor([0.299, 0.587, 0.114], device=x_BKHWC.device)
    difference = rearrange((x_BKHWC - y_BKHWC) @ luma, "b k h w -> (b k) 1 h w")
    filters = _EDGES[:, None].to(difference.device) / 4
    total = difference.new_zeros(())
    for _ in range(3):
        total = total + F.conv2d(difference, filters).abs().mean()
        difference = F.avg_pool2d(difference, 2)
    return total


def shift(z_BCHW: torch.Tensor, rows: int, columns: int, cell: int) -> torch.Tensor:
    """Latents of the picture without its outermost cells, ``rows`` and ``columns`` pixels (at most ``cell`` each way)
    further down and to the right: interpolated, ``(B, C, H - 2, W - 2)``."""
    b, _, h, w = z_BCHW.shape
    y = (torch.arange(h - 2, device=z_BCHW.device) + 1.5 + rows / cell) * 2 / h - 1
    x = (torch.arange(w - 2, device=z_BCHW.device) + 1.5 + columns / cell) * 2 / w - 1
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)
    return F.grid_sample(z_BCHW.float(), grid.expand(b, -1, -1, -1), mode="bicubic", align_corners=False)


def codec_loss(
    codec: Codec,
    pixels: torch.Tensor,
    config: CodecTrainConfig,
    noise: torch.Tensor,
    by: tuple[int, int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and mean squared error (pixels in [-1, 1]) of a batch of equal blocks ``(B, K, H, W, 3)``.

    ``by`` are pixels, down and to the right, by which latents and picture are shifted.
    """
    z = codec.encode_pixels(pixels)
    scale = z.float().square().mean((0, 2, 3)).sqrt()
    z = z + config.latent_noise * noise.to(z.dtype)
    if by is not None:
        cell, (h, w) = codec.config.stride, pixels.shape[2:4]
        z = shift(z, *by, cell)
        top, left = cell + by[0], cell + by[1]
        pixels = pixels[:, :, top : top + h - 2 * cell, left : left + w - 2 * cell]
    y = codec.decode_pixels(z, pixels.shape[1]).float()
    mse = (y - pixels).square().mean()
    loss = config.l1 * (y - pixels).abs().mean() + config.mse * mse + config.features * feature_loss(y, pixels)
    return loss + config.latent_scale * (scale - 1).square().mean(), mse


def without_memory(codec: Codec) -> Codec:
    """A codec like ``codec`` that is shown nothing; itself where it has no memory."""
    if codec.memory is None:
        return codec
    plain = Codec(replace(codec.config, memory=False, panorama=False, geometry=False, pictured=False))
    plain.load_state_dict({name: value for name, value in codec.state_dict().items() if name in plain.state_dict()})
    return plain


def psnr(mse: torch.Tensor | float) -> float:
    """Decibels of a mean squared error of pixels in [-1, 1]."""
    return float(10 * np.log10(4.0 / max(float(mse), 1e-12)))


class CodecTraining:
    """A codec run over a source of episodes; ``held_out`` episodes are for the probes.

    ``keep`` blocks of the source's episodes are kept for whoever comes after (``Feeder.take``). ``begin`` is a trained
    codec to go on from, instead of fresh weights of ``config.codec``. Raises ``ValueError`` for shares of worlds of
    which there are no held-out episodes.
    """

    def __init__(
        self,
        config: CodecTrainConfig,
        out: Path,
        source: Iterator[Episode],
        held_out: list[Episode],
        keep: int = 0,
        begin: Codec | None = None,
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.optim.seed)
        if begin is not None:
            config = replace(config, codec=begin.config)
        self.config, self.out, self.held_out = config, out, held_out
        check_held(config.shares, {episode.world for episode in held_out})
        write_run_card(out, config)
        self.codec = Codec(config.codec)
        if begin is not None:
            self.codec.load_state_dict(begin.state_dict())
        self.loop = Loop(out, self.codec, config.optim, config.run)
        self.codec.to(self.loop.device)
        self.pool = EpisodePool(config.pool_blocks, self.loop.device, config.shares)
        self.feeder = Feeder(source, self.pool, keep)
        self.loop.compile(self.codec.encoder, self.codec.decoder)

    def run(self, until: int | None = None) -> Codec:
        """Trains, exports to ``out/codec`` and returns what was exported: averaged weights with latent statistics.

        A run that had already ended is not exported again: its statistics are what everything after it was made with.
        """
        exported = self.out / "codec"
        if self.loop.progress < 1 or not exported.exists():
            self.feeder.wait_for(self.config.start_blocks)
            self.loop.train(self._loss, self._probe, self._export, until)
        return load_codec(exported).to(self.loop.device)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.feeder.check()
        blocks, images = self.pool.sample(self.config.optim.batch, self.config.images, self.loop.rng)
        total: torch.Tensor = torch.zeros((), device=self.loop.device)
        by = self._shift()
        metrics: dict[str, torch.Tensor] = {"pool_blocks": torch.tensor(float(self.pool.blocks))}
        share = len(blocks) / (len(blocks) + len(images))
        for name, frames, weight in (("block", blocks, share), ("image", images, 1 - share)):
            pixels = to_pixels(frames)
            n, _, h, w, _ = pixels.shape
            cell = self.config.codec.stride
            shape = (n, self.config.codec.latent_channels, h // cell, w // cell)
            noise = self.loop.noise(shape)
            with self.loop.autocast():
                loss, mse = codec_loss(self.codec, pixels, self.config, noise, by)
            total = total + weight * loss
            metrics[f"psnr_{name}"] = 10 * torch.log10(4 / mse.detach())
        return total, metrics

    def _shift(self) -> tuple[int, int] | None:
        rng, most = self.loop.rng, self.config.codec.stride
        if rng.random() >= self.config.shifted:
            return None
        rows, columns = rng.integers(-most, most + 1, 2)
        return int(rows), int(columns)

    def _measure_latents(self, codec: Codec) -> None:
        blocks, images = self.pool.sample(512, 128, np.random.default_rng(0))
        sums = []
        with torch.no_grad(), self.loop.autocast():
            for frames in (blocks, images):
                for chunk in frames.split(64):
                    sums.append(codec.encode_pixels(to_pixels(chunk)).float())
        z = torch.cat(sums)
        codec.latent_mean.copy_(z.mean((0, 2, 3)))
        codec.latent_std.copy_(z.std((0, 2, 3)).clamp(min=1e-3))

    def _probe(self, step: int) -> dict[str, float]:
        per_block, rows = [], []
        per_world: dict[str, list[torch.Tensor]] = {}
        with self.loop.autocast():
            for episode in self.held_out:
                k = episode.frames_per_step
                frames = torch.from_numpy(np.ascontiguousarray(episode.blocks[::4][:24, :k])).to(self.loop.device)
                pixels = to_pixels(frames)
                back = self.codec.decode_pixels(self.codec.encode_pixels(pixels), frames.shape[1]).float().clamp(-1, 1)
                per_block.append((back - pixels).square().mean((1, 2, 3, 4)).cpu())
                per_world.setdefault(episode.world, []).append(per_block[-1])
                rows.append(frames[:8, -1].cpu())
                rows.append(((back[:8, -1] + 1) * 127.5).round().to(torch.uint8).cpu())
            first = to_pixels(
                torch.from_numpy(np.stack([e.first for e in self.held_out]))[:, None].to(self.loop.device)
            )
            image = self.codec.decode_pixels(self.codec.encode_pixels(first), 1).float().clamp(-1, 1)
        save_rows(self.out / "sheets" / f"codec-{step:06d}.png", [r.numpy() for r in rows])
        errors = torch.cat(per_block)
        return {
            "psnr": psnr(errors.mean()),
            "psnr_mean_of_blocks": float(np.mean([psnr(e) for e in errors])),
            "psnr_image": psnr((image - first).square().mean()),
            **{
                f"psnr_of_{world}": float(np.median([psnr(e) for e in torch.cat(parts)]))
                for world, parts in per_world.items()
            },
        }

    def _export(self) -> None:
        codec = Codec(self.config.codec)
        codec.load_state_dict(self.codec.state_dict())
        codec.to(self.loop.device)
        self._measure_latents(codec)
        save_codec(self.out / "codec", codec)


def save_codec(folder: Path, codec: Codec) -> None:
    """Weights and configuration of a codec alone (a model folder holds one beside the transformer)."""
    save_state(folder, {"config": vars(codec.config), "codec": codec.state_dict()})


def load_codec(folder: Path) -> Codec:
    """The codec that ``save_codec`` wrote, in evaluation mode."""
    from worldsim.model.codec import CodecConfig
    from worldsim.training.state import load_state

    state = load_state(folder)
    codec = Codec(CodecConfig(**state["config"]))
    codec.load_state_dict(state["codec"])
    return codec.eval().requires_grad_(False)
