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

from worldsim.model.codec import Codec, to_pixels, to_uint8
from worldsim.model.memory import Carried, Shown, kept, larger, smaller
from worldsim.model.motion import fetched
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode, shots_of
from worldsim.training.codec import feature_loss, psnr
from worldsim.training.configs import MemoryTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.moments import Moments
from worldsim.training.sheets import save_rows
from worldsim.training.transfer import send

# B batch, T steps, C channels, H W size of a frame, h w latent cells


STAYED, PLAIN = 0.01, 0.02
"""Of pixels in [-1, 1]: a cell whose mean difference to the frame before is less has stayed as it was; one whose mean
contrast is less looks the same wherever it is fetched from nearby, and tells of no flow."""
ACCURATE, SHARPER = 0.4, 0.01
"""Cells by which a flow may be wrong for what it fetches to be taken over; elsewhere, by how much the mean difference
of a fetched cell to the truth may be larger than that of what is drawn, which is blurred."""
_DEPTHS = ("decoder_fine_depth", "decoder_coarse_depth")


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
        codec, world = begin.codec.to(self.loop.device), begin.world.to(self.loop.device)

        def moments_of(episodes: Iterator[Episode]) -> Moments | None:
            moments = None
            for shot in shots_of(episodes):  # a cut carries nothing over
                moments = moments or Moments(shot.frame_size, codec.config, self.loop.device)
                moments.add(shot, codec, world)
            return moments

        found = moments_of(episodes)
        if found is None:
            raise ValueError("there are no episodes to learn from: give source.data or source.steps")
        self.moments = found
        longest = (max(episode.shots(), key=len) for episode in held_out)
        long = [shot for shot in longest if len(shot) >= config.probe_steps + 5]
        probes = ((shot.world, moments_of(iter([shot]))) for shot in long)
        self.probes = [(world, moments) for world, moments in probes if moments is not None]

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator whose codec has a memory (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, rng, moments, device = self.config, self.loop.rng, self.moments, self.loop.device
        batch = config.optim.batch
        depth = int(rng.choice(len(config.depths), p=np.array(config.depths) / sum(config.depths))) + 1
        able = np.flatnonzero(moments.before.rows.numpy() >= depth)
        rows = torch.from_numpy(rng.choice(able, batch))
        blank = send(torch.from_numpy(rng.random(batch) < config.blank), device)
        truth = send(torch.from_numpy(rng.random(batch) < config.true_latents), device) | blank
        canvas = larger(moments.last(rows - depth))
        told = send(torch.from_numpy(rng.random(batch) >= config.unknown_travel), device)
        travel: torch.Tensor | None = moments.travel.take(rows - depth) * told[:, None]
        with self.loop.autocast():
            for back in range(depth - 1, 0, -1):
                with torch.no_grad():
                    y, carried = self._decode(moments, rows - back, (canvas, travel), truth, ~blank)
                    canvas, travel = _next_canvas(y, carried, ~blank)
            y, carried = self._decode(moments, rows, (canvas, travel), truth, ~blank)
            assert carried is not None
            return memory_loss(y.float(), carried, moments, rows, ~blank, config)

    def _decode(
        self,
        moments: Moments,
        rows: torch.Tensor,
        before: tuple[torch.Tensor, torch.Tensor | None],
        truth: torch.Tensor,
        known: torch.Tensor,
    ) -> tuple[torch.Tensor, Carried | None]:
        """Decodes ``rows`` given the canvas and the travel ``before``."""
        z = torch.where(truth[:, None, None, None], moments.true.take(rows), moments.predicted.take(rows)).float()
        shown = Shown(before[0], known, moments.actions(rows), None, moments.reach.take(rows), before[1])
        return self.codec.decode_with(self.codec.denormalise(z), 4, shown)

    def _probe(self, step: int) -> dict[str, float]:
        """PSNR on steps that move, ``config.probe_steps`` ahead from a true frame: pictures feed on themselves, each
        latent is predicted from the true past. Of the last of these steps also by world, where there are several."""
        n = self.config.probe_steps
        sums: dict[str, list[float]] = {}
        sheet: list[torch.Tensor] = []
        several = len({world for world, _ in self.probes}) > 1
        for world, moments in self.probes:
            starts = torch.arange(4, len(moments) - n, n)
            canvas = larger(moments.last(starts))
            travel: torch.Tensor | None = moments.travel.take(starts)
            no = torch.zeros(len(starts), dtype=torch.bool, device=self.loop.device)
            seen = [smaller(canvas)]
            for ahead in range(1, n + 1):
                rows = starts + ahead
                with self.loop.autocast():
                    y, carried = self._decode(moments, rows, (canvas, travel), no, ~no)
                    drawn, _ = self._decode(moments, rows, (canvas, travel), no, no)
                target, before = moments.last(rows), moments.last(rows - 1)
                moving = (target - before).abs().mean((1, 2, 3)) > 0.03
                assert carried is not None
                canvas, travel = _next_canvas(y, carried, ~no)
                frame = smaller(canvas)
                seen.append(frame)
                pictures = {"out": frame, "drawn": drawn[:, -1].permute(0, 3, 1, 2).float().clamp(-1, 1)}
                if ahead == 1:
                    pictures |= {"carried": carried.frame, "copy": before}
                for name, picture in pictures.items():
                    errors = (picture - target).square().mean((1, 2, 3))[moving]
                    sums.setdefault(f"{name}_{ahead}", []).extend(psnr(e) for e in errors)
                    if several and ahead == n:
                        sums.setdefault(f"{name}_{ahead}_of_{world}", []).extend(psnr(e) for e in errors)
            truth = [moments.last(starts[:1] + i)[0] for i in range(n + 1)]
            sheet += [torch.stack(truth), torch.stack([f[0] for f in seen])]
        if sheet:
            rows_of_frames = [to_uint8(row.permute(0, 2, 3, 1)).cpu().numpy() for row in sheet]
            save_rows(self.out / "sheets" / f"memory-{step:06d}.png", rows_of_frames)
        wanted = ["copy_1", "carried_1", "drawn_1", "out_1", "drawn_4", "out_4", f"drawn_{n}", f"out_{n}"]
        wanted += [name for name in sums if "_of_" in name]
        return {name: float(np.median(sums[name])) for name in wanted if sums.get(name)}

    def _simulator(self) -> WorldSimulator:
        simulator = WorldSimulator.create(
            replace(self.begin.config, codec=self.codec.config, drawn=()),  # another memory, another choice
            bank=self.begin.bank,
        )
        simulator.codec.load_state_dict(self.codec.state_dict())
        simulator.world.load_state_dict(self.begin.world.state_dict())
        # A referee has learned to read what the former memory showed: it is to be trained again.
        return simulator.with_player(self.begin.player).with_referee(None).with_starter(self.begin.starter)

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")


def _next_canvas(
    y: torch.Tensor, carried: Carried | None, known: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    assert carried is not None
    return kept(y[:, -1].permute(0, 3, 1, 2).float().clamp(-1, 1), carried, known), carried.travel


def with_memory(codec: Codec, config: MemoryTrainConfig) -> Codec:
    """A codec with a memory that decodes nearly as ``codec`` does while it is shown nothing; its encoder is frozen.

    Of the decoder's deep blocks the first ``config.decoder_coarse_depth`` remain, and of its last ones the first
    ``config.decoder_fine_depth``; never more than it has.
    """
    depths = {name: min(getattr(config, name), getattr(codec.config, name)) for name in _DEPTHS}
    sizes = replace(codec.config, **depths)
    own_kind = {"panorama": config.panorama, "geometry": config.geometry, "pictured": config.pictured}
    fresh = Codec(replace(sizes, memory=True, **own_kind))
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
    known: torch.Tensor,
    config: MemoryTrainConfig,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses of decoded blocks ``y (B, 4, H, W, 3)``, of the carried frame, and of the flow against true motion.

    True motion counts only where following it explains the picture at least as well as copying does: overlays and what
    moves by itself do not move with the scene. There the carried frame's share should be 1 if the flow is right, and 0
    where the motion tells that a place was not seen: a mean of both is the least error while the flow is a little
    wrong, but a blurred picture, and the more so the longer it feeds on itself. Where a step has no true motion at all,
    as in a world without depth, what looks as it did is taken to have stayed where it was. Everywhere else the share
    should be that of whichever is nearer to the truth, what is carried or what is drawn.
    """
    target = to_pixels(moments.block.take(rows))
    error = y - target
    mse, last_mse = error.square().mean(), error[:, -1].square().mean()
    picture = error.abs().mean() + 2 * mse + config.features * feature_loss(y, target)
    picture = picture + error[:, -1].abs().mean() + config.features * feature_loss(y[:, -1:], target[:, -1:])
    goal = target[:, -1].permute(0, 3, 1, 2)
    seen = known[:, None, None, None].float()
    colours = ((carried.frame - goal).abs() * seen).mean()
    motion = moments.motion.take(rows).float()
    told = torch.isfinite(motion).all(1, keepdim=True)
    hidden = ~told & told.any(-1, keepdim=True).any(-2, keepdim=True) & known[:, None, None, None]
    motion = torch.where(told, motion, 0.0)
    with torch.no_grad():
        source = moments.last(rows - 1)
        cells = (motion.shape[2], motion.shape[3])
        by_motion = F.adaptive_avg_pool2d((fetched(source, motion)[:, 0] - goal).abs().mean(1, keepdim=True), cells)
        by_copy = F.adaptive_avg_pool2d((source - goal).abs().mean(1, keepdim=True), cells)
        dark = ~told.flatten(1).any(1)[:, None, None, None]
        stayed = dark & (by_copy < STAYED) & known[:, None, None, None]
        told = told & (by_motion <= by_copy + 0.01) & known[:, None, None, None]
        moved = told | (stayed & (_contrast(goal, cells) > PLAIN))
        told = told | stayed
    flow = ((carried.flow - motion).abs().sum(1, keepdim=True) * moved).sum() / moved.sum().clamp(min=1)
    with torch.no_grad():
        accurate = (carried.flow - motion).abs().sum(1, keepdim=True) <= ACCURATE
        by_memory, by_drawing = (
            F.adaptive_avg_pool2d((picture_of - goal).abs().mean(1, keepdim=True), cells)
            for picture_of in (carried.frame, carried.drawn)
        )
        right = (told & (accurate | ~moved)) | (~hidden & (by_memory <= by_drawing + SHARPER))
        over = F.interpolate(right.float(), size=carried.share.shape[-2:])
    wrong = -torch.where(over > 0, carried.share, 1 - carried.share).clamp(min=1e-4).log() * seen
    share = wrong.sum() / (known.sum() * wrong[0].numel()).clamp(min=1)
    loss = picture + config.colours * colours + config.flow * flow + config.share * share
    travel = colours.new_zeros(())
    if carried.travel is not None:
        true_travel = moments.travel.take(rows)
        able = true_travel[:, 3] * known
        travel = ((carried.travel - true_travel)[:, :3].abs().sum(1) * able).sum() / able.sum().clamp(min=1)
        loss = loss + config.travel * travel
    metrics = {
        "psnr": 10 * torch.log10(4 / mse.detach()),
        "psnr_last": 10 * torch.log10(4 / last_mse.detach()),
        "colours": colours.detach(),
        "flow": flow.detach(),
        "share": share.detach(),
        "travel": travel.detach(),
    }
    return loss, metrics


def _contrast(picture: torch.Tensor, cells: tuple[int, int]) -> torch.Tensor:
    """``(B, 1, h, w)``: mean absolute difference from the mean colour of the cell."""
    mean = F.adaptive_avg_pool2d(picture, cells)
    rest = (picture - F.interpolate(mean, size=picture.shape[-2:])).abs().mean(1, keepdim=True)
    return F.adaptive_avg_pool2d(rest, cells)
