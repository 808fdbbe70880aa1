"""Training of the world model on a latent cache, with held-out probes, dream sheets and exports of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from worldsim.engine import RolloutEngine
from worldsim.model.codec import Codec
from worldsim.model.transformer import WorldModel
from worldsim.model.weights import SimulatorConfig, WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.clips import Clips
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import LatentEpisode, LatentStore, by_size, encode_episode, size_name
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.native import NativeSampler
from worldsim.training.objective import (
    Draw,
    Part,
    draw_expected,
    draw_flow,
    draw_own_context,
    draw_shortcut,
    flow_loss,
    parts_of,
    shortcut_loss,
)
from worldsim.training.packs import packed_loss, shape_of
from worldsim.training.probes import clips_of, next_errors, probe
from worldsim.training.recorded import controls_at, start_at
from worldsim.training.sampling import ClipSampler
from worldsim.training.shares import check_held
from worldsim.training.sheets import save_rows
from worldsim.worlds import WORLDS

Pattern = Literal["levels", "own", "expected"]
"""Levels of noise alone; a context that the model makes itself; all frames expected at once."""


class WorldTraining:
    """A run over ``store``; ``held_out`` episodes of validation maps serve probes and sheets.

    ``refill`` is called before each step and may add episodes to the store (live worlds on a GPU machine). ``begin`` is
    a trained model to go on from, instead of fresh weights. Raises ``ValueError`` for shares of worlds of which there
    are neither latents nor held-out episodes.
    """

    def __init__(
        self,
        config: WorldTrainConfig,
        out: Path,
        codec: Codec,
        store: LatentStore,
        held_out: list[Episode],
        refill: Callable[[], None] | None = None,
        begin: WorldModel | None = None,
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.optim.seed)
        self.config, self.out, self.codec, self.store = config, out, codec, store
        self.held_out, self.refill = held_out, refill or (lambda: None)
        check_held(config.clips.shares, {e.world for e in store.episodes} | {e.world for e in held_out})
        write_run_card(out, config)
        self.model = WorldModel(config.world)
        if begin is not None:
            self.model.take_over(begin)
        self.loop = Loop(out, self.model, config.optim, config.run)
        self.model.to(self.loop.device)
        self.codec.to(self.loop.device)
        self.sampler = ClipSampler(store, config.clips, self.loop.device)
        packed = config.pack.tokens > 0
        self.native = NativeSampler(store, config.clips, config.pack.durations, self.loop.device) if packed else None
        self.on_clips = self.loop.compiled(self.model)  # not on images: a graph more costs a GPU half a minute
        self.held_out_latents = LatentStore([encode_episode(e, codec, config.image_every) for e in held_out])
        self.hallucination_reference, self.temperature = 1.0, 1.0

    @property
    def shortcut(self) -> bool:
        """Whether step sizes have been trained; a run by the clock may end a little past its full progress."""
        return bool(self.config.shortcut_rows) and self.config.shortcut_from < min(self.loop.progress, 1.0)

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with averaged weights (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.refill()
        return self._equal_clips() if self.native is None else self._many_sizes(self.native)

    def _equal_clips(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch of one size and one length."""
        config, loop, device = self.config, self.loop, self.loop.device
        batch = config.optim.batch
        clips = self.sampler.clips(batch, loop.rng).to(device)
        with loop.autocast():
            draw = self._draw(self.on_clips, clips, self._pattern())
            loss, metrics = flow_loss(self.on_clips, clips, draw, config)
        if config.singles:
            images = self.sampler.singles(self._count(config.singles), loop.rng).to(device)
            draw = self._draw(self.model, images, "levels")
            with loop.autocast():
                image_loss, image_metrics = flow_loss(self.model, images, draw, config)
            loss = loss + config.singles_weight * image_loss
            metrics["image_mse"] = image_metrics["mse"]
        return self._with_shortcut(loss, metrics, [clips.rows(slice(self._count(config.shortcut_rows)))])

    def _many_sizes(self, native: NativeSampler) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch of samples of many sizes and durations, pack by pack."""
        config, loop, device, patch = self.config, self.loop, self.loop.device, self.config.world.patch
        for size in native.sizes:
            config.pack.budget.check(shape_of((max(config.pack.durations), *size), self.model))
        clips = [group.to(device) for group in native.clips(config.optim.batch, loop.rng)]
        pattern = self._pattern()
        with loop.autocast():
            parts = parts_of([(group, self._draw(self.model, group, pattern)) for group in clips], config, patch)
        images: list[Part] = []
        if config.singles:
            singles = [group.to(device) for group in native.singles(self._count(config.singles), loop.rng)]
            images = parts_of([(group, self._draw(self.model, group, "levels")) for group in singles], config, patch)
        loss, metrics = packed_loss(self.model, parts, images, config, loop.autocast)
        share = config.shortcut_rows
        some = [group.rows(slice(round(share * len(group.z) + loop.rng.random() - 0.5))) for group in clips]
        return self._with_shortcut(loss, metrics, [group for group in some if len(group.z)])

    def _pattern(self) -> Pattern:
        """What the next step asks of its clips."""
        expecting, drawn = self.config.expecting, self.loop.rng.random()
        if drawn < expecting:
            return "expected"
        return "own" if drawn < expecting + (1 - expecting) * self.config.own_context else "levels"

    def _draw(self, model: WorldModel, clips: Clips, pattern: Pattern) -> Draw:
        """Levels, modes and noise of clips."""
        config, loop, patch = self.config, self.loop, self.config.world.patch
        eps = loop.noise(clips.z.shape)
        if pattern == "levels":
            return draw_flow(clips, eps, config, patch, loop.generator)
        draw = draw_own_context if pattern == "own" else draw_expected
        return draw(model, clips, eps, config, patch, loop.generator)

    def _count(self, share: float) -> int:
        return max(1, round(share * self.config.optim.batch))

    def _with_shortcut(
        self, loss: torch.Tensor, metrics: dict[str, torch.Tensor], groups: Sequence[Clips]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss with the shortcut term of some clips, once it is time for it."""
        config, loop = self.config, self.loop
        if loop.progress < config.shortcut_from or not config.shortcut_rows or not groups:
            return loss, metrics
        frames = sum(group.valid.sum() for group in groups)
        extra = torch.zeros((), device=loop.device)
        for group in groups:
            with loop.autocast():
                draw = draw_shortcut(group, loop.noise(group.z.shape), loop.generator)
                extra = extra + shortcut_loss(self.model, group, draw) * (group.valid.sum() / frames)
        return loss + config.shortcut_rows * extra, metrics | {"shortcut": extra.detach()}

    def _probe(self, step: int) -> dict[str, float]:
        sizes = by_size(e for e in self.held_out_latents.episodes if len(e) + 1 >= self._probe_length)
        if not sizes:
            raise ValueError(
                f"no held-out episode has the {self._probe_length - 1} steps that a probe needs: give longer ones, of "
                "validation maps, or source.held_out to play some"
            )
        first, *others = sizes
        clips = self._probe_clips(first)
        with self.loop.autocast():
            generator = torch.Generator().manual_seed(0)
            shown = self._shown if self.config.expecting else None
            metrics = probe(self.model, clips.to(self.loop.device), generator, self.shortcut, shown)
            for episodes in others:
                name = size_name(episodes[0].z, self.model.config.pixel_stride)
                found = next_errors(self.model, self._probe_clips(episodes, share=4).to(self.loop.device))
                metrics |= {f"{metric}_{name}": value for metric, value in found.items()}
        self.hallucination_reference = metrics["hallucination"]
        self.temperature = 0.0 if self.config.expecting else metrics["temperature"]
        self._sheet(step)
        return metrics | {"cached_latents": float(self.store.latents)}

    def _shown(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of the pictures of ``latents``, which an engine of one pass compares with them."""
        return self.codec.encode_normalised(self.codec.decode_normalised(latents, 4))

    @property
    def _probe_length(self) -> int:
        """Latents of a held-out clip: one window and the latent after it."""
        return min(self.config.world.window, 16) + 1

    def _probe_clips(self, episodes: Sequence[LatentEpisode], share: int = 1) -> Clips:
        count = self.config.probe_clips // share
        return clips_of(episodes, self.config.clips, self._probe_length, count)

    def _simulator(self) -> WorldSimulator:
        some = self.store.episodes[:: max(1, len(self.store.episodes) // 400)]
        z = torch.cat([e.z.transpose(0, 1).flatten(1) for e in some], dim=1).float().cpu()
        low, high = (torch.quantile(z[:, ::17], q, dim=1) for q in (0.0005, 0.9995))
        margin = 0.25 * (high - low)
        trained = {episode.world for episode in self.store.episodes}
        config = SimulatorConfig(
            codec=self.codec.config,
            world=self.config.world,
            worlds=tuple(name for name in WORLDS if name in trained),
            latent_low=tuple((low - margin).tolist()),
            latent_high=tuple((high + margin).tolist()),
            hallucination_reference=self.hallucination_reference,
            temperature=self.temperature,
            shortcut=self.shortcut,
            cache_mode="reuse" if self.config.expecting else "renoise",
        )
        simulator = WorldSimulator.create(config)
        simulator.codec.load_state_dict(self.codec.state_dict())
        simulator.world.load_state_dict(self.model.state_dict())
        return simulator

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")

    def _sheet(self, step: int, context: int = 6, generated: int = 18) -> None:
        """Rows of truth and dream for one held-out episode per world, a sheet for each size: given frames, then
        free-running ones."""
        sizes = sorted({e.frame_size for e in self.held_out}, key=lambda size: (size[0] * size[1], size))
        for size in sizes:
            of_size = [e for e in self.held_out if e.frame_size == size and len(e) >= context + 4]
            episodes = list({e.world: e for e in reversed(of_size)}.values())
            if not episodes:
                continue
            dreams = dream(self._simulator(), episodes, context, generated, self.loop.device)
            rows = []
            for episode, imagined in zip(episodes, dreams):
                truth = episode.observations[: context + generated + 1]
                rows += [truth[::2], np.concatenate([truth[: context + 1], imagined])[::2][: len(truth[::2])]]
            name = "" if size == sizes[0] else f"-{size[0]}x{size[1]}"
            save_rows(self.out / "sheets" / f"world-{step:06d}{name}.png", rows)


def dream(
    simulator: WorldSimulator, episodes: list[Episode], context: int, steps: int, device: torch.device
) -> list[np.ndarray]:
    """Free-running rollouts from ``context`` true steps under the recorded actions: uint8 ``(steps, H, W, 3)`` each,
    the last frame of every block (actions are noop past an episode's end)."""
    engine = RolloutEngine(simulator, lanes=len(episodes), device=device, frame_size=episodes[0].frame_size)
    starts = [start_at((episode, context), context, number) for number, episode in enumerate(episodes)]
    engine.begin(list(range(len(episodes))), starts)
    seen = []
    for t in range(context, context + steps):
        block = engine.step(*controls_at([(episode, t) for episode in episodes]))
        seen.append(block.frames[:, -1].cpu().numpy())
    return list(np.stack(seen, axis=1))
