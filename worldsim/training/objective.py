"""The losses of the world model: flow matching in x-space, the shortcut term, reward and termination.

Flow: each latent frame is noised to a level of its own and the clean latent is predicted, weighted by the level ramp
and by how much a token changes. Shortcut (Frans et al. 2024; Dreamer 4, eq. 8): a step of size d is taught to land
where two steps of d/2 land, which makes sampling in few steps sharp. Heads: two-hot cross-entropy and binary
cross-entropy at every signal level, weighted by its square, since they are read from nearly clean frames, and wholly
where frames are expected and read so. In a share of the steps the context is made by the model itself, so that it
learns to go on from what it draws (scheduled sampling, Bengio et al. 2015). In another share all frames are expected at
once, each from the true latents just before it and from what was expected earlier: a model that has learned that needs
one pass a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from worldsim.diffusion import flow
from worldsim.diffusion.conditions import draw_levels, draw_levels_of
from worldsim.model.conditioning import TextTokens
from worldsim.model.heads import cross_entropies
from worldsim.model.packing import Past
from worldsim.model.transformer import STEP_SIZES, Prediction, WorldModel
from worldsim.training.clips import Clips
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.transfer import send

GIVEN = 8
"""Most latents that are given at the beginning of a clip whose others are expected; in half of the clips it is one."""


@dataclass(frozen=True)
class Draw:
    """The random part of one loss: signal levels ``tau (B, T)``, attention ``mode (B,)``, noise like the latents, and
    ``step_size (B, T)`` indices (0 = plain flow). Where the model's own frames stand for true ones, ``seen`` are the
    latents before noise is added, and the latents of frames that are not ``wanted (B, T)`` are no targets.
    ``past_latents (B, T, C, h, w)`` at levels ``past_tau (B, T)`` are what frames follow that are expected without
    being seen."""

    tau: torch.Tensor
    mode: torch.Tensor
    eps: torch.Tensor
    step_size: torch.Tensor
    seen: torch.Tensor | None = None
    wanted: torch.Tensor | None = None
    past_latents: torch.Tensor | None = None
    past_tau: torch.Tensor | None = None

    @property
    def past(self) -> Past | None:
        return None if self.past_latents is None or self.past_tau is None else (self.past_latents, self.past_tau)

    def rows(self, rows: torch.Tensor) -> Draw:
        """Of some of the clips, by number."""
        some: dict[str, Any] = {name: None if value is None else value[rows] for name, value in vars(self).items()}
        return Draw(**some)


def draw_flow(
    clips: Clips, eps: torch.Tensor, config: WorldTrainConfig, patch: int, generator: torch.Generator
) -> Draw:
    """Levels and modes of the flow loss, for noise ``eps`` like the latents."""
    b, t = clips.z.shape[:2]
    device = clips.z.device
    tau, mode = draw_levels(b, t, config.levels, generator, tokens=_tokens(clips, patch))
    return Draw(send(tau, device), send(mode, device), eps, torch.zeros(b, t, dtype=torch.int64, device=device))


def draw_shortcut(clips: Clips, eps: torch.Tensor, generator: torch.Generator) -> Draw:
    """Causal clips whose frames each have a step size d in {1/4, 1/2, 1} and a level on the grid of d, which
    ``shortcut_loss`` shifts for the size of the frame."""
    b, t = clips.z.shape[:2]
    device = clips.z.device
    size = torch.randint(1, STEP_SIZES, (b, t), generator=generator)
    count = 2 ** (STEP_SIZES - 1 - size)  # steps of this size from noise to clean
    tau = (torch.rand(b, t, generator=generator) * count).floor() / count
    return Draw(send(tau, device), torch.zeros(b, dtype=torch.int64, device=device), eps, send(size, device))


def draw_own_context(
    model: WorldModel,
    clips: Clips,
    eps: torch.Tensor,
    config: WorldTrainConfig,
    patch: int,
    generator: torch.Generator,
) -> Draw:
    """Every other frame is wanted, and follows one that the model predicted itself.

    Even and odd frames are predicted from each other in turns, one to ``config.own_depth`` times, which makes all clips
    into rollouts of as many steps at once. Predictions are made from pure noise; frame 0 stays true. Nothing of this
    has a gradient, but a compiled model is called as the loss calls it: else it would be compiled once more.
    """
    with torch.set_grad_enabled(config.run.compile):
        b, t = clips.z.shape[:2]
        device, tokens = clips.z.device, _tokens(clips, patch)
        index = torch.arange(t)
        odd = torch.rand(b, 1, generator=generator) < 0.5
        depth = int(torch.randint(1, config.own_depth + 1, (), generator=generator))
        causal, plain = (
            torch.zeros(b, dtype=torch.int64, device=device),
            torch.zeros(b, t, dtype=torch.int64, device=device),
        )
        blind = replace(config.levels, blind=1.0)
        text, seen = clips.words.encode(model), clips.z
        for turn in range(depth + 1):
            wanted = ((index % 2 == 1) ^ odd ^ bool(turn % 2)) & (index > 0)
            last = turn == depth
            tau = send(draw_levels_of(wanted, config.levels if last else blind, generator, tokens), device)
            wanted = send(wanted, device)
            seen = torch.where(wanted[..., None, None, None], clips.z, seen)  # a target is noised from the truth
            draw = Draw(tau, causal, eps, plain, seen, wanted)
            if not last:
                x = predict(model, clips, text, flow.add_noise(seen, eps, tau), draw).x
                seen = torch.where(wanted[..., None, None, None], x.detach(), seen)
        return draw


def draw_expected(
    model: WorldModel,
    clips: Clips,
    eps: torch.Tensor,
    config: WorldTrainConfig,
    patch: int,
    generator: torch.Generator,
) -> Draw:
    """Every frame is expected from pure noise, but for a few that are given at the beginning of each clip.

    What a frame follows are the latents just before it, nearly clean, true or what the model expected of them in up to
    ``config.own_depth`` turns (of all frames at once, from what it expected of those before); what it remembers of the
    earlier ones are the keys and values of expecting them. This is a rollout that keeps them (``cache_mode="reuse"``),
    with all its frames as targets. Gradients and compilation as in ``draw_own_context``.
    """
    with torch.set_grad_enabled(config.run.compile):
        b, t = clips.z.shape[:2]
        device, tokens = clips.z.device, _tokens(clips, patch)
        many = 1 + torch.randint(GIVEN, (b,), generator=generator)
        first = torch.where(torch.rand(b, generator=generator) < 0.5, 1, many).clamp(max=max(1, t - 1))
        given = send(torch.arange(t) < first[:, None], device)
        depth = int(torch.randint(config.own_depth + 1, (), generator=generator))
        level = send(draw_levels_of(torch.zeros(b, t, dtype=torch.bool), config.levels, generator, tokens), device)
        tau = torch.where(given, level, 0.0)
        causal, plain = tau.new_zeros(b, dtype=torch.int64), tau.new_zeros(b, t, dtype=torch.int64)
        text, seen = clips.words.encode(model), clips.z
        for turn in range(depth + 1):
            past = flow.add_noise(seen, eps, level)
            draw = Draw(tau, causal, eps, plain, None, ~given, past, level)
            if turn < depth:
                x = predict(model, clips, text, flow.add_noise(clips.z, eps, tau), draw).x.detach()
                seen = torch.where(given[..., None, None, None], clips.z, x.to(clips.z.dtype))
        return draw


def predict(model: WorldModel, clips: Clips, text: TextTokens, z: torch.Tensor, draw: Draw) -> Prediction:
    """``past`` is always told, as tensors of its own, so that a compiled model is one graph for all draws."""
    past = draw.past or (z.view_as(z), draw.tau.view_as(draw.tau))
    return model(z, draw.tau, clips.controls, text, clips.seconds, draw.mode, draw.step_size, clips.valid, past)


def masked_mean(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (x * mask).sum() / mask.sum().clamp(min=1)


@dataclass(frozen=True)
class Part:
    """Clips of one size and one duration with the draw of their loss; ``weight (B, T, 1, h, w)`` is how much each cell
    counts, 1 in the mean over each clip."""

    clips: Clips
    draw: Draw
    weight: torch.Tensor

    @property
    def noisy(self) -> torch.Tensor:
        """What the model sees."""
        seen = self.clips.z if self.draw.seen is None else self.draw.seen
        return flow.add_noise(seen, self.draw.eps, self.draw.tau)

    @property
    def targets(self) -> torch.Tensor:
        """bool ``(B, T)``: frames whose latents are to be predicted."""
        return self.clips.valid if self.draw.wanted is None else self.clips.valid & self.draw.wanted

    @property
    def confidence(self) -> torch.Tensor:
        """``(B, T)``: how much reward and termination count: wholly where frames are expected as a rollout does it."""
        clear = self.draw.tau.square()
        if self.draw.past is not None and self.draw.wanted is not None:
            clear = torch.where(self.draw.wanted, 1.0, clear)
        return clear * self.clips.paid

    def rows(self, rows: torch.Tensor) -> Part:
        """Some of its samples, by number."""
        return Part(self.clips.rows(rows), self.draw.rows(rows), self.weight[rows])


def parts_of(batch: Sequence[tuple[Clips, Draw]], config: WorldTrainConfig, patch: int) -> list[Part]:
    return [Part(clips, draw, flow.change_weights(clips.z, patch, config.change_most)) for clips, draw in batch]


@dataclass(frozen=True)
class Counts:
    """What the sums of a batch are divided by: its target frames, and its frames that pay, by confidence."""

    targets: torch.Tensor
    confidence: torch.Tensor

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Counts:
        targets = torch.stack([part.targets.sum() for part in parts]).sum()
        confidence = torch.stack([part.confidence.sum() for part in parts]).sum()
        return cls(targets.clamp(min=1), confidence.clamp(min=1))


def loss_of(
    parts: Sequence[Part], predictions: Sequence[Prediction], counts: Counts, config: WorldTrainConfig
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What ``parts`` add to the weighted x-space loss and the head losses of the batch that ``counts`` belong to."""
    sums: dict[str, torch.Tensor] = {}
    for part, prediction in zip(parts, predictions):
        clips, tau = part.clips, part.draw.tau
        error = (prediction.x - clips.z).square()
        per_frame = (part.weight * error).mean((2, 3, 4))
        reward, done = cross_entropies(prediction.reward, prediction.done, clips.reward, clips.done)
        for name, value, mask in (
            ("latent", flow.loss_weight(tau, config.weight_floor) * per_frame, part.targets),
            ("mse", error.mean((2, 3, 4)), part.targets),
            ("reward", reward, part.confidence),
            ("done", done, part.confidence),
        ):
            total = (value * mask).sum()
            sums[name] = sums[name] + total if name in sums else total
    metrics = {
        name: total / (counts.targets if name in ("latent", "mse") else counts.confidence)
        for name, total in sums.items()
    }
    loss = metrics["latent"] + config.reward_weight * metrics["reward"] + config.done_weight * metrics["done"]
    return loss, {name: value.detach() for name, value in metrics.items()}


def flow_loss(
    model: WorldModel, clips: Clips, draw: Draw, config: WorldTrainConfig
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Weighted x-space loss and head losses of a batch of one size and one duration."""
    text = clips.words.encode(model)
    parts = parts_of([(clips, draw)], config, model.config.patch)
    prediction = predict(model, clips, text, parts[0].noisy, draw)
    return loss_of(parts, [prediction], Counts.of(parts), config)


def shortcut_loss(model: WorldModel, clips: Clips, draw: Draw) -> torch.Tensor:
    """x-space loss of one step of size d against two of d/2, with stopped gradients through the target.

    Steps are even on the grid of ``draw.tau``; larger frames shift its levels, as the sampler does.
    """
    text = clips.words.encode(model)
    size = draw.step_size
    half = (2.0 ** (size.float() - 1)) / 2 ** (STEP_SIZES - 1)
    tokens = _tokens(clips, model.config.patch)
    tau, middle_tau, end_tau = (flow.shift(draw.tau + i * half, tokens) for i in range(3))
    z = flow.add_noise(clips.z, draw.eps, tau)

    def wide(x: torch.Tensor) -> torch.Tensor:
        return x[..., None, None, None]

    with torch.no_grad():
        first = predict(model, clips, text, z, Draw(tau, draw.mode, draw.eps, size - 1)).x
        velocity_1 = flow.velocity(first, z, wide(tau))
        middle = z + velocity_1 * wide(middle_tau - tau)
        second = predict(model, clips, text, middle, Draw(middle_tau, draw.mode, draw.eps, size - 1)).x
        velocity_2 = flow.velocity(second, middle, wide(middle_tau))
        share = wide((middle_tau - tau) / (end_tau - tau))
        target = z + (1 - wide(tau)) * (share * velocity_1 + (1 - share) * velocity_2)
    error = (predict(model, clips, text, z, replace(draw, tau=tau)).x - target).square().mean((2, 3, 4))
    return masked_mean(flow.loss_weight(tau) * error, clips.valid)


def _tokens(clips: Clips, patch: int) -> int:
    """Patch tokens of a frame, which share a level."""
    h, w = clips.z.shape[-2:]
    return (h // patch) * (w // patch)
